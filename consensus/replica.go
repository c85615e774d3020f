package consensus

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"muster/offers/registry"
)

// snapshotVersion is the first byte of a snapshot; the encoded State follows.
const snapshotVersion = 1

// replica is the state machine under raft: the registry, and the committed
// membership with the index that guards changes to it. Raft's goroutine writes,
// anyone reads.
type replica struct {
	configured func(index uint64) // a membership was committed
	failed     chan error         // 1: why it can apply no more

	mu      sync.Mutex
	state   *registry.State
	config  raft.Configuration
	configs uint64 // index of config
	broken  error
}

func newReplica(configured func(uint64)) *replica {
	return &replica{configured: configured, failed: make(chan error, 1), state: registry.NewState()}
}

var _ raft.ConfigurationStore = (*replica)(nil)

// Apply applies one entry, and returns one error (or nil) per operation. After
// an entry that it cannot read it applies nothing more: it would not be equal to
// the other replicas.
func (f *replica) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	ops, err := decodeGroup(l.Data)
	if err != nil {
		f.broken = fmt.Errorf("%w: entry %d: %w", ErrDamaged, l.Index, err)
		f.failed <- f.broken
		return f.broken
	}
	errs := make([]error, len(ops))
	for i, op := range ops {
		errs[i] = f.state.Apply(op)
	}
	return errs
}

// StoreConfiguration notes the committed membership.
func (f *replica) StoreConfiguration(index uint64, c raft.Configuration) {
	f.mu.Lock()
	if index > f.configs {
		f.configs, f.config = index, c
	}
	f.mu.Unlock()
	f.configured(index)
}

// Snapshot copies the state; Persist encodes it while entries go on.
func (f *replica) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot{f.clone()}, nil
}

// Restore replaces the state by a snapshot's.
func (f *replica) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if len(b) == 0 || b[0] != snapshotVersion {
		return errors.New("read snapshot: unknown version")
	}
	s, err := registry.Decode(b[1:])
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	f.mu.Lock()
	f.state = s
	f.mu.Unlock()
	return nil
}

func (f *replica) clone() *registry.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.Clone()
}

// removed returns those of the members that were shut out of the cluster.
func (f *replica) removed(members []raft.Server) map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]bool{}
	for _, m := range members {
		if f.state.MemberRemoved(string(m.ID)) {
			out[string(m.ID)] = true
		}
	}
	return out
}

func (f *replica) configIndex() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.configs
}

type snapshot struct{ state *registry.State }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	b, err := s.state.Encode()
	if err == nil {
		_, err = sink.Write(append([]byte{snapshotVersion}, b...))
	}
	if err != nil {
		return fmt.Errorf("write snapshot: %w", errors.Join(err, sink.Cancel()))
	}
	return sink.Close()
}

func (s snapshot) Release() {}
