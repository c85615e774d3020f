package offers

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

func (s *simulation) operate(call *master.Call) {
	if s.gateways[0].link == 0 {
		return
	}
	s.calls++
	s.w.do(FromGateway{s.gateways[0].link, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{
		Operate: &protocol.Operate{CallId: proto.Uint64(s.calls), Call: call}}}})
}

// steer has an operator want something of an agent or of its machine, whether it can be or not.
func (s *simulation) steer(a *simAgent) {
	id, machine := agentID(a.id), []*mesos.MachineID{{Hostname: proto.String(a.peer)}}
	switch s.r.IntN(7) {
	case 0:
		s.operate(&master.Call{Type: master.Call_DEACTIVATE_AGENT.Enum(), DeactivateAgent: &master.Call_DeactivateAgent{AgentId: id}})
	case 1:
		s.operate(&master.Call{Type: master.Call_DRAIN_AGENT.Enum(), DrainAgent: &master.Call_DrainAgent{AgentId: id, MarkGone: proto.Bool(s.r.IntN(3) == 0)}})
	case 2:
		s.operate(&master.Call{Type: master.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &master.Call_ReactivateAgent{AgentId: id}})
	case 3:
		s.plan(machine, s.r.IntN(100))
	case 4: // nothing is planned any more, unless something is down
		s.plan(nil, 0)
	case 5:
		s.operate(&master.Call{Type: master.Call_START_MAINTENANCE.Enum(), StartMaintenance: &master.Call_StartMaintenance{Machines: machine}})
	case 6:
		s.operate(&master.Call{Type: master.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &master.Call_StopMaintenance{Machines: machine}})
	}
}

func (s *simulation) plan(machines []*mesos.MachineID, start int) {
	schedule := &maintenance.Schedule{}
	if len(machines) > 0 {
		schedule.Windows = append(schedule.Windows, &maintenance.Window{MachineIds: machines,
			Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(int64(start))}}})
	}
	s.operate(&master.Call{Type: master.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(),
		UpdateMaintenanceSchedule: &master.Call_UpdateMaintenanceSchedule{Schedule: schedule}})
}

// release has operators undo all they did, as far as it can be yet.
func (s *simulation) release() {
	for _, id := range s.w.registry.MachinesDown() {
		s.operate(&master.Call{Type: master.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &master.Call_StopMaintenance{Machines: []*mesos.MachineID{id}}})
	}
	for _, a := range s.w.registry.Agents() {
		if a.GetDeactivated() {
			s.operate(&master.Call{Type: master.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &master.Call_ReactivateAgent{AgentId: a.GetInfo().GetId()}})
		}
	}
}

// answer says something to inverse offers, or nothing.
func (s *simulation) answer(f *simFramework, offers []*mesos.InverseOffer) {
	for _, o := range offers {
		ids := []*mesos.OfferID{o.GetId()}
		switch s.r.IntN(3) {
		case 0:
			s.w.later = append(s.w.later, s.callOf(f, &scheduler.Call{Type: scheduler.Call_ACCEPT_INVERSE_OFFERS.Enum(),
				AcceptInverseOffers: &scheduler.Call_AcceptInverseOffers{InverseOfferIds: ids}}))
		case 1:
			s.w.later = append(s.w.later, s.callOf(f, &scheduler.Call{Type: scheduler.Call_DECLINE_INVERSE_OFFERS.Enum(),
				DeclineInverseOffers: &scheduler.Call_DeclineInverseOffers{InverseOfferIds: ids, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}}))
		}
	}
}
