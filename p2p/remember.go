package p2p

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	rememberEvery = 2 * time.Second // at most; nothing is written unless it changed
	maxRemembered = 256
)

// sighting is where a node was that may be a member: met before this process
// began, or announced by multicast DNS.
type sighting struct {
	addrs []string
	when  time.Time
}

// recall reads the members met before; they are tried until the directory is known.
func (m *Mesh) recall() {
	raw, err := os.ReadFile(filepath.Join(m.cfg.Dir, peersFile))
	known := map[PeerID][]string{}
	if err == nil {
		err = json.Unmarshal(raw, &known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("remembered peers not read", "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, addrs := range known {
		id, err := p.decode()
		if err != nil || p == m.id.peer {
			continue
		}
		m.seen[p] = sighting{addrs, time.Now()}
		m.noteAddresses(id, addrs)
	}
}

// remember writes them: the voters, and others as they fit.
func (m *Mesh) remember() {
	all := m.directory.addresses()
	l, _ := m.directory.Leadership()
	peers := slices.DeleteFunc(slices.Clone(l.Voters), func(p PeerID) bool { return all[p] == nil })
	peers = append(peers, slices.Sorted(maps.Keys(all))...)
	known := map[PeerID][]string{}
	for _, p := range peers {
		if len(known) < maxRemembered {
			known[p] = all[p]
		}
	}
	if len(known) == 0 {
		return
	}
	if err := rememberPeers(m.cfg.Dir, known); err != nil {
		m.log.Warn("peers not remembered", "err", err)
	}
}

func rememberPeers(dir string, known map[PeerID][]string) error {
	raw, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("remember peers: %w", err)
	}
	path := filepath.Join(dir, peersFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == string(raw) {
		return nil
	}
	return writeFile(path, raw)
}
