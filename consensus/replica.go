package consensus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	log     *slog.Logger
	changed func() // the membership changed

	mu      sync.Mutex
	state   *registry.State
	config  raft.Configuration
	configs uint64 // index of config
}

func newReplica(log *slog.Logger, changed func()) *replica {
	return &replica{log: log, changed: changed, state: registry.NewState()}
}

var _ raft.ConfigurationStore = (*replica)(nil)

// Apply applies one entry, and returns one error (or nil) per operation.
func (f *replica) Apply(l *raft.Log) any {
	ops, err := decodeGroup(l.Data)
	if err != nil {
		// Every replica refuses it alike, so they stay equal.
		f.log.Error("log entry refused", "index", l.Index, "err", err)
		return err
	}
	errs := make([]error, len(ops))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, op := range ops {
		if op == nil {
			errs[i] = fmt.Errorf("%w: operation %d cannot be decoded", errMalformed, i)
			continue
		}
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
	f.changed()
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
		return fmt.Errorf("read snapshot: unknown version")
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
