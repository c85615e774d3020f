package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/quota"
)

// Bounds of what is kept of the past.
const (
	MaxDepartedAgents    = 102400 // unreachable and gone agents together
	MaxRemovedFrameworks = 10000
	MaxRemovedMembers    = 100000
)

var (
	ErrInvalid = errors.New("invalid operation")
	ErrExists  = errors.New("already exists")
	ErrUnknown = errors.New("unknown")
	ErrRemoved = errors.New("was removed")
)

// State is what the applied operations add up to. Messages in it are never
// modified, only replaced, so clones share them. One goroutine may use a State
// at a time.
type State struct {
	cluster           *InitCluster
	members           map[string]*AdmitMember
	removedMembers    history
	agents            map[string]*Agent
	departed          int // agents that are not admitted
	frameworks        map[string]*Framework
	removedFrameworks history
	quotas            map[string]*quota.QuotaConfig // by role
	weights           map[string]*mesos.WeightInfo  // by role
	schedule          *maintenance.Schedule         // never nil
	down              map[MachineKey]bool           // machines of the schedule
}

// NewState returns the state before the first operation.
func NewState() *State {
	return &State{
		members:           map[string]*AdmitMember{},
		removedMembers:    newHistory(MaxRemovedMembers),
		agents:            map[string]*Agent{},
		frameworks:        map[string]*Framework{},
		removedFrameworks: newHistory(MaxRemovedFrameworks),
		quotas:            map[string]*quota.QuotaConfig{},
		weights:           map[string]*mesos.WeightInfo{},
		schedule:          &maintenance.Schedule{},
		down:              map[MachineKey]bool{},
	}
}

// Clone returns a copy that may be used by another goroutine.
func (s *State) Clone() *State {
	c := *s
	c.members = maps.Clone(s.members)
	c.removedMembers = s.removedMembers.clone()
	c.agents = maps.Clone(s.agents)
	c.frameworks = maps.Clone(s.frameworks)
	c.removedFrameworks = s.removedFrameworks.clone()
	c.quotas = maps.Clone(s.quotas)
	c.weights = maps.Clone(s.weights)
	c.down = maps.Clone(s.down)
	return &c
}

// Cluster returns the cluster's identity, nil before InitCluster.
func (s *State) Cluster() *InitCluster { return s.cluster }

// Member returns a node of the cluster, nil when it is none.
func (s *State) Member(peer string) *AdmitMember { return s.members[peer] }

// Members returns the cluster's nodes by peer ID.
func (s *State) Members() []*AdmitMember { return sorted(s.members) }

// MemberRemoved reports whether a node was shut out.
func (s *State) MemberRemoved(peer string) bool { return s.removedMembers.has(peer) }

// Agent returns an agent whatever its status, nil when it is unknown.
func (s *State) Agent(id string) *Agent { return s.agents[id] }

// Agents returns all agents by ID, whatever their status.
func (s *State) Agents() []*Agent { return sorted(s.agents) }

// Framework returns a framework, nil when it is unknown or was removed.
func (s *State) Framework(id string) *Framework { return s.frameworks[id] }

// Frameworks returns the frameworks by ID.
func (s *State) Frameworks() []*Framework { return sorted(s.frameworks) }

// FrameworkRemoved reports whether an ID belonged to a framework that was removed.
func (s *State) FrameworkRemoved(id string) bool { return s.removedFrameworks.has(id) }

// What is stored must always be readable again: a field that some message wants
// and nobody set is no reason to lose the registry.
var (
	stored = proto.MarshalOptions{Deterministic: true, AllowPartial: true}
	read   = proto.UnmarshalOptions{AllowPartial: true}
)

// Encode returns the state in its stored form. Equal states give equal bytes.
func (s *State) Encode() ([]byte, error) {
	snap := &Snapshot{
		Cluster:           s.cluster,
		Members:           s.Members(),
		RemovedMembers:    s.removedMembers.order,
		Agents:            s.Agents(),
		Frameworks:        s.Frameworks(),
		RemovedFrameworks: s.removedFrameworks.order,
		Quotas:            s.Quotas(),
		Weights:           s.Weights(),
		MachinesDown:      s.MachinesDown(),
	}
	if len(s.schedule.GetWindows()) > 0 { // what older versions wrote stays what it was
		snap.MaintenanceSchedule = s.schedule
	}
	b, err := stored.Marshal(snap)
	if err != nil {
		return nil, fmt.Errorf("encode registry: %w", err)
	}
	return b, nil
}

// Decode returns the state that Encode stored.
func Decode(b []byte) (*State, error) {
	var snap Snapshot
	if err := read.Unmarshal(b, &snap); err != nil {
		return nil, fmt.Errorf("decode registry: %w", err)
	}
	s := NewState()
	s.cluster = snap.GetCluster()
	for _, m := range snap.GetMembers() {
		s.members[m.GetPeerId()] = m
	}
	for _, a := range snap.GetAgents() {
		s.setAgent(a.GetInfo().GetId().GetValue(), a)
	}
	for _, f := range snap.GetFrameworks() {
		s.frameworks[f.GetInfo().GetId().GetValue()] = f
	}
	for _, id := range snap.GetRemovedMembers() {
		s.removedMembers.add(id)
	}
	for _, id := range snap.GetRemovedFrameworks() {
		s.removedFrameworks.add(id)
	}
	for _, c := range snap.GetQuotas() {
		s.quotas[c.GetRole()] = c
	}
	for _, w := range snap.GetWeights() {
		s.weights[w.GetRole()] = w
	}
	if snap.GetMaintenanceSchedule() != nil {
		s.schedule = snap.GetMaintenanceSchedule()
	}
	for _, id := range snap.GetMachinesDown() {
		s.down[KeyOf(id)] = true
	}
	return s, nil
}

// EncodeOp returns an operation in its stored form.
func EncodeOp(op *Op) ([]byte, error) {
	b, err := stored.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("encode registry operation: %w", err)
	}
	return b, nil
}

// DecodeOp returns the operation that EncodeOp stored.
func DecodeOp(b []byte) (*Op, error) {
	op := &Op{}
	if err := read.Unmarshal(b, op); err != nil {
		return nil, fmt.Errorf("decode registry operation: %w", err)
	}
	return op, nil
}

// setAgent stores an agent and keeps count of those that are not admitted.
func (s *State) setAgent(id string, a *Agent) {
	s.dropAgent(id)
	s.agents[id] = a
	if a.GetStatus() != Agent_ADMITTED {
		s.departed++
	}
}

func (s *State) dropAgent(id string) {
	if old := s.agents[id]; old != nil && old.GetStatus() != Agent_ADMITTED {
		s.departed--
	}
	delete(s.agents, id)
}

// prune forgets the agents that departed longest ago, beyond the bound.
func (s *State) prune() {
	for s.departed > MaxDepartedAgents {
		oldest := ""
		for id, a := range s.agents {
			if a.GetStatus() == Agent_ADMITTED {
				continue
			}
			b := s.agents[oldest]
			if oldest == "" || a.GetSince() < b.GetSince() || a.GetSince() == b.GetSince() && id < oldest {
				oldest = id
			}
		}
		s.dropAgent(oldest)
	}
}

func sorted[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func agentID(info *mesos.AgentInfo) string { return info.GetId().GetValue() }
