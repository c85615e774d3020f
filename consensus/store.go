package consensus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"golang.org/x/sys/unix"
)

const (
	segmentSize   = 8 << 20 // a segment is allocated whole; the log is small
	keptSnapshots = 2
)

// store is what a Quorum keeps on disk: Dir/lock, Dir/log, Dir/snapshots.
type store struct {
	lock  *os.File
	meta  *metadb.BoltMetaDB
	log   *wal.WAL
	snaps *snapshots
}

// openStore opens the folder, and makes it if it is not there.
func openStore(dir string, log hclog.Logger) (s *store, err error) {
	s = &store{meta: &metadb.BoltMetaDB{}}
	defer func() {
		// The libraries panic on some kinds of damage.
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
		if err != nil {
			err = fmt.Errorf("open %s: %w", dir, errors.Join(err, s.close()))
			s = nil
		}
	}()
	logDir := filepath.Join(dir, "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return s, err
	}
	if s.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return s, err
	}
	s.log, err = wal.Open(logDir, wal.WithMetaStore(s.meta), wal.WithSegmentSize(segmentSize), wal.WithLogger(log))
	if err != nil {
		return s, fmt.Errorf("%w: log: %w", ErrDamaged, err)
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keptSnapshots, log)
	if err != nil {
		return s, err
	}
	s.snaps = &snapshots{FileSnapshotStore: files, opened: func(*raft.SnapshotMeta) {}}
	return s, s.checkHeld()
}

// heldKey is where the store notes an index that it has held, committed. A log
// that ends before it was damaged: the libraries take what they cannot read at a
// log's end for a write that was cut short.
var heldKey = []byte("muster.held")

// noteHeld notes that all up to a committed entry is held.
func (s *store) noteHeld(index uint64) error {
	held, err := s.held()
	if err != nil || index <= held {
		return err
	}
	return s.log.SetUint64(heldKey, index)
}

func (s *store) held() (uint64, error) {
	held, err := s.log.GetUint64(heldKey)
	if err != nil && err.Error() == "not found" {
		return 0, nil
	}
	return held, err
}

func (s *store) checkHeld() error {
	held, err := s.held()
	if err != nil || held == 0 {
		return err
	}
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	snaps, err := s.snaps.List()
	if err != nil {
		return err
	}
	if len(snaps) > 0 {
		last = max(last, snaps[0].Index)
	}
	if last < held {
		return fmt.Errorf("%w: the log ends at entry %d, but has reached %d", ErrDamaged, last, held)
	}
	return nil
}

// lockFile takes the lock that keeps a second process out: without it that one
// would wait for the first for ever.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *store) close() error {
	var errs []error
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	errs = append(errs, s.meta.Close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// bootstrap writes the first two entries: this node as the only voter, and the
// first operations. A crash between the two is made good by the next call.
func (s *store) bootstrap(cfg *raft.Config, first []byte) error {
	server := raft.Server{ID: cfg.LocalID, Address: raft.ServerAddress(cfg.LocalID)}
	err := raft.BootstrapCluster(cfg, s.log, s.log, s.snaps, nil, raft.Configuration{Servers: []raft.Server{server}})
	if errors.Is(err, raft.ErrCantBootstrap) && len(first) > 0 && s.halfBootstrapped() {
		err = nil
	}
	switch {
	case errors.Is(err, raft.ErrCantBootstrap):
		return ErrBootstrapped
	case err != nil:
		return err
	case len(first) == 0:
		return nil
	}
	if err := s.log.StoreLog(&raft.Log{Index: 2, Term: 1, Type: raft.LogCommand, Data: first}); err != nil {
		return err
	}
	return s.noteHeld(2)
}

func (s *store) halfBootstrapped() bool {
	last, err := s.log.LastIndex()
	if err != nil || last != 1 {
		return false
	}
	var entry raft.Log
	if s.log.GetLog(1, &entry) != nil {
		return false
	}
	return entry.Term == 1 && entry.Type == raft.LogConfiguration
}

// snapshots tells of the membership a snapshot carries, which raft does not
// hand to the state machine.
type snapshots struct {
	*raft.FileSnapshotStore
	opened func(*raft.SnapshotMeta)
}

func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.FileSnapshotStore.Open(id)
	if err == nil {
		s.opened(meta)
	}
	return meta, r, err
}
