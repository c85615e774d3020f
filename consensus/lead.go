package consensus

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// leading turns raft's leadership into contexts. Its watch goroutine owns now.
type leading struct {
	q        *Quorum
	raft     *raft.Raft
	contacts *contacts
	now      *leadership    // the one under way
	calls    sync.WaitGroup // the goroutines of all leaderships
	last     chan struct{}  // closed when the last OnLead has returned
}

// leadership is one term of this node as the leader.
type leadership struct {
	term   uint64
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	over  bool
	users sync.WaitGroup // those that wait for answers from raft
}

// enter lets a caller wait for raft's answers until it calls users.Done. Raft
// may not be shut down meanwhile: then it forgets to answer.
func (n *leadership) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		return false
	}
	n.users.Add(1)
	return true
}

// finish ends the leadership and waits for its users.
func (n *leadership) finish(cause error) {
	n.cancel(cause)
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	n.users.Wait()
}

// watch compares what raft says with the leadership under way, whenever raft
// tells of a change, until ctx ends. It looks at the state, not at the message,
// so that losing and regaining leadership in one breath is seen as two terms.
func (l *leading) watch(ctx context.Context) {
	defer l.end(ErrStopped)
	for {
		term, leads := l.term()
		if l.now != nil && (!leads || l.now.term != term) {
			l.end(ErrDeposed)
		}
		if l.now == nil && leads {
			l.begin(term)
		}
		select {
		case <-l.raft.LeaderCh():
		case <-ctx.Done():
			return
		}
	}
}

// term returns raft's term if this node leads in it. Raft stops leading before
// it raises its term, so a term that is the same before and after was led.
func (l *leading) term() (uint64, bool) {
	for {
		term := l.raft.CurrentTerm()
		leads := l.raft.State() == raft.Leader
		if l.raft.CurrentTerm() == term {
			return term, leads
		}
	}
}

func (l *leading) begin(term uint64) {
	ctx, cancel := context.WithCancelCause(context.Background())
	n := &leadership{term: term, ctx: ctx, cancel: cancel}
	before, done := l.last, make(chan struct{})
	l.now, l.last = n, done
	l.contacts.reset()
	l.q.history.add(Event{Time: time.Now(), Term: term, What: "leads"})
	l.q.cfg.Log.Info("elected", "term", term)
	l.calls.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		l.run(n)
	})
	if n.enter() {
		l.calls.Go(func() {
			defer n.users.Done()
			l.manage(n)
		})
	}
}

// end tells the leadership under way that it is over. It returns when nothing
// of it uses raft any more; its OnLead may still be winding down.
func (l *leading) end(cause error) {
	n := l.now
	if n == nil {
		return
	}
	l.now = nil
	n.finish(cause)
	l.q.history.add(Event{Time: time.Now(), Term: n.term, What: "leads no more", Reason: cause.Error()})
	l.q.cfg.Log.Debug("leading no more", "term", n.term, "err", cause)
	l.q.signal()
}

// wait returns when every OnLead has.
func (l *leading) wait() { l.calls.Wait() }

// run calls OnLead once all that was committed before is applied here.
func (l *leading) run(n *leadership) {
	log := l.q.cfg.Log.With("term", n.term)
	for n.ctx.Err() == nil {
		if err := n.ask(l.raft.Barrier, 0); err != nil {
			log.Debug("barrier failed", "err", err)
			pause(n.ctx, l.q.cfg.Heartbeat/10)
			continue
		}
		l.call(n)
		if n.ctx.Err() == nil {
			log.Warn("the leader's work ended early: giving leadership away")
			if err := n.ask(func(time.Duration) raft.Future { return l.raft.LeadershipTransfer() }, 0); err != nil {
				log.Info("leadership not handed over", "err", err)
			}
			pause(n.ctx, time.Second)
		}
	}
}

// ask waits for raft's answer to one request.
func (n *leadership) ask(request func(time.Duration) raft.Future, timeout time.Duration) error {
	if !n.enter() {
		return context.Cause(n.ctx)
	}
	defer n.users.Done()
	return request(timeout).Error()
}

// call runs OnLead with a queue for proposals open.
func (l *leading) call(n *leadership) {
	if !n.enter() {
		return
	}
	q := l.q
	p := newProposals(q.cfg.Pending)
	ctx, cancel := context.WithCancel(n.ctx)
	var committer sync.WaitGroup
	committer.Go(func() {
		defer n.users.Done()
		p.commit(ctx, l.raft)
	})
	q.setOpen(p)
	q.signal()
	if q.cfg.OnLead != nil {
		q.cfg.OnLead(n.ctx, n.term, q.replica.clone())
	} else {
		<-n.ctx.Done()
	}
	q.setOpen(nil)
	cancel()
	committer.Wait()
}

func (q *Quorum) setOpen(p *proposals) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = p
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
