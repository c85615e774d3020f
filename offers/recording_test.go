package offers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/allocator"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/record"
	"muster/offers/registry"
	"muster/offers/resource"
)

// Whatever order a map has, whatever process runs it: the same inputs give the
// same effects, to the byte.
func TestSameInputsGiveSameEffects(t *testing.T) {
	p := recorded(t, 7, 60, &tape{})
	for range 20 {
		replays(t, p)
	}
}

func TestSameSeedGivesSameEffects(t *testing.T) {
	for seed := range uint64(4) {
		a, b := recorded(t, seed, 40, &tape{}), recorded(t, seed, 40, &tape{})
		if !bytes.Equal(a.effects, b.effects) {
			t.Fatalf("seed %d: two lives of one seed differ", seed)
		}
		replays(t, a)
	}
}

// replayed names the folder of recordings that a child of this test replays.
const replayed = "MUSTER_TEST_REPLAY"

func TestAnotherProcessReplaysTheSame(t *testing.T) {
	if dir := os.Getenv(replayed); dir != "" {
		fmt.Printf("effects %s\n", replayDir(t, dir))
		return
	}
	p := recorded(t, 11, 60, &tape{})
	dir := t.TempDir()
	for i, b := range p.leads {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d", i)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := sha256.Sum256(p.effects)
	for range 2 {
		child := exec.Command(os.Args[0], "-test.run=^TestAnotherProcessReplaysTheSame$", "-test.count=1")
		child.Env = append(os.Environ(), replayed+"="+dir)
		out, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "effects "+hex.EncodeToString(want[:])) {
			t.Fatalf("want %x, got %v:\n%s", want, err, out)
		}
	}
}

func replayDir(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	sum := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		effects, err := replay(b)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(effects)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// The core decides the same on what is left without secrets.
func TestWithoutItsSecretsARecordingReplays(t *testing.T) {
	for seed := range 6 {
		p := &tape{redact: record.NewRedactor([]byte("salt"))}
		w := newTapedWorld(t, Config{}, p)
		w.lenient = true
		s := &scenario{t: t, w: w}
		for _, line := range []string{"gateway 1", "subscribe 1 s1 failover=60 caps=GPU_RESOURCES", "agent 2", "register 2 res=cpus:64;mem:64000;disk:1000;gpus:4;ports:[1-100]"} {
			s.run(line)
		}
		c := newChooser([]byte{byte(seed), 3, 1})
		for range 200 {
			if c.n(3) == 0 {
				s.launchAnything(c)
			} else {
				w.do(chaos(w, c))
			}
		}
		replays(t, p)
	}
}

func TestSecretsAreNotRecorded(t *testing.T) {
	const hidden = "hunter2"
	text := proto.String(hidden)
	secret := &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte(hidden)}}
	task := &mesos.TaskInfo{
		Name: proto.String("shown"), TaskId: taskID("t"), Data: []byte(hidden),
		Command: &mesos.CommandInfo{
			Value: text, Arguments: []string{hidden, ""}, Uris: []*mesos.CommandInfo_URI{{Value: text}},
			Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: proto.String("N"), Value: text}, {Name: proto.String("S"), Secret: secret}}},
		},
		Container: &mesos.ContainerInfo{Docker: &mesos.ContainerInfo_DockerInfo{Parameters: []*mesos.Parameter{{Key: proto.String("env"), Value: text}}}},
	}
	r := record.NewRedactor([]byte("salt"))
	for _, m := range []proto.Message{
		task,
		&registry.Op{Op: &registry.Op_InitCluster{InitCluster: &registry.InitCluster{CaKey: []byte(hidden), JoinSecretHash: []byte(hidden)}}},
		&protocol.MasterToAgent{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{Tasks: []*mesos.TaskInfo{task}}}},
		&protocol.AgentToMaster{Message: &protocol.AgentToMaster_ExecutorMessage{ExecutorMessage: &protocol.ExecutorMessage{Data: []byte(hidden)}}},
		&protocol.AgentToMaster{Message: &protocol.AgentToMaster_Update{Update: &protocol.Update{Status: &mesos.TaskStatus{Data: []byte(hidden)}}}},
	} {
		before, _ := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
		got, err := proto.MarshalOptions{AllowPartial: true}.Marshal(r.Redact(m))
		if err != nil || bytes.Contains(got, []byte(hidden)) || len(got) == 0 {
			t.Errorf("%T: %q, %v", m, got, err)
		}
		if after, _ := (proto.MarshalOptions{AllowPartial: true}).Marshal(m); !bytes.Equal(before, after) {
			t.Errorf("%T: the message itself was changed", m)
		}
	}
	got := r.Redact(task).(*mesos.TaskInfo)
	if got.GetName() != "shown" || got.GetCommand().GetArguments()[1] != "" || got.GetCommand().GetValue() != got.GetCommand().GetArguments()[0] {
		t.Errorf("equal values are to stay equal, empty ones empty, names as they are: %v", got)
	}
}

func TestEverySettingIsRecorded(t *testing.T) {
	least, err := resource.ParseQuantities("cpus:0.5;mem:10;x:2")
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	v := reflect.ValueOf(&cfg).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(fmt.Sprint("text", i))
		case bool:
			f.SetBool(true)
		case int, time.Duration:
			f.SetInt(int64(i + 1))
		case uint64:
			f.SetUint(uint64(i + 1))
		case float64:
			f.SetFloat(float64(i) + 0.5)
		case time.Time:
			f.Set(reflect.ValueOf(someTime))
		case *mesos.MasterInfo:
			f.Set(reflect.ValueOf(&mesos.MasterInfo{Id: proto.String("m"), Hostname: proto.String("h")}))
		case []resource.Quantities:
			f.Set(reflect.ValueOf([]resource.Quantities{least, {}}))
		case []string:
			f.Set(reflect.ValueOf([]string{"gpus", "x"}))
		case map[string]float64:
			f.Set(reflect.ValueOf(map[string]float64{"a": 1.5}))
		case Rate:
			f.Set(reflect.ValueOf(Rate{QPS: 2.5, Capacity: i}))
		case map[string]Rate:
			f.Set(reflect.ValueOf(map[string]Rate{"p": {QPS: 0.1, Capacity: 7}}))
		case resource.Quantities:
			f.Set(reflect.ValueOf(least))
		case allocator.PatternLimits:
			f.Set(reflect.ValueOf(allocator.PatternLimits{Memory: 5, ProgramSize: 6}))
		default:
			t.Fatalf("%s: say here how a setting of its type is set: is it recorded?", v.Type().Field(i).Name)
		}
	}
	h, err := RecordHeader(cfg, registry.NewState())
	if err != nil {
		t.Fatal(err)
	}
	m, err := FromHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(m.cfg.Info, cfg.Info) || !m.cfg.Elected.Equal(cfg.Elected) {
		t.Errorf("got %v, %v", m.cfg.Info, m.cfg.Elected)
	}
	m.cfg.Info, m.cfg.Elected = cfg.Info, cfg.Elected
	if !reflect.DeepEqual(m.cfg, cfg) {
		t.Errorf("recorded %+v, read %+v", cfg, m.cfg)
	}
}

func TestEveryInputIsRecorded(t *testing.T) {
	op := &registry.Op{Op: &registry.Op_RemoveAgent{RemoveAgent: &registry.RemoveAgent{AgentId: agentID("a")}}}
	for _, in := range []Input{
		Start{}, Tick{}, AgentConnected{1, "p"}, GatewayConnected{2, "q"}, AgentDisconnected{3}, GatewayDisconnected{4},
		FromAgent{5, &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Heartbeat{Heartbeat: &protocol.Heartbeat{}}}},
		FromGateway{6, &protocol.GatewayToMaster{Message: &protocol.GatewayToMaster_Closed{Closed: &protocol.Closed{SessionId: proto.String("s")}}}},
		Committed{Op: op}, Committed{Op: op, Err: errors.New("why not")},
		Committed{Op: op, Err: fmt.Errorf("no: %w", registry.ErrRemoved)}, Committed{Op: op, Err: fmt.Errorf("no: %w", registry.ErrInvalid)},
	} {
		b, err := record.Append(nil, &record.Entry{Entry: &record.Entry_Step{Step: RecordStep(someTime, in)}})
		if err != nil {
			t.Fatal(err)
		}
		e, n, err := record.Next(b)
		if err != nil || n != len(b) {
			t.Fatal(n, err)
		}
		now, got, err := FromStep(e.GetStep())
		if err != nil || !now.Equal(someTime) || !proto.Equal(RecordStep(now, got), RecordStep(someTime, in)) || reflect.TypeOf(got) != reflect.TypeOf(in) {
			t.Errorf("%#v: %#v, %v", in, got, err)
		}
		if was, ok := in.(Committed); ok && was.Err != nil && (final(got.(Committed).Err) != final(was.Err) || got.(Committed).Err.Error() != was.Err.Error()) {
			t.Errorf("%v: %v", was.Err, got.(Committed).Err)
		}
	}
	if _, _, err := FromStep(&record.Step{}); !errors.Is(err, record.ErrFormat) {
		t.Errorf("an input of a later version: %v", err)
	}
}
