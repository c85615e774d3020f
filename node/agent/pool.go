package agent

// pool runs jobs, so many at a time, each in its own goroutine. It belongs to
// the agent's goroutine; a job's end comes back as an input.
type pool struct {
	a       *Agent
	slots   int
	busy    int
	waiting []func()
}

// do runs job when a slot is free. It never waits.
func (p *pool) do(job func()) {
	if p.busy == p.slots {
		p.waiting = append(p.waiting, job)
		return
	}
	p.busy++
	p.a.spawn(func() {
		job()
		p.a.post(p.done)
	})
}

func (p *pool) done() {
	p.busy--
	if len(p.waiting) == 0 {
		p.waiting = nil
		return
	}
	next := p.waiting[0]
	p.waiting = p.waiting[1:]
	p.do(next)
}
