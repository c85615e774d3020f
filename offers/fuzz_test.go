package offers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// chooser turns the fuzzer's bytes, and then a generator they seed, into choices.
type chooser struct {
	data []byte
	rand *rand.Rand
}

func newChooser(data []byte) *chooser {
	var seed uint64
	for _, b := range data {
		seed = seed*31 + uint64(b)
	}
	return &chooser{data, rand.New(rand.NewPCG(seed, 1))}
}

func (c *chooser) n(max int) int {
	if len(c.data) > 0 {
		b := c.data[0]
		c.data = c.data[1:]
		return int(b) % max
	}
	return c.rand.IntN(max)
}

// fill gives a message random fields; strings come from a pool, so that they meet
// what exists.
func (c *chooser) fill(m protoreflect.Message, pool []string, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if c.n(3) == 0 || depth <= 0 && f.Message() != nil {
			continue
		}
		if o := f.ContainingOneof(); o != nil && m.WhichOneof(o) != nil {
			continue
		}
		switch {
		case f.IsMap():
			v := m.Mutable(f).Map()
			value := v.NewValue()
			if f.MapValue().Message() != nil {
				c.fill(value.Message(), pool, depth-1)
			}
			v.Set(c.scalar(f.MapKey(), pool).MapKey(), value)
		case f.IsList():
			list := m.Mutable(f).List()
			for range c.n(3) {
				if f.Message() != nil {
					c.fill(list.AppendMutable().Message(), pool, depth-1)
				} else {
					list.Append(c.scalar(f, pool))
				}
			}
		case f.Message() != nil:
			c.fill(m.Mutable(f).Message(), pool, depth-1)
		default:
			m.Set(f, c.scalar(f, pool))
		}
	}
}

func (c *chooser) scalar(f protoreflect.FieldDescriptor, pool []string) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(pool[c.n(len(pool))])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(make([]byte, []int{0, 1, 16}[c.n(3)]))
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(c.n(values.Len())).Number())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(c.n(2) == 0)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{0, 1, 2.5, -1, 1e300}[c.n(5)])
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(c.n(3) - 1))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(c.n(3) - 1))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(c.n(5)))
	default:
		return protoreflect.ValueOfUint64(uint64(c.n(5)))
	}
}

// names returns strings that mean something by now, and some that do not.
func names(w *world) []string {
	pool := []string{"", "*", "cpus", "mem", "t1", "t2", "s1", "s2", "e1", "nobody", "..", "a/b", "m1-0000", "m1-S0", "m1-O0"}
	m := w.core
	pool = append(pool, sortedKeys(m.frameworks)...)
	pool = append(pool, sortedKeys(m.agents)...)
	pool = append(pool, sortedKeys(m.offers)...)
	pool = append(pool, sortedKeys(m.sessions)...)
	for _, f := range sorted(m.frameworks) {
		pool = append(pool, sortedKeys(f.tasks)...)
	}
	return pool
}

// chaos makes one random input.
func chaos(w *world, c *chooser) Input {
	agent, gateway := Link(1+c.n(4)), Link(10+c.n(3))
	switch c.n(12) {
	case 0:
		return AgentConnected{Link: agent, Peer: []string{"", "p1", "p2"}[c.n(3)]}
	case 1:
		return GatewayConnected{Link: gateway}
	case 2:
		return AgentDisconnected{Link: agent}
	case 3:
		return GatewayDisconnected{Link: gateway}
	case 4:
		return Tick{}
	case 5:
		if c.n(8) == 0 {
			return FromAgent{Link: agent}
		}
		return FromGateway{Link: gateway}
	case 6:
		if c.n(2) == 0 {
			return Start{}
		}
		return Committed{}
	case 7, 8, 9:
		m := &protocol.AgentToMaster{}
		c.fill(m.ProtoReflect(), names(w), 5)
		return FromAgent{Link: agent, Message: m}
	default:
		m := &protocol.GatewayToMaster{}
		c.fill(m.ProtoReflect(), names(w), 6)
		return FromGateway{Link: gateway, Message: m}
	}
}

// launchAnything accepts all offers with a random launch of tasks that fit.
func (s *scenario) launchAnything(c *chooser) {
	call := &scheduler.Call{}
	accept := &scheduler.Call_Accept{}
	for _, id := range sortedKeys(s.w.core.offers) {
		accept.OfferIds = append(accept.OfferIds, offerID(id))
	}
	op := &mesos.Offer_Operation{}
	c.fill(op.ProtoReflect(), names(s.w), 6)
	op.Id = nil
	op.Type = []mesos.Offer_Operation_Type{mesos.Offer_Operation_LAUNCH, mesos.Offer_Operation_LAUNCH_GROUP}[c.n(2)].Enum()
	for _, info := range Launched(op) {
		s.tasks++
		info.TaskId, info.AgentId = taskID(fmt.Sprint("t", s.tasks)), agentID("m1-S0")
		info.Resources = s.resources("cpus:0.1;mem:10").Proto()
		if e := info.GetExecutor(); e != nil {
			e.Resources, e.FrameworkId = s.resources("cpus:0.1;mem:32").Proto(), nil
		}
	}
	if e := op.GetLaunchGroup().GetExecutor(); e != nil {
		e.Resources, e.FrameworkId = s.resources("cpus:0.1;mem:32;disk:1").Proto(), nil
	}
	accept.Operations = []*mesos.Offer_Operation{op}
	call.Type, call.Accept = scheduler.Call_ACCEPT.Enum(), accept
	s.send(parse("call 1 s1 m1-0000"), call)
}

// FuzzLaunch launches random tasks and groups on real offers.
func FuzzLaunch(f *testing.F) {
	for i := range 20 {
		f.Add([]byte{byte(i), 9, 5, byte(i * 3), 3, byte(i * 7)})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scenario{t: t, w: newWorld(t, Config{})}
		s.w.lenient = true
		for _, line := range []string{"gateway 1", "subscribe 1 s1 failover=60 caps=GPU_RESOURCES", "agent 2", "register 2 res=cpus:64;mem:64000;disk:1000;gpus:4;ports:[1-100]"} {
			s.run(line)
		}
		c := newChooser(data)
		for range 40 {
			s.launchAnything(c)
			s.w.advance(6 * time.Second)
			s.heartbeats()
			s.w.log = nil
		}
	})
}

func FuzzStep(f *testing.F) {
	for i := range 20 {
		f.Add([]byte{byte(i), 1, 5, 4, 3, byte(i * 7)})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, Config{})
		w.hold = true
		w.lenient = true
		w.do(AgentConnected{Link: 1, Peer: "p1"})
		w.do(GatewayConnected{Link: 10})
		c := newChooser(data)
		for range 150 {
			w.step(chaos(w, c))
			switch c.n(6) {
			case 0:
				w.advance(time.Duration(c.n(20)) * time.Second)
			case 1:
				w.commit(errors.New("not now"))
			case 2, 3, 4:
				w.commit(nil)
			}
			if c.n(200) == 0 {
				w.failover()
			}
		}
	})
}
