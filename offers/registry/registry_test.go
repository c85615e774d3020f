package registry

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/quota"
)

var update = flag.Bool("update", false, "write the golden files that are not there yet")

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

func scalar(v float64) map[string]*mesos.Value_Scalar {
	return map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(v)}}
}
func guaranteeOf(role string, cpus float64) *quota.QuotaConfig {
	return &quota.QuotaConfig{Role: proto.String(role), Guarantees: scalar(cpus)}
}
func quotaOf(role string, guarantee, limit float64) *quota.QuotaConfig {
	return &quota.QuotaConfig{Role: proto.String(role), Guarantees: scalar(guarantee), Limits: scalar(limit)}
}
func updateQuota(cs ...*quota.QuotaConfig) *Op {
	return &Op{Op: &Op_UpdateQuota{&UpdateQuota{Configs: cs}}}
}
func weight(role string, w float64) *mesos.WeightInfo {
	return &mesos.WeightInfo{Role: proto.String(role), Weight: proto.Float64(w)}
}
func updateWeights(ws ...*mesos.WeightInfo) *Op {
	return &Op{Op: &Op_UpdateWeights{&UpdateWeights{Weights: ws}}}
}

func TestApplyTakesWhatFitsAndRefusesTheRest(t *testing.T) {
	testApply(t, []applyTest{
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
		{"roles get quota", nil, updateQuota(quotaOf("r", 1, 2), quotaOf("s", 0, 0)), nil},
		{"a role loses its quota", []*Op{updateQuota(quotaOf("r", 1, 2))}, updateQuota(&quota.QuotaConfig{Role: proto.String("r")}), nil},
		{"a guarantee of nothing is no quota", []*Op{updateQuota(quotaOf("r", 1, 2))}, updateQuota(guaranteeOf("r", 0)), nil},
		{"one quota without a role spoils them all", nil, updateQuota(quotaOf("r", 1, 2), quotaOf("", 1, 2)), ErrInvalid},
		{"an update of no quota is none", nil, updateQuota(), ErrInvalid},
		{"roles get weights", nil, updateWeights(weight("r", 2), weight("s", 0.5)), nil},
		{"a weight is positive", nil, updateWeights(weight("r", 2), weight("s", 0)), ErrInvalid},
		{"a weight is a number", nil, updateWeights(weight("r", math.NaN())), ErrInvalid},
		{"a weight is finite", nil, updateWeights(weight("r", math.Inf(1))), ErrInvalid},
		{"a weight needs a role", nil, updateWeights(weight("", 1)), ErrInvalid},
		{"an update of no weight is none", nil, updateWeights(), ErrInvalid},
		{"nothing is no operation", nil, &Op{}, ErrInvalid},
		{"nil is no operation", nil, nil, ErrInvalid},
	})
}

type applyTest struct {
	name  string
	given []*Op
	op    *Op
	want  error
}

func testApply(t *testing.T, tests []applyTest) {
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
	for _, op := range []*Op{
		unreachable("a", 1), admitAgent("b"), removeFramework("f"), removeMember("p"), initCluster("c"),
		updateQuota(quotaOf("r", 1, 2)), updateWeights(weight("r", 2)),
	} {
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

// golden is what each pair of golden files was made of. Add to it what later
// versions write; never change what is there.
var golden = map[string][]*Op{
	"1": {
		initCluster("c"), admitMember("p1", "n1"), admitMember("p2", "n2"), removeMember("p2"),
		admitAgent("a"), admitAgent("b"), admitAgent("c"), admitAgent("d"), unreachable("b", 4), gone("c"), removeAgent("d"),
		unreachable("a", 5), reachable("a"), updateAgent("a"),
		admitFramework("f"), admitFramework("g"), admitFramework("h"), updateFramework("f"), disconnected("f"), disconnected("g"),
		connected("g"), removeFramework("h"),
	},
	"agents": {
		admitAgent("v"), admitAgent("w"), admitAgent("x"), admitAgent("y"), admitAgent("z"), unreachable("w", 4),
		drain("v", true), drain("w", false), drain("x", false), drained("x"), deactivate("y"), deactivate("z"), reactivate("z"),
		schedule("h1 h2/10.0.0.2", "/10.0.0.3"), down("h1 /10.0.0.3"), up("/10.0.0.3"),
	},
	"roles": {
		updateQuota(quotaOf("a", 1, 2), quotaOf("a/b", 1, 1), guaranteeOf("c", 3)), updateQuota(&quota.QuotaConfig{Role: proto.String("c")}),
		updateWeights(weight("a", 2), weight("b", 3)), updateWeights(weight("b", 0.5)),
	},
}

func everyGoldenOp() (all []*Op) {
	for _, name := range slices.Sorted(maps.Keys(golden)) {
		all = append(all, golden[name]...)
	}
	return all
}

func TestWhatOlderVersionsWroteIsRead(t *testing.T) {
	for name, ops := range golden {
		t.Run(name, func(t *testing.T) {
			if *update {
				writeGolden(t, name, ops)
			}
			want := state(t, ops...)
			b := readGolden(t, "state-"+name)
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
			replayed := NewState()
			for b := readGolden(t, "ops-"+name); len(b) > 0; {
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
		})
	}
}

func goldenFile(name string) string { return "testdata/" + name + ".bin" }

func readGolden(t *testing.T, name string) []byte {
	b, err := os.ReadFile(goldenFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeGolden writes the files that are not there yet.
func writeGolden(t *testing.T, name string, list []*Op) {
	var ops bytes.Buffer
	for _, op := range list {
		b, err := EncodeOp(op)
		if err != nil {
			t.Fatal(err)
		}
		ops.WriteByte(byte(len(b)))
		ops.Write(b)
	}
	for file, b := range map[string][]byte{"state-" + name: encode(t, state(t, list...)), "ops-" + name: ops.Bytes()} {
		f, err := os.OpenFile(goldenFile(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, op := range everyGoldenOp() {
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
		s := state(t, everyGoldenOp()...)
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
