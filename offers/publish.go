package offers

import (
	"time"

	"muster/offers/view"
)

// dirty is what the view has to be told of at the end of a Step. Changes of
// resources alone wait for the next Tick, so that a burst of inputs is told once.
type dirty struct {
	frameworks map[string]*framework
	agents     map[string]*agent
	usage      map[string]*framework // only their resources have changed
	usageOn    map[string]*agent
	flush      bool // this Step is a Tick

	maintenance bool // the schedule, or what was answered to it
}

func newDirty() dirty {
	return dirty{
		frameworks: map[string]*framework{}, agents: map[string]*agent{},
		usage: map[string]*framework{}, usageOn: map[string]*agent{},
	}
}

func (d *dirty) framework(f *framework) { d.frameworks[f.id] = f }
func (d *dirty) agent(a *agent)         { d.agents[a.id] = a }

func (d *dirty) used(f *framework, a *agent) {
	if f != nil {
		d.usage[f.id] = f
	}
	d.usageOn[a.id] = a
}

func (d *dirty) forgetFramework(f *framework) {
	delete(d.frameworks, f.id)
	delete(d.usage, f.id)
}

func (d *dirty) forgetAgent(a *agent) {
	delete(d.agents, a.id)
	delete(d.usageOn, a.id)
}

// resources reports whether changes wait for a Tick.
func (d *dirty) resources() bool { return len(d.usage)+len(d.usageOn) > 0 }

// publishChanges tells the view what has changed in this Step.
func (m *Master) publishChanges() {
	d := &m.dirty
	if d.flush {
		for id, f := range d.usage {
			d.frameworks[id] = f
		}
		for id, a := range d.usageOn {
			d.agents[id] = a
		}
		clear(d.usage)
		clear(d.usageOn)
		d.flush = false
	}
	for _, a := range sorted(d.agents) {
		m.publish(view.AgentEvent(m.agentFact(a)))
		delete(d.usageOn, a.id)
	}
	for _, f := range sorted(d.frameworks) {
		if f.admitted && m.frameworks[f.id] == f {
			m.publish(view.FrameworkEvent(f.fact(time.Time{})))
		}
		delete(d.usage, f.id)
	}
	if d.maintenance {
		d.maintenance = false
		m.publish(view.MaintenanceEvent(m.maintenanceFact()))
	}
	clear(d.agents)
	clear(d.frameworks)
}
