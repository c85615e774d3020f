package offers

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/resource"
	"muster/offers/view"
)

// defaultRefusal is how long a framework is not offered again what it declined
// without saying how long.
const defaultRefusal = 5 * time.Second

// offer is one outstanding offer. Its resources count as used while it is out.
type offer struct {
	id        string
	number    int
	framework *framework
	agent     *agent
	role      string
	resources resource.Set // allocated to role
	made      time.Time
	expiry    *timer
}

// sortedOffers returns a framework's offers, the oldest first.
func (f *framework) sortedOffers() []*offer { return byNumber(f.offers) }

// makeOffers asks the allocator who is offered what and tells each framework in
// one event.
func (m *Master) makeOffers() {
	if next := m.allocator.Next(); next.IsZero() || next.After(m.now) {
		return
	}
	made := map[string][]*mesos.Offer{}
	var order []*framework
	for _, g := range m.allocator.Allocate(m.now) {
		f, a := m.frameworks[g.Framework], m.agents[g.Agent]
		res := g.Resources.Allocate(g.Role)
		if f == nil || !f.active || a == nil || !m.offerable(a) {
			m.recover(g.Framework, g.Agent, res, nil)
			continue
		}
		o := m.addOffer(f, a, g.Role, res)
		full := o.message()
		m.publish(view.OfferEvent(full))
		if made[f.id] == nil {
			order = append(order, f)
		}
		made[f.id] = append(made[f.id], f.sees(o, full))
	}
	for _, f := range order {
		m.event(f, &scheduler.Event{
			Type:   scheduler.Event_OFFERS.Enum(),
			Offers: &scheduler.Event_Offers{Offers: made[f.id]},
		})
	}
}

func (m *Master) addOffer(f *framework, a *agent, role string, res resource.Set) *offer {
	o := &offer{
		id: fmt.Sprintf("%s-O%d", m.cfg.MasterID, m.lastOffer), number: m.lastOffer,
		framework: f, agent: a, role: role, resources: res, made: m.now,
	}
	m.lastOffer++
	m.offers[o.id] = o
	f.offers[o.id] = o
	a.offers[o.id] = o
	a.offered = a.offered.Add(res)
	f.offered = f.offered.Add(res.Scalars())
	m.dirty.usage(f, a)
	m.oweInverse(a)
	if m.cfg.OfferTimeout > 0 {
		o.expiry = m.timers.set(m.now.Add(m.cfg.OfferTimeout), func() { m.rescind(o, nil) })
	}
	return o
}

// takeOffer ends an offer; what becomes of its resources is the caller's to say.
func (m *Master) takeOffer(o *offer) {
	m.timers.stop(o.expiry)
	delete(m.offers, o.id)
	delete(o.framework.offers, o.id)
	delete(o.agent.offers, o.id)
	o.agent.offered = o.agent.offered.Sub(o.resources)
	o.framework.offered = o.framework.offered.Sub(o.resources.Scalars())
	m.dirty.usage(o.framework, o.agent)
	m.publish(view.OfferRemovedEvent(o.id))
}

// discard ends an offer without a word to its framework.
func (m *Master) discard(o *offer, refuse *time.Duration) {
	m.takeOffer(o)
	m.recover(o.framework.id, o.agent.id, o.resources, refuse)
}

// rescind takes an offer back and tells its framework.
func (m *Master) rescind(o *offer, refuse *time.Duration) {
	m.discard(o, refuse)
	m.event(o.framework, &scheduler.Event{
		Type:    scheduler.Event_RESCIND.Enum(),
		Rescind: &scheduler.Event_Rescind{OfferId: offerID(o.id)},
	})
}

// decline takes in that a framework does not want its offers. Unknown ones are ignored.
func (m *Master) decline(f *framework, call *scheduler.Call_Decline) {
	refuse := refusal(call.GetFilters())
	for _, id := range call.GetOfferIds() {
		if o := f.offers[id.GetValue()]; o != nil {
			m.discard(o, refuse)
		}
	}
}

// refusal returns for how long declined resources are not to be offered again.
func refusal(f *mesos.Filters) *time.Duration {
	d := defaultRefusal
	if s := f.GetRefuseSeconds(); !math.IsNaN(s) && s >= 0 {
		d = duration(s)
	}
	return &d
}

// revive and suppress drop the whole call when a role is not one the framework has.
func (m *Master) revive(f *framework, roles []string) {
	if !f.hasRoles(roles) {
		return
	}
	f.suppressed = without(f.suppressed, f.orAll(roles))
	m.allocator.Revive(m.now, f.id, f.orAll(roles))
	m.demandAgain(f)
	m.forgiveInverse(f)
}

func (m *Master) suppress(f *framework, roles []string) {
	if !f.hasRoles(roles) {
		return
	}
	all := f.orAll(roles)
	f.suppressed = slices.Compact(slices.Sorted(slices.Values(append(without(f.suppressed, all), all...))))
	m.allocator.Suppress(f.id, all)
	if len(without(f.roles, f.suppressed)) == 0 {
		f.requests = nil
	}
}

func (f *framework) orAll(roles []string) []string {
	if len(roles) == 0 {
		return f.roles
	}
	return roles
}

func (f *framework) hasRoles(roles []string) bool {
	return len(without(roles, f.roles)) == 0
}

// without returns a new slice of what is in a and not in b.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		found := false
		for _, t := range b {
			found = found || s == t
		}
		if !found {
			out = append(out, s)
		}
	}
	return out
}

// message returns the offer with everything that can be said of it.
func (o *offer) message() *mesos.Offer {
	a := o.agent
	msg := &mesos.Offer{
		Id:             offerID(o.id),
		FrameworkId:    o.framework.info.GetId(),
		AgentId:        a.info.GetId(),
		Hostname:       a.info.Hostname,
		Url:            a.url,
		Domain:         a.info.GetDomain(),
		Resources:      o.resources.Proto(),
		Attributes:     a.info.GetAttributes(),
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String(o.role)},
		Unavailability: a.upkeep.when(),
	}
	for _, e := range sorted(a.executors[o.framework.id]) {
		msg.ExecutorIds = append(msg.ExecutorIds, e.info.GetExecutorId())
	}
	if msg.Hostname == nil {
		msg.Hostname = proto.String("")
	}
	return msg
}

// sees returns an offer as a framework's capabilities let it read it.
func (f *framework) sees(o *offer, full *mesos.Offer) *mesos.Offer {
	if f.readsAll() {
		return full
	}
	msg := &mesos.Offer{
		Id: full.Id, FrameworkId: full.FrameworkId, AgentId: full.AgentId, Hostname: full.Hostname, Url: full.Url,
		Domain: full.Domain, Resources: f.reads(o.resources), Attributes: full.Attributes, ExecutorIds: full.ExecutorIds,
		AllocationInfo: full.AllocationInfo, Unavailability: full.Unavailability,
	}
	if !f.caps.multiRole {
		msg.AllocationInfo = nil
	}
	return msg
}

// agentURL returns the address of an agent's API in the form offers carry.
func agentURL(hostname, address string) *mesos.URL {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return nil
	}
	n, err := strconv.ParseUint(address[colon+1:], 10, 16)
	if err != nil {
		return nil
	}
	host := strings.Trim(address[:colon], "[]")
	return &mesos.URL{
		Scheme:  proto.String("http"),
		Address: &mesos.Address{Hostname: proto.String(hostname), Ip: proto.String(host), Port: proto.Int32(int32(n))},
		Path:    proto.String("/slave(1)"),
	}
}
