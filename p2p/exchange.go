package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	exchangeProtocol = "directory/1"
	exchangeTimeout  = 10 * time.Second
	pulseProtocol    = "pulse/1"
	pulseSize        = 32 // four numbers of 8 bytes, see pulseOf
	pulseEvery       = 500 * time.Millisecond
	pulsesPerSecond  = 64 // at most, over all peers: with more peers each pulse is rarer
)

// An exchange gives each side all announcements of the other. It is made on
// connecting, so that a node that has just come knows the leader at once, and
// when a pulse shows that the other side knows of a newer leadership.

func (m *Mesh) exchange(ctx context.Context, with peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	s, err := m.open(ctx, m.host, with, m.protocol(exchangeProtocol))
	if err != nil {
		m.log.Debug("directory not exchanged", "peer", peerID(with), "err", err)
		return
	}
	m.swap(stream{s})
}

func (m *Mesh) answerExchange(_ context.Context, s Stream) { m.swap(s) }

func (m *Mesh) swap(s Stream) {
	defer s.Close()
	if err := s.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		_ = s.Reset()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, raw := range m.directory.snapshot() {
			if err := writeRaw(s, maxAnnouncement, raw); err != nil {
				m.log.Debug("directory not sent", "peer", s.RemotePeer(), "err", err)
				_ = s.Reset()
				return
			}
		}
		_ = s.CloseWrite() // its failure shows as the reader's
	})
	m.receive(s)
	wg.Wait()
	poke(m.again)
}

func (m *Mesh) receive(s Stream) {
	for range maxNodes + 1 {
		raw, err := readRaw(s, maxAnnouncement)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = m.take(raw, false, time.Now())
		}
		switch {
		case err == nil, errors.Is(err, errStale), errors.Is(err, errTakeover):
		case errors.Is(err, ErrNotMember), errors.Is(err, ErrRemoved):
			m.log.Debug("announcement passed over", "peer", s.RemotePeer(), "err", err)
		default:
			m.log.Debug("directory exchange broken off", "peer", s.RemotePeer(), "err", err)
			_ = s.Reset()
			return
		}
	}
	_ = s.Reset() // more than a directory holds
}

// A pulse is how two connected nodes know that the other one lives: a frozen
// process keeps its connections, and so does a machine that lost its power, for
// minutes. Of each pair the one with the smaller ID sends and the other answers.

// pulseForever sends pulses as long as the greeting on this connection stands.
func (m *Mesh) pulseForever(ctx context.Context, p peer.ID, conn string) {
	for m.roster.greetedOn(p) == conn && ctx.Err() == nil {
		if s, err := m.open(ctx, m.host, p, m.protocol(pulseProtocol)); err == nil {
			m.pulse(ctx, stream{s}, p, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pulseEvery):
		}
	}
}

func (m *Mesh) pulse(ctx context.Context, s Stream, p peer.ID, conn string) {
	defer s.Reset() // nothing is ever in flight that matters
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	var theirs [pulseSize]byte
	for m.roster.greetedOn(p) == conn {
		every := m.pulseInterval()
		if err := s.SetDeadline(time.Now().Add(m.holds(every))); err != nil {
			return
		}
		if _, err := s.Write(m.pulseOf(every)); err != nil {
			return
		}
		if _, err := io.ReadFull(s, theirs[:]); err != nil {
			return
		}
		m.felt(p, every, theirs)
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func (m *Mesh) answerPulse(_ context.Context, s Stream) {
	defer s.Reset()
	p, err := s.RemotePeer().decode()
	if err != nil {
		return
	}
	var theirs [pulseSize]byte
	for {
		if err := s.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return
		}
		if _, err := io.ReadFull(s, theirs[:]); err != nil {
			return
		}
		if !m.roster.member(p, time.Now()) {
			return
		}
		every := min(time.Duration(binary.BigEndian.Uint64(theirs[:])%(1<<20))*time.Millisecond, 20*time.Second)
		m.felt(p, every, theirs)
		if _, err := s.Write(m.pulseOf(every)); err != nil {
			return
		}
	}
}

// pulseInterval keeps the number of pulses a second bounded.
func (m *Mesh) pulseInterval() time.Duration {
	n := len(m.host.Network().Peers())
	return max(pulseEvery, time.Duration(n)*time.Second/pulsesPerSecond)
}

// holds is how long one pulse counts as a sign of life.
func (m *Mesh) holds(every time.Duration) time.Duration {
	return max(m.cfg.AliveTimeout, every+m.cfg.AliveTimeout-pulseEvery)
}

// pulseOf is a pulse: its interval in milliseconds; of the leadership that this
// node knows the term and the sequence it came with; and the sequence of this
// node's own record.
func (m *Mesh) pulseOf(every time.Duration) []byte {
	v := m.directory.version()
	b := make([]byte, 0, pulseSize)
	for _, n := range []uint64{uint64(every.Milliseconds()), v.term, v.led, v.record} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// felt notes a pulse. If its sender knows of a newer leadership or has a newer
// record than what gossip has brought, the sender is asked: gossip may lose a
// message, most of all when two nodes have only just met.
func (m *Mesh) felt(p peer.ID, every time.Duration, pulse [pulseSize]byte) {
	m.directory.contact(peerID(p), m.holds(every), time.Now())
	theirs := version{
		term:   binary.BigEndian.Uint64(pulse[8:]),
		led:    binary.BigEndian.Uint64(pulse[16:]),
		record: binary.BigEndian.Uint64(pulse[24:]),
	}
	if m.directory.misses(peerID(p), theirs) {
		m.spawn(func(ctx context.Context) { m.exchange(ctx, p) })
	}
}
