package offers

import (
	"cmp"
	"slices"
	"time"

	"muster/offers/view"
)

// staleness is how far the view is behind what is true of an agent or a framework.
type staleness uint8

const (
	staleUsage staleness = 1 << iota // its resources have changed
	staleFact                        // anything else has
)

// dirty is what the view has to be told of at the end of a Step. Changes of
// resources alone wait for the next Tick, so that a burst of inputs is told once.
// What is in a list and no longer stale has been told, or is gone.
type dirty struct {
	frameworks, used []*framework
	agents, usedOn   []*agent
	waiting          int  // agents and frameworks whose resources have changed
	flush            bool // this Step is a Tick

	maintenance bool // the schedule, or what was answered to it
}

func (d *dirty) framework(f *framework) {
	if f.stale&staleFact == 0 {
		f.stale |= staleFact
		d.frameworks = append(d.frameworks, f)
	}
}

func (d *dirty) agent(a *agent) {
	if a.stale&staleFact == 0 {
		a.stale |= staleFact
		d.agents = append(d.agents, a)
	}
}

// usage notes that a framework, which may be nil, uses more or less of an agent.
func (d *dirty) usage(f *framework, a *agent) {
	if f != nil && f.stale&staleUsage == 0 {
		f.stale |= staleUsage
		d.used = append(d.used, f)
		d.waiting++
	}
	if a.stale&staleUsage == 0 {
		a.stale |= staleUsage
		d.usedOn = append(d.usedOn, a)
		d.waiting++
	}
}

func (d *dirty) forgetFramework(f *framework) { d.told(&f.stale) }
func (d *dirty) forgetAgent(a *agent)         { d.told(&a.stale) }

func (d *dirty) told(s *staleness) {
	if *s&staleUsage != 0 {
		d.waiting--
	}
	*s = 0
}

// resources reports whether changes wait for a Tick.
func (d *dirty) resources() bool { return d.waiting > 0 }

// publishChanges tells the view what has changed in this Step.
func (m *Master) publishChanges() {
	d := &m.dirty
	if d.flush {
		d.flush = false
		d.frameworks, d.agents = append(d.frameworks, d.used...), append(d.agents, d.usedOn...)
		d.used, d.usedOn = emptied(d.used), emptied(d.usedOn)
	}
	slices.SortStableFunc(d.agents, func(x, y *agent) int { return cmp.Compare(x.id, y.id) })
	for _, a := range d.agents {
		if a.stale != 0 {
			d.told(&a.stale)
			m.publish(view.AgentEvent(m.agentFact(a)))
		}
	}
	slices.SortStableFunc(d.frameworks, func(x, y *framework) int { return cmp.Compare(x.id, y.id) })
	for _, f := range d.frameworks {
		if f.stale != 0 {
			d.told(&f.stale)
			if f.admitted && m.frameworks[f.id] == f {
				m.publish(view.FrameworkEvent(f.fact(time.Time{})))
			}
		}
	}
	if d.maintenance {
		d.maintenance = false
		m.publish(view.MaintenanceEvent(m.maintenanceFact()))
	}
	d.agents, d.frameworks = emptied(d.agents), emptied(d.frameworks)
}

// emptied returns a list for the next Step, without what it held.
func emptied[T any](list []T) []T {
	clear(list)
	return list[:0]
}
