package client

import (
	"sync"

	"muster/offers/mesos/scheduler"
)

// pump reads a session's events in a goroutine of its own, so that waiting for
// one can end with a context without ending the session.
type pump struct {
	session *Session
	events  chan *scheduler.Event
	failed  chan error // gets one error, after the last event was taken
	done    chan struct{}
	running sync.WaitGroup
}

func newPump(s *Session) *pump {
	p := &pump{session: s, events: make(chan *scheduler.Event), failed: make(chan error, 1), done: make(chan struct{})}
	p.running.Go(p.read)
	return p
}

func (p *pump) read() {
	for {
		e, err := p.session.Next()
		if err != nil {
			p.failed <- err
			return
		}
		select {
		case p.events <- e:
		case <-p.done:
			return
		}
	}
}

// close ends the session and waits for the goroutine.
func (p *pump) close() {
	close(p.done)
	_ = p.session.Close() // the stream is over, whatever the connection says
	p.running.Wait()
}
