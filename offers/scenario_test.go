package offers

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
	"muster/offers/protocol"
	"muster/offers/registry"
)

var update = flag.Bool("update", false, "rewrite the outcomes in testdata")

// TestScenarios runs every testdata/*.txt: lines that start with ">" are done, and
// what the core does then stands below them.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScenario(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s: want\n%s\ngot\n%s", file, text, got)
			}
		})
	}
}

func runScenario(t *testing.T, text string) string {
	s := &scenario{t: t, w: newWorld(t, Config{}), silent: map[Link]bool{}}
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, ">"):
			s.w.log = nil
			out.WriteString(line)
			out.WriteString(s.run(strings.TrimSpace(line[1:])))
			out.WriteString(s.w.look())
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			out.WriteString(line)
		}
	}
	return out.String()
}

// scenario interprets the commands of a scenario.
type scenario struct {
	t     testing.TB
	w     *world
	call  uint64
	tasks int

	silent map[Link]bool
}

// args are a command's words: bare ones by place, key=value ones by name.
type args struct {
	words []string
	named map[string]string
	rest  string // behind " :: "
}

func parse(line string) args {
	a := args{named: map[string]string{}}
	line, a.rest, _ = strings.Cut(line, " :: ")
	for _, w := range strings.Fields(line) {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.named[k] = v
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a args) word(i int) string {
	if i < len(a.words) {
		return a.words[i]
	}
	return ""
}

func (a args) list(name string) []string {
	if a.named[name] == "" {
		return nil
	}
	return strings.Split(a.named[name], ",")
}

func (a args) link() Link {
	n, _ := strconv.Atoi(a.word(1))
	return Link(n)
}

func (s *scenario) run(line string) string {
	a := parse(line)
	w := s.w
	switch a.word(0) {
	case "config": // before anything else
		s.config(a)
	case "agent": // agent LINK [peer=]
		w.do(AgentConnected{Link: a.link(), Peer: a.named["peer"]})
	case "gateway": // gateway LINK
		w.do(GatewayConnected{Link: a.link(), Peer: "g" + a.word(1)})
	case "lost": // lost LINK: the link ends
		if l := w.core.links[a.link()]; l != nil && l.gateway {
			w.do(GatewayDisconnected{Link: a.link()})
		} else {
			w.do(AgentDisconnected{Link: a.link()})
		}
	case "register":
		s.register(a)
	case "subscribe":
		s.subscribe(a)
	case "closed": // closed LINK SESSION
		w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{
			Closed: &protocol.Closed{SessionId: proto.String(a.word(2))}}}})
	case "call": // call LINK SESSION FRAMEWORK [principal=] :: scheduler.Call
		call := &scheduler.Call{}
		s.text(a.rest, call)
		s.send(a, call)
	case "operate": // operate LINK :: master.Call
		call := &master.Call{}
		s.text(a.rest, call)
		s.call++
		w.do(FromGateway{a.link(), &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Operate{
			Operate: &protocol.Operate{CallId: proto.Uint64(s.call), Call: call}}}})
	case "launch":
		s.launch(a)
	case "accept":
		s.accept(a)
	case "convert":
		s.convert(a)
	case "ended":
		s.ended(a)
	case "ackop": // ackop LINK SESSION FRAMEWORK AGENT OPERATION UUID
		s.send(a, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(), AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{
			AgentId: agentID(a.word(4)), OperationId: &mesos.OperationID{Value: proto.String(a.word(5))}, Uuid: uuid(a.word(6))}})
	case "update":
		s.update(a)
	case "ack": // ack LINK SESSION FRAMEWORK AGENT TASK UUID
		s.send(a, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
			AgentId: agentID(a.word(4)), TaskId: taskID(a.word(5)), Uuid: uuid(a.word(6))}})
	case "up": // up LINK :: AgentToMaster, or GatewayToMaster
		if l := w.core.links[a.link()]; l != nil && l.gateway {
			m := &protocol.GatewayToMaster{}
			s.text(a.rest, m)
			w.do(FromGateway{a.link(), m})
		} else {
			m := &protocol.AgentToMaster{}
			s.text(a.rest, m)
			w.do(FromAgent{a.link(), m})
		}
	case "pass": // pass DURATION; agents send heartbeats
		d, err := time.ParseDuration(a.word(1))
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		for ; d > 10*time.Second; d -= 10 * time.Second {
			w.advance(10 * time.Second)
			s.heartbeats()
		}
		w.advance(d)
	case "silence": // silence LINK: the agent sends no heartbeat any more
		s.silent[a.link()] = true
	case "hold": // proposals wait from now on
		w.hold = true
	case "commit": // the oldest proposal is committed, or fails
		if a.word(1) == "fail" {
			w.commit(fmt.Errorf("not the leader"))
		} else {
			w.commit(nil)
		}
		w.settle()
	case "free": // proposals are committed at once again
		w.hold = false
		w.settle()
	case "failover": // failover [region=REGION/ZONE]: another node leads, with what was committed
		if region := a.named["region"]; region != "" {
			w.cfg.Info = masterIn(region)
		}
		w.failover()
	case "view":
		return s.view()
	case "roles":
		return s.roles()
	case "registry":
		return s.registry()
	case "inverse":
		s.inverse(a)
	case "maintenance":
		return s.maintenance()
	default:
		if !s.operator(a) {
			s.t.Fatalf("unknown command: %s", line)
		}
	}
	return ""
}

func (s *scenario) text(text string, m proto.Message) {
	if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(text), m); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

func (s *scenario) config(a args) {
	cfg := Config{}
	if region := a.named["region"]; region != "" {
		cfg.Info = masterIn(region)
		delete(a.named, "region")
	}
	cfg.HomeRegion, cfg.Roles, cfg.NoRootSubmissions = a.named["home"], a.list("roles"), a.named["root"] == "no"
	founded := a.named["founded"]
	for _, name := range []string{"home", "founded", "roles", "root"} {
		delete(a.named, name)
	}
	for name, text := range a.named {
		if name, ok := strings.CutPrefix(name, "rate:"); ok { // of each framework, of a principal, or of all others
			s.rate(&cfg, name, text)
			continue
		}
		if count := map[string]*int{"program_size": &cfg.ConstraintPatterns.ProgramSize, "agent_count": &cfg.AgentCount, "max_outbox": &cfg.MaxOutbox,
			"completed_frameworks": &cfg.MaxCompletedFrameworks, "completed_tasks": &cfg.MaxCompletedTasks, "unreachable_tasks": &cfg.MaxUnreachableTasks}[name]; count != nil {
			n, err := strconv.Atoi(text)
			if err != nil {
				s.t.Fatal(err)
			}
			*count = n
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			s.t.Fatal(err)
		}
		switch name {
		case "offer_timeout":
			cfg.OfferTimeout = d
		case "agent_timeout":
			cfg.AgentTimeout = d
		case "reregister_timeout":
			cfg.ReregisterTimeout = d
		case "agent_removal_interval":
			cfg.AgentRemovalInterval = d
		default:
			s.t.Fatalf("unknown setting %s", name)
		}
	}
	s.w = newWorld(s.t, cfg)
	if founded != "" { // in that region
		op := &registry.Op{Op: &registry.Op_InitCluster{InitCluster: &registry.InitCluster{ClusterId: proto.String("c"), HomeRegion: proto.String(founded)}}}
		if err := s.w.registry.Apply(op); err != nil {
			s.t.Fatal(err)
		}
		s.w.lead()
	}
}

func masterIn(region string) *mesos.MasterInfo {
	return &mesos.MasterInfo{Id: proto.String("m1"), Ip: proto.Uint32(0), Port: proto.Uint32(5050), Domain: domain(region)}
}

// rate reads "2/5": two calls a second, five at once.
func (s *scenario) rate(cfg *Config, of, text string) {
	var r Rate
	if _, err := fmt.Sscanf(text, "%g/%d", &r.QPS, &r.Capacity); err != nil {
		s.t.Fatalf("rate:%s=%s: %v", of, text, err)
	}
	switch of {
	case "framework":
		cfg.FrameworkRate = r
	case "others":
		cfg.OthersRate = r
	default:
		if cfg.PrincipalRates == nil {
			cfg.PrincipalRates = map[string]Rate{}
		}
		cfg.PrincipalRates[of] = r
	}
}
