package offers

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
)

// operator runs the commands of a scenario by which operators steer agents. It
// reports whether it was one.
func (s *scenario) operator(a args) bool {
	id := agentID(a.word(2))
	call := &master.Call{}
	switch a.word(0) {
	case "operate": // operate LINK :: master.Call
		s.text(a.rest, call)
	case "drain": // drain LINK AGENT [grace=DURATION] [gone=yes]
		call.Type, call.DrainAgent = master.Call_DRAIN_AGENT.Enum(), &master.Call_DrainAgent{AgentId: id}
		if text := a.named["grace"]; text != "" {
			call.DrainAgent.MaxGracePeriod = durationpb.New(s.duration(text))
		}
		if a.named["gone"] != "" {
			call.DrainAgent.MarkGone = proto.Bool(true)
		}
	case "deactivate": // deactivate LINK AGENT
		call.Type, call.DeactivateAgent = master.Call_DEACTIVATE_AGENT.Enum(), &master.Call_DeactivateAgent{AgentId: id}
	case "reactivate": // reactivate LINK AGENT
		call.Type, call.ReactivateAgent = master.Call_REACTIVATE_AGENT.Enum(), &master.Call_ReactivateAgent{AgentId: id}
	case "gone": // gone LINK AGENT
		call.Type, call.MarkAgentGone = master.Call_MARK_AGENT_GONE.Enum(), &master.Call_MarkAgentGone{AgentId: id}
	case "schedule": // schedule LINK MACHINE,…@START[+DURATION] …; a machine is HOST, HOST/IP or /IP
		call.Type, call.UpdateMaintenanceSchedule = master.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(),
			&master.Call_UpdateMaintenanceSchedule{Schedule: s.schedule(a.words[2:])}
	case "down": // down LINK MACHINE …
		call.Type, call.StartMaintenance = master.Call_START_MAINTENANCE.Enum(), &master.Call_StartMaintenance{Machines: machines(a.words[2:])}
	case "running": // running LINK MACHINE …: they are up again
		call.Type, call.StopMaintenance = master.Call_STOP_MAINTENANCE.Enum(), &master.Call_StopMaintenance{Machines: machines(a.words[2:])}
	default:
		return false
	}
	s.call++
	s.w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{
		Operate: &protocol.Operate{CallId: proto.Uint64(s.call), Call: call}}}})
	return true
}

func (s *scenario) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func machines(words []string) []*mesos.MachineID {
	var out []*mesos.MachineID
	for _, w := range words {
		host, ip, _ := strings.Cut(w, "/")
		id := &mesos.MachineID{}
		if host != "" {
			id.Hostname = proto.String(host)
		}
		if ip != "" {
			id.Ip = proto.String(ip)
		}
		out = append(out, id)
	}
	return out
}

func (s *scenario) schedule(windows []string) *maintenance.Schedule {
	out := &maintenance.Schedule{}
	for _, w := range windows {
		names, span, _ := strings.Cut(w, "@")
		start, length, some := strings.Cut(span, "+")
		u := &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(epoch.Add(s.duration(start)).UnixNano())}}
		if some {
			u.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(s.duration(length)))}
		}
		out.Windows = append(out.Windows, &maintenance.Window{MachineIds: machines(strings.Split(names, ",")), Unavailability: u})
	}
	return out
}

// domain reads REGION or REGION/ZONE.
func domain(text string) *mesos.DomainInfo {
	region, zone, _ := strings.Cut(text, "/")
	return &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: proto.String(region)},
		Zone:   &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: proto.String(zone)},
	}}
}

// maintenance writes the schedule and its status as everybody sees them.
func (s *scenario) maintenance() string {
	var b strings.Builder
	for _, w := range s.w.view.GetMaintenanceSchedule().GetSchedule().GetWindows() {
		fmt.Fprintf(&b, "window%s %s\n", describeMachines(w.GetMachineIds()), Describer{epoch}.unavailability(w.GetUnavailability()))
	}
	status := s.w.view.GetMaintenanceStatus().GetStatus()
	for _, d := range status.GetDrainingMachines() {
		fmt.Fprintf(&b, "draining%s", describeMachines([]*mesos.MachineID{d.GetId()}))
		for _, a := range d.GetStatuses() {
			fmt.Fprintf(&b, " %s %s", a.GetFrameworkId().GetValue(), a.GetStatus())
		}
		b.WriteString("\n")
	}
	for _, id := range status.GetDownMachines() {
		fmt.Fprintf(&b, "down%s\n", describeMachines([]*mesos.MachineID{id}))
	}
	return b.String()
}

// inverse LINK SESSION FRAMEWORK accept|decline OFFER,… [refuse=SECONDS]
func (s *scenario) inverse(a args) {
	var ids []*mesos.OfferID
	for _, id := range strings.Split(a.word(5), ",") {
		ids = append(ids, offerID(id))
	}
	var filters *mesos.Filters
	if text := a.named["refuse"]; text != "" {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		filters = &mesos.Filters{RefuseSeconds: proto.Float64(f)}
	}
	if a.word(4) == "accept" {
		s.send(a, &scheduler.Call{Type: scheduler.Call_ACCEPT_INVERSE_OFFERS.Enum(),
			AcceptInverseOffers: &scheduler.Call_AcceptInverseOffers{InverseOfferIds: ids, Filters: filters}})
		return
	}
	s.send(a, &scheduler.Call{Type: scheduler.Call_DECLINE_INVERSE_OFFERS.Enum(),
		DeclineInverseOffers: &scheduler.Call_DeclineInverseOffers{InverseOfferIds: ids, Filters: filters}})
}
