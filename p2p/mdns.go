package p2p

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/zeroconf/v2"
	ma "github.com/multiformats/go-multiaddr"
)

// Each cluster has a service name of its own, so that neighbours of another
// cluster are not even dialled. What is found there proves nothing: a peer is a
// member when its certificate says so.
func mdnsService(cluster string) string { return "_muster-" + cluster + "._udp" }

// multicast announces this node and notes the members it finds. Without
// multicast (a container, a strict network) the mesh does without.
func (m *Mesh) multicast(ctx context.Context) error {
	s := mdns.NewMdnsService(m.host, mdnsService(m.id.cluster), found(func(info peer.AddrInfo) {
		m.noteSeen(info)
	}))
	if err := s.Start(); err != nil {
		m.log.Info("no discovery by multicast DNS", "err", err)
	}
	<-ctx.Done()
	if err := s.Close(); err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	return nil
}

const maxSeen = 1024

func (m *Mesh) noteSeen(info peer.AddrInfo) {
	if info.ID == m.self || len(info.Addrs) == 0 {
		return
	}
	addrs := make([]string, 0, len(info.Addrs))
	for _, a := range info.Addrs[:min(len(info.Addrs), maxAddresses)] {
		addrs = append(addrs, a.String())
	}
	m.mu.Lock()
	p := peerID(info.ID)
	_, known := m.seen[p]
	if known || len(m.seen) < maxSeen {
		m.seen[p] = sighting{addrs, time.Now()}
	}
	m.mu.Unlock()
	if !known {
		m.wake()
	}
}

type found func(peer.AddrInfo)

// HandlePeerFound is libp2p's callback.
func (f found) HandlePeerFound(info peer.AddrInfo) { f(info) }

// lookAround finds members of a cluster by multicast DNS, for a joiner, until ctx ends.
func lookAround(ctx context.Context, cluster string, f func(peer.AddrInfo)) error {
	entries := make(chan *zeroconf.ServiceEntry, 64)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case e, ok := <-entries:
				if !ok {
					return
				}
				for _, info := range entryPeers(e) {
					f(info)
				}
			case <-ended:
				return
			}
		}
	}()
	err := zeroconf.Browse(ctx, mdnsService(cluster), "local", entries)
	close(ended)
	<-done
	return err
}

// entryPeers reads the peers of an entry; it is empty if the entry is not one of ours.
func entryPeers(e *zeroconf.ServiceEntry) []peer.AddrInfo {
	var addrs []ma.Multiaddr
	for _, text := range e.Text {
		if text, ok := strings.CutPrefix(text, "dnsaddr="); ok {
			if a, err := ma.NewMultiaddr(text); err == nil {
				addrs = append(addrs, a)
			}
		}
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil
	}
	return infos
}
