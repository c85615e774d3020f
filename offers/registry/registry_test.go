package registry

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

var update = flag.Bool("update", false, "rewrite the golden files; never once a version that wrote them is out")

func agentInfo(id, host string) *mesos.AgentInfo {
	return &mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String(id)}, Hostname: proto.String(host)}
}

func frameworkInfo(id, name string) *mesos.FrameworkInfo {
	return &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: proto.String(id)}, User: proto.String("u"), Name: proto.String(name)}
}

func id(s string) *mesos.AgentID      { return &mesos.AgentID{Value: proto.String(s)} }
func fid(s string) *mesos.FrameworkID { return &mesos.FrameworkID{Value: proto.String(s)} }

func initCluster(c string) *Op {
	return &Op{Op: &Op_InitCluster{&InitCluster{ClusterId: proto.String(c), Name: proto.String("n"),
		CaCertificate: []byte{1}, CaKey: []byte{2}, JoinSecretHash: []byte{3}}}}
}
func admitMember(p, name string) *Op {
	return &Op{Op: &Op_AdmitMember{&AdmitMember{PeerId: proto.String(p), Name: proto.String(name), Addresses: []string{"a"}, Joined: proto.Int64(5)}}}
}
func removeMember(p string) *Op {
	return &Op{Op: &Op_RemoveMember{&RemoveMember{PeerId: proto.String(p)}}}
}
func admitAgent(a string) *Op {
	return &Op{Op: &Op_AdmitAgent{&AdmitAgent{Agent: agentInfo(a, "h"), PeerId: proto.String("p"), Incarnation: proto.String("i")}}}
}
func unreachable(a string, t int64) *Op {
	return &Op{Op: &Op_MarkAgentUnreachable{&MarkAgentUnreachable{AgentId: id(a), Time: proto.Int64(t)}}}
}
func reachable(a string) *Op {
	return &Op{Op: &Op_MarkAgentReachable{&MarkAgentReachable{Agent: agentInfo(a, "back"), PeerId: proto.String("q")}}}
}
func gone(a string) *Op {
	return &Op{Op: &Op_MarkAgentGone{&MarkAgentGone{AgentId: id(a), Time: proto.Int64(9)}}}
}
func removeAgent(a string) *Op { return &Op{Op: &Op_RemoveAgent{&RemoveAgent{AgentId: id(a)}}} }
func updateAgent(a string) *Op {
	return &Op{Op: &Op_UpdateAgent{&UpdateAgent{Agent: agentInfo(a, "new")}}}
}
func admitFramework(f string) *Op {
	return &Op{Op: &Op_AdmitFramework{&AdmitFramework{Framework: frameworkInfo(f, "f"), Principal: proto.String("p"), SessionId: proto.String("s")}}}
}
func updateFramework(f string) *Op {
	return &Op{Op: &Op_UpdateFramework{&UpdateFramework{Framework: frameworkInfo(f, "new")}}}
}
func disconnected(f string) *Op {
	return &Op{Op: &Op_FrameworkDisconnected{&FrameworkDisconnected{FrameworkId: fid(f), Deadline: proto.Int64(77)}}}
}
func connected(f string) *Op {
	return &Op{Op: &Op_FrameworkConnected{&FrameworkConnected{FrameworkId: fid(f), SessionId: proto.String("s2")}}}
}
func removeFramework(f string) *Op {
	return &Op{Op: &Op_RemoveFramework{&RemoveFramework{FrameworkId: fid(f)}}}
}

func TestApplyTakesWhatFitsAndRefusesTheRest(t *testing.T) {
	tests := []struct {
		name  string
		given []*Op
		op    *Op
		want  error
	}{
		{"a cluster begins", nil, initCluster("c"), nil},
		{"a cluster begins once", []*Op{initCluster("c")}, initCluster("c"), ErrExists},
		{"a cluster needs an ID", nil, initCluster(""), ErrInvalid},
		{"a member joins", nil, admitMember("p", "n"), nil},
		{"a member is renewed", []*Op{admitMember("p", "n")}, admitMember("p", "m"), nil},
		{"a member needs an ID", nil, admitMember("", "n"), ErrInvalid},
		{"a removed member stays out", []*Op{admitMember("p", "n"), removeMember("p")}, admitMember("p", "n"), ErrRemoved},
		{"an unknown member cannot leave", nil, removeMember("p"), ErrUnknown},
		{"an agent is admitted", nil, admitAgent("a"), nil},
		{"an agent is admitted once", []*Op{admitAgent("a")}, admitAgent("a"), ErrExists},
		{"an agent needs an ID", nil, admitAgent(""), ErrInvalid},
		{"an agent falls silent", []*Op{admitAgent("a")}, unreachable("a", 1), nil},
		{"an unknown agent cannot fall silent", nil, unreachable("a", 1), ErrUnknown},
		{"an agent falls silent once", []*Op{admitAgent("a"), unreachable("a", 1)}, unreachable("a", 2), ErrExists},
		{"a silent agent returns", []*Op{admitAgent("a"), unreachable("a", 1)}, reachable("a"), nil},
		{"a forgotten agent returns", nil, reachable("a"), nil},
		{"who returns needs an ID", nil, reachable(""), ErrInvalid},
		{"a gone agent does not return", []*Op{admitAgent("a"), gone("a")}, reachable("a"), ErrRemoved},
		{"a gone agent is not admitted again", []*Op{admitAgent("a"), gone("a")}, admitAgent("a"), ErrExists},
		{"a silent agent may be gone", []*Op{admitAgent("a"), unreachable("a", 1)}, gone("a"), nil},
		{"an agent is gone once", []*Op{admitAgent("a"), gone("a")}, gone("a"), ErrRemoved},
		{"an unknown agent is not gone", nil, gone("a"), ErrUnknown},
		{"a gone agent falls not silent", []*Op{admitAgent("a"), gone("a")}, unreachable("a", 1), ErrRemoved},
		{"an agent is forgotten", []*Op{admitAgent("a"), gone("a")}, removeAgent("a"), nil},
		{"an unknown agent cannot be forgotten", nil, removeAgent("a"), ErrUnknown},
		{"an agent changes", []*Op{admitAgent("a")}, updateAgent("a"), nil},
		{"an unknown agent does not change", nil, updateAgent("a"), ErrUnknown},
		{"a framework is admitted", nil, admitFramework("f"), nil},
		{"a framework is admitted once", []*Op{admitFramework("f")}, admitFramework("f"), ErrExists},
		{"a framework needs an ID", nil, admitFramework(""), ErrInvalid},
		{"a removed framework does not return", []*Op{admitFramework("f"), removeFramework("f")}, admitFramework("f"), ErrRemoved},
		{"a framework changes", []*Op{admitFramework("f")}, updateFramework("f"), nil},
		{"an unknown framework does not change", nil, updateFramework("f"), ErrUnknown},
		{"a framework leaves", []*Op{admitFramework("f")}, disconnected("f"), nil},
		{"an unknown framework does not leave", nil, disconnected("f"), ErrUnknown},
		{"a framework comes back", []*Op{admitFramework("f"), disconnected("f")}, connected("f"), nil},
		{"an unknown framework does not come back", nil, connected("f"), ErrUnknown},
		{"an unknown framework is not removed", nil, removeFramework("f"), ErrUnknown},
		{"nothing is no operation", nil, &Op{}, ErrInvalid},
		{"nil is no operation", nil, nil, ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := state(t, test.given...)
			before := encode(t, s)
			err := s.Apply(test.op)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if same := bytes.Equal(before, encode(t, s)); same != (test.want != nil) {
				t.Errorf("state unchanged: %t, error: %v", same, err)
			}
		})
	}
}

func state(t testing.TB, ops ...*Op) *State {
	s := NewState()
	for _, op := range ops {
		if err := s.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func encode(t testing.TB, s *State) []byte {
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFactsAreAsTheOperationsSay(t *testing.T) {
	s := state(t, admitAgent("a"), admitFramework("f"))
	if a := s.Agent("a"); a.GetPeerId() != "p" || a.GetIncarnation() != "i" || a.GetStatus() != Agent_ADMITTED {
		t.Errorf("agent: %v", a)
	}
	apply(t, s, unreachable("a", 4))
	if a := s.Agent("a"); a.GetStatus() != Agent_UNREACHABLE || a.GetSince() != 4 || a.GetIncarnation() != "i" {
		t.Errorf("unreachable agent: %v", a)
	}
	apply(t, s, reachable("a"))
	if a := s.Agent("a"); a.GetStatus() != Agent_ADMITTED || a.Since != nil || a.GetPeerId() != "q" || a.GetInfo().GetHostname() != "back" {
		t.Errorf("returned agent: %v", a)
	}
	apply(t, s, disconnected("f"))
	apply(t, s, updateFramework("f"))
	if f := s.Framework("f"); f.GetDeadline() != 77 || f.GetSessionId() != "s" || f.GetInfo().GetName() != "new" || f.GetPrincipal() != "p" {
		t.Errorf("disconnected framework: %v", f)
	}
	apply(t, s, connected("f"))
	if f := s.Framework("f"); f.Deadline != nil || f.GetSessionId() != "s2" {
		t.Errorf("connected framework: %v", f)
	}
	apply(t, s, removeFramework("f"))
	if s.Framework("f") != nil || !s.FrameworkRemoved("f") {
		t.Error("the framework was not removed")
	}
}

func apply(t testing.TB, s *State, op *Op) {
	t.Helper()
	if err := s.Apply(op); err != nil {
		t.Fatal(err)
	}
}

func TestClonesGoTheirOwnWays(t *testing.T) {
	s := state(t, admitAgent("a"), admitFramework("f"), admitMember("p", "n"))
	c := s.Clone()
	before := encode(t, c)
	for _, op := range []*Op{unreachable("a", 1), admitAgent("b"), removeFramework("f"), removeMember("p"), initCluster("c")} {
		apply(t, s, op)
	}
	if !bytes.Equal(before, encode(t, c)) {
		t.Error("the clone changed with the original")
	}
	apply(t, c, removeAgent("a"))
	if s.Agent("a") == nil {
		t.Error("the original changed with the clone")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory(3)
	for i := range 5 {
		h.add(fmt.Sprint(i))
		h.add(fmt.Sprint(i))
	}
	for i := range 5 {
		if h.has(fmt.Sprint(i)) != (i >= 2) {
			t.Errorf("%d is remembered: %t", i, h.has(fmt.Sprint(i)))
		}
	}
}

func TestAgentsThatDepartedLongestAgoAreForgotten(t *testing.T) {
	s := NewState()
	for i := range MaxDepartedAgents + 2 {
		name := fmt.Sprint(i)
		s.setAgent(name, &Agent{Info: agentInfo(name, "h"), Status: Agent_UNREACHABLE.Enum(), Since: proto.Int64(int64(i + 10))})
	}
	apply(t, s, admitAgent("a"))
	apply(t, s, unreachable("a", 11))
	for name, want := range map[string]bool{"0": false, "1": false, "2": true, "a": false} {
		if got := s.Agent(name) != nil; got != want {
			t.Errorf("agent %s is known: %t", name, got)
		}
	}
	if s.departed != MaxDepartedAgents || len(s.agents) != MaxDepartedAgents {
		t.Errorf("%d departed, %d agents", s.departed, len(s.agents))
	}
}

// history that every golden file was made of.
func goldenOps() []*Op {
	return []*Op{
		initCluster("c"), admitMember("p1", "n1"), admitMember("p2", "n2"), removeMember("p2"),
		admitAgent("a"), admitAgent("b"), admitAgent("c"), admitAgent("d"), unreachable("b", 4), gone("c"), removeAgent("d"),
		unreachable("a", 5), reachable("a"), updateAgent("a"),
		admitFramework("f"), admitFramework("g"), admitFramework("h"), updateFramework("f"), disconnected("f"), disconnected("g"),
		connected("g"), removeFramework("h"),
	}
}

// TestWhatOlderVersionsWroteIsRead holds the stored forms of the first version.
// Add files for later ones; never change one.
func TestWhatOlderVersionsWroteIsRead(t *testing.T) {
	want := state(t, goldenOps()...)
	const stateFile, opsFile = "testdata/state-1.bin", "testdata/ops-1.bin"
	if *update {
		var ops bytes.Buffer
		for _, op := range goldenOps() {
			b, err := EncodeOp(op)
			if err != nil {
				t.Fatal(err)
			}
			ops.WriteByte(byte(len(b)))
			ops.Write(b)
		}
		for name, b := range map[string][]byte{stateFile: encode(t, want), opsFile: ops.Bytes()} {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(stateFile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, got), encode(t, want)) {
		t.Errorf("the stored state reads as %v", got)
	}
	if got.departed != want.departed {
		t.Errorf("%d departed agents, want %d", got.departed, want.departed)
	}
	if b, err = os.ReadFile(opsFile); err != nil {
		t.Fatal(err)
	}
	replayed := NewState()
	for len(b) > 0 {
		n := int(b[0])
		op, err := DecodeOp(b[1 : 1+n])
		if err != nil {
			t.Fatal(err)
		}
		apply(t, replayed, op)
		b = b[1+n:]
	}
	if !bytes.Equal(encode(t, replayed), encode(t, want)) {
		t.Error("the stored operations add up to another state")
	}
}

func FuzzApply(f *testing.F) {
	for _, op := range goldenOps() {
		b, err := EncodeOp(op)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			return
		}
		s := state(t, goldenOps()...)
		before := encode(t, s)
		if err := s.Apply(op); err != nil && !bytes.Equal(before, encode(t, s)) {
			t.Errorf("%v changed the state although it was refused: %v", op, err)
		}
		after := encode(t, s)
		again, err := Decode(after)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(after, encode(t, again)) {
			t.Error("a state does not survive its storage")
		}
	})
}
