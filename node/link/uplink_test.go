package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"muster/offers/protocol"
)

func TestUplinkCarriesBothWaysInOrder(t *testing.T) {
	for _, where := range []string{self, "other"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := w.local
				if where != self {
					p = &port{}
					w.peers[where] = p
				}
				p.term = 3
				w.compass.point(where, 3)
				w.wantLink(1)
				var sent []string
				for i := range 3000 {
					text := fmt.Sprint("m", i)
					sent = append(sent, text)
					if err := w.uplink.Send(upward(text)); err != nil {
						t.Fatal(err)
					}
					if err := p.down().Send(downward(text)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				_, atMaster, _ := p.state()
				wantStrings(t, atMaster, sent...)
				_, _, atUser := w.user.state()
				wantStrings(t, atUser, sent...)
			})
		})
	}
}

func TestIdleLinkStaysUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.peers["a"] = &port{term: 1}
		w.compass.point("a", 1)
		w.wantLink(1)
		pass(10 * silence)
		w.wantLink(1)
	})
}

func TestUplinkGoesWhereTheLeaderIs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := &port{term: 1}, &port{term: 2}
		w.peers["a"], w.peers["b"] = a, b
		pass(time.Minute)
		w.wantNone()
		w.compass.point("a", 1)
		w.wantLink(1)
		w.compass.point("b", 2)
		pass(time.Second)
		w.wantLink(2)
		if _, _, closed := a.state(); len(closed) != 1 {
			t.Fatalf("the deposed leader's side closed %d times", len(closed))
		}
		w.local.term = 3
		w.compass.point(self, 3)
		pass(time.Second)
		w.wantLink(3)
		w.compass.point("b", 2) // older news
		pass(time.Second)
		w.wantLink(3)
	})
}

func TestSameLeaderInANewTermIsANewLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := &port{term: 1}
		w.peers["a"] = a
		w.compass.point("a", 1)
		w.wantLink(1)
		a.mu.Lock()
		a.term = 4
		a.mu.Unlock()
		w.compass.point("a", 4)
		pass(time.Second)
		w.wantLink(2)
	})
}

func TestLeaderThatIsAheadOfTheDirectoryKeepsItsLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.peers["a"] = &port{term: 7}
		w.compass.point("a", 5)
		w.wantLink(1)
		w.compass.point("a", 7)
		pass(time.Second)
		w.wantLink(1)
		if w.user.terms[0] != 7 {
			t.Fatalf("the user was told of term %d", w.user.terms[0])
		}
	})
}

func TestLeaderOfAnOlderTermIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.peers["a"] = &port{term: 4}
		w.compass.point("a", 5)
		pass(5 * time.Second)
		w.wantNone()
	})
}

func TestNodeThatDoesNotLeadYetIsAskedAgain(t *testing.T) {
	for _, where := range []string{self, "a"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.peers["a"] = &port{}
				w.compass.point(where, 5)
				pass(5 * time.Second)
				w.wantNone()
				for _, p := range []*port{w.local, w.peers["a"]} {
					p.mu.Lock()
					p.term = 5
					p.mu.Unlock()
				}
				pass(3 * backoffLast)
				w.wantLink(1)
			})
		})
	}
}

func TestFrozenLeaderIsLeftWhenAnotherLeads(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.frozen["a"] = true
		w.peers["b"] = &port{term: 2}
		w.compass.point("a", 1)
		pass(time.Second) // the exchange of hellos is under way
		w.compass.point("b", 2)
		pass(100 * time.Millisecond)
		w.wantLink(1)
	})
}

func TestLeaderThatFreezesIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		here, there := net.Pipe()
		w.uplink.dial = func(context.Context, string, string) (Stream, error) { return here, nil }
		w.compass.point("a", 1)
		f := newFrames(there)
		if err := f.hear(); err != nil {
			t.Fatal(err)
		}
		one := uint64(1)
		if err := f.write(&protocol.Hello{Term: &one}, true); err != nil {
			t.Fatal(err)
		}
		w.wantLink(1)
		// The peer reads nothing more: a write blocks, and the silence tells.
		if err := w.uplink.Send(upward("x")); err != nil {
			t.Fatal(err)
		}
		pass(silence - time.Second)
		w.wantLink(1)
		pass(2 * time.Second)
		w.wantNone()
		there.Close()
	})
}

func TestFrozenLeaderWithABlockedWriteIsLeftAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		here, there := net.Pipe()
		defer there.Close()
		w.peers["b"] = &port{term: 2}
		through := w.uplink.dial
		w.uplink.dial = func(ctx context.Context, peer, protocol string) (Stream, error) {
			if peer == "a" {
				return here, nil
			}
			return through(ctx, peer, protocol)
		}
		w.compass.point("a", 1)
		f := newFrames(there)
		one := uint64(1)
		if err := errors.Join(f.hear(), f.write(&protocol.Hello{Term: &one}, true)); err != nil {
			t.Fatal(err)
		}
		w.wantLink(1)
		if err := w.uplink.Send(upward("x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the write blocks
		w.compass.point("b", 2)
		pass(100 * time.Millisecond)
		w.wantLink(2)
	})
}

func TestSlowLeaderCostsTheLink(t *testing.T) {
	for _, where := range []string{self, "a"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := &port{term: 1, blocked: make(chan struct{})}
				w.local, w.peers["a"] = p, p
				w.uplink.local = p
				w.compass.point(where, 1)
				w.wantLink(1)
				var err error
				big := strings.Repeat("x", 8<<10) // more than the buffers on the way hold
				for n := 0; err == nil && n < 2*queueSize; n++ {
					err = w.uplink.Send(upward(big))
				}
				if !errors.Is(err, ErrSlow) {
					t.Fatalf("Send to a leader that takes nothing: %v", err)
				}
				if err := w.uplink.Send(upward("x")); err == nil {
					t.Fatal("a message was taken by a link that is over")
				}
				close(p.blocked)
				pass(time.Second)
				w.wantLink(2)
			})
		})
	}
}

func TestSlowAgentLosesItsLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := &port{term: 1}
		here, there := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- Serve(w.ctx, there, "slow", Port[up, down](p)) }()
		f := newFrames(here)
		one := uint64(1)
		var hello protocol.Hello
		err := f.write(&protocol.Hello{Term: &one}, true)
		if _, rerr := f.read(&hello); err != nil || rerr != nil {
			t.Fatal(err, rerr)
		}
		for n := 0; err == nil && n < 2*queueSize; n++ {
			err = p.down().Send(downward(strings.Repeat("x", 8<<10)))
		}
		if !errors.Is(err, ErrSlow) {
			t.Fatalf("Send to an agent that reads nothing: %v", err)
		}
		if err := <-served; !errors.Is(err, ErrSlow) {
			t.Fatalf("Serve ended with %v", err)
		}
		if _, _, closed := p.state(); len(closed) != 1 || !errors.Is(closed[0], ErrSlow) {
			t.Fatalf("the port was told %v", closed)
		}
		here.Close()
	})
}

func TestClosedByTheLeaderAfterWhatWasSent(t *testing.T) {
	for _, where := range []string{self, "a"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				p := &port{term: 1}
				w.peers["a"], w.uplink.local = p, p
				w.compass.point(where, 1)
				w.wantLink(1)
				d := p.down()
				for _, text := range []string{"one", "two", "refused"} {
					if err := d.Send(downward(text)); err != nil {
						t.Fatal(err)
					}
				}
				d.Close(errors.New("gone"))
				if err := d.Send(downward("late")); !errors.Is(err, ErrClosed) {
					t.Fatalf("Send after Close: %v", err)
				}
				pass(time.Second)
				w.wantLink(2)
				_, _, got := w.user.state()
				wantStrings(t, got, "one", "two", "refused")
			})
		})
	}
}

func TestUserThatRefusesAMessageEndsTheLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := &port{term: 1}
		w.peers["a"] = p
		w.compass.point("a", 1)
		w.wantLink(1)
		w.user.fail = errors.New("older term")
		if err := p.down().Send(downward("x")); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if _, _, closed := p.state(); len(closed) != 1 {
			t.Fatalf("the leader's side closed %d times", len(closed))
		}
	})
}

func TestServeGivesUpOnACallerThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		p := &port{term: 1}
		began := time.Now()
		if err := Serve(t.Context(), there, "mute", Port[up, down](p)); err == nil {
			t.Fatal("served a mute caller")
		}
		if took := time.Since(began); took > helloTimeout {
			t.Fatalf("gave up after %s", took)
		}
		if opened, _, _ := p.state(); opened != 0 {
			t.Fatal("the port was opened")
		}
	})
}

func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		here, there := net.Pipe()
		defer here.Close()
		p := &port{term: 1}
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, there, "a", Port[up, down](p)) }()
		f := newFrames(here)
		if err := f.write(&protocol.Hello{}, true); err == nil {
			_, err = f.read(&protocol.Hello{})
			if err != nil {
				t.Fatal(err)
			}
		}
		stop := errors.New("the node stops")
		cancel(stop)
		if err := <-served; !errors.Is(err, stop) {
			t.Fatalf("Serve ended with %v", err)
		}
	})
}

// bytesStream is a stream of bytes that somebody else made up.
type bytesStream struct{ *bytes.Reader }

func (bytesStream) Write(p []byte) (int, error)      { return len(p), nil }
func (bytesStream) Close() error                     { return nil }
func (bytesStream) SetDeadline(time.Time) error      { return nil }
func (bytesStream) SetReadDeadline(time.Time) error  { return nil }
func (bytesStream) SetWriteDeadline(time.Time) error { return nil }

func TestFrameLengthIsNotBelieved(t *testing.T) {
	huge := binary.AppendUvarint(nil, maxFrame+1)
	if _, err := newFrames(bytesStream{bytes.NewReader(huge)}).read(&protocol.Hello{}); !errors.Is(err, errLarge) {
		t.Fatalf("a frame of more than maxFrame: %v", err)
	}
	short := append(binary.AppendUvarint(nil, maxFrame), 1, 2, 3)
	f := newFrames(bytesStream{bytes.NewReader(short)})
	if _, err := f.read(&protocol.Hello{}); err == nil {
		t.Fatal("a truncated frame was read")
	}
	if cap(f.buf) > 1<<20 {
		t.Fatalf("%d bytes were set aside for 3", cap(f.buf))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{3, 8, 1, 0})
	f.Add(binary.AppendUvarint(nil, 1<<62))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := newFrames(bytesStream{bytes.NewReader(b)})
		for {
			if _, err := fr.read(&protocol.MasterToAgent{}); err != nil {
				return
			}
		}
	})
}
