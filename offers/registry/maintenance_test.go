package registry

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
)

// machine reads "host", "host/ip" or "/ip".
func machine(text string) *mesos.MachineID {
	host, ip, _ := strings.Cut(text, "/")
	id := &mesos.MachineID{}
	if host != "" {
		id.Hostname = proto.String(host)
	}
	if ip != "" {
		id.Ip = proto.String(ip)
	}
	return id
}

func machines(list string) []*mesos.MachineID {
	var out []*mesos.MachineID
	for _, text := range strings.Fields(list) {
		out = append(out, machine(text))
	}
	return out
}

// schedule makes windows that start one after the other.
func schedule(windows ...string) *Op {
	s := &maintenance.Schedule{}
	for i, list := range windows {
		s.Windows = append(s.Windows, &maintenance.Window{MachineIds: machines(list), Unavailability: &mesos.Unavailability{
			Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(int64(i))}}})
	}
	return &Op{Op: &Op_UpdateMaintenanceSchedule{&UpdateMaintenanceSchedule{Schedule: s}}}
}
func down(list string) *Op {
	return &Op{Op: &Op_StartMaintenance{&StartMaintenance{Machines: machines(list)}}}
}
func up(list string) *Op {
	return &Op{Op: &Op_StopMaintenance{&StopMaintenance{Machines: machines(list)}}}
}

func TestMaintenanceTakesWhatFits(t *testing.T) {
	negative := schedule("a")
	negative.GetUpdateMaintenanceSchedule().Schedule.Windows[0].Unavailability.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(-1)}
	endless := schedule("a")
	endless.GetUpdateMaintenanceSchedule().Schedule.Windows[0].Unavailability = nil
	testApply(t, []applyTest{
		{"a schedule", nil, schedule("a b/10.0.0.1", "/10.0.0.2"), nil},
		{"another schedule", []*Op{schedule("a")}, schedule("b"), nil},
		{"no schedule", nil, &Op{Op: &Op_UpdateMaintenanceSchedule{&UpdateMaintenanceSchedule{}}}, ErrInvalid},
		{"a window without machines", nil, schedule(""), ErrInvalid},
		{"a machine without a name", nil, schedule("/"), ErrInvalid},
		{"a machine whose IP is none", nil, schedule("/x"), ErrInvalid},
		{"a machine twice", nil, schedule("a", "A"), ErrInvalid},
		{"a window that is shorter than none", nil, negative, ErrInvalid},
		{"a window without a start", nil, endless, ErrInvalid},
		{"a machine goes down", []*Op{schedule("a b")}, down("a"), nil},
		{"a machine goes down once", []*Op{schedule("a b"), down("a")}, down("b a"), ErrInvalid},
		{"a machine that is not scheduled", []*Op{schedule("a")}, down("b"), ErrInvalid},
		{"no machine goes down", []*Op{schedule("a")}, down(""), ErrInvalid},
		{"a machine named twice", []*Op{schedule("a")}, down("a a"), ErrInvalid},
		{"a machine comes up", []*Op{schedule("a"), down("a")}, up("a"), nil},
		{"a machine that was not down", []*Op{schedule("a")}, up("a"), ErrInvalid},
		{"a schedule without what is down", []*Op{schedule("a b"), down("a")}, schedule("b"), ErrInvalid},
		{"a schedule with what is down", []*Op{schedule("a b"), down("a")}, schedule("c", "a"), nil},
	})
}

func TestAMachineThatComesUpLeavesTheSchedule(t *testing.T) {
	s := state(t, schedule("a b", "c/10.0.0.1"), down("a c/10.0.0.1"), up("c/10.0.0.1"))
	if w := s.MaintenanceSchedule().GetWindows(); len(w) != 1 || len(w[0].GetMachineIds()) != 2 {
		t.Errorf("the schedule is %v", w)
	}
	if d := s.MachinesDown(); len(d) != 1 || d[0].GetHostname() != "a" {
		t.Errorf("down are %v", d)
	}
	c := s.Clone()
	apply(t, s, up("a"))
	if len(c.MachinesDown()) != 1 || len(s.MachinesDown()) != 0 {
		t.Errorf("down are %v, in the clone %v", s.MachinesDown(), c.MachinesDown())
	}
}

func TestMachinesMatchByWhatTheyName(t *testing.T) {
	for _, test := range []struct {
		machine, hostname, ip string
		want                  bool
	}{
		{"a", "a", "10.0.0.1", true},
		{"A", "a", "", true},
		{"a", "b", "10.0.0.1", false},
		{"/10.0.0.1", "b", "10.0.0.1", true},
		{"/10.0.0.1", "b", "10.0.0.2", false},
		{"a/10.0.0.1", "a", "10.0.0.1", true},
		{"a/10.0.0.1", "a", "10.0.0.2", false},
		{"a/10.0.0.1", "b", "10.0.0.1", false},
	} {
		s := state(t, schedule(test.machine), down(test.machine))
		if got := s.DownAt(test.hostname, test.ip); got != test.want {
			t.Errorf("machine %s, host %s %s: %t", test.machine, test.hostname, test.ip, got)
		}
	}
}
