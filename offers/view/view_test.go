package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/protocol"
)

func agent(id string) *master.Response_GetAgents_Agent {
	return &master.Response_GetAgents_Agent{AgentInfo: &mesos.AgentInfo{Id: &mesos.AgentID{Value: proto.String(id)}, Hostname: proto.String("h")}}
}

func scalar(name string, v float64, role string) *mesos.Resource {
	return &mesos.Resource{Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(v)},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String(role)}}
}

func fact(id string, roles ...string) *master.Response_GetFrameworks_Framework {
	info := &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: proto.String(id)}, User: proto.String("u"), Name: proto.String("n"), Roles: roles}
	if roles != nil {
		info.Capabilities = []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}
	}
	return &master.Response_GetFrameworks_Framework{FrameworkInfo: info, Active: proto.Bool(true)}
}

func task(framework, id string, state mesos.TaskState) *mesos.Task {
	return &mesos.Task{FrameworkId: &mesos.FrameworkID{Value: proto.String(framework)}, TaskId: &mesos.TaskID{Value: proto.String(id)}, State: state.Enum()}
}

func offer(id, framework string) *mesos.Offer {
	return &mesos.Offer{Id: &mesos.OfferID{Value: proto.String(id)}, FrameworkId: &mesos.FrameworkID{Value: proto.String(framework)}}
}

func executor(framework, agent, id string) *master.Response_GetExecutors_Executor {
	return &master.Response_GetExecutors_Executor{AgentId: &mesos.AgentID{Value: proto.String(agent)}, ExecutorInfo: &mesos.ExecutorInfo{
		ExecutorId: &mesos.ExecutorID{Value: proto.String(id)}, FrameworkId: &mesos.FrameworkID{Value: proto.String(framework)}}}
}

// random makes a fact that may or may not fit what is there.
func random(r *rand.Rand) *protocol.ViewEvent {
	pick := func(kind string, n int) string { return fmt.Sprintf("%s%d", kind, r.IntN(n)) }
	f, a, t := pick("f", 4), pick("a", 4), pick("t", 30)
	switch r.IntN(21) {
	case 0:
		return AgentEvent(agent(a))
	case 1:
		return AgentRemovedEvent(a, r.IntN(2) == 0)
	case 2:
		return RecoveredAgentEvent(agent(a).AgentInfo)
	case 3, 4:
		return FrameworkEvent(fact(f))
	case 5:
		if r.IntN(4) > 0 {
			return TaskEvent(task(f, t, mesos.TaskState_TASK_RUNNING), nil, false)
		}
		return FrameworkRemovedEvent(f)
	case 6, 7, 8:
		return TaskEvent(task(f, t, mesos.TaskState(r.IntN(5))), nil, false)
	case 9:
		return TaskEvent(task(f, t, mesos.TaskState_TASK_UNREACHABLE), nil, true)
	case 10:
		return TaskRemovedEvent(f, t, r.IntN(3) > 0)
	case 11:
		return OfferEvent(offer(pick("o", 9), f))
	case 12:
		return OfferRemovedEvent(pick("o", 9))
	case 13:
		return ExecutorEvent(executor(f, a, pick("e", 3)))
	case 15:
		return InverseOfferEvent(&mesos.InverseOffer{Id: offer(pick("o", 9), f).Id, FrameworkId: offer("", f).FrameworkId})
	case 16:
		return InverseOfferRemovedEvent(pick("o", 9))
	case 17:
		return MaintenanceEvent(&protocol.ViewEvent_Maintenance{Schedule: &maintenance.Schedule{Windows: []*maintenance.Window{{
			MachineIds: []*mesos.MachineID{{Hostname: proto.String(a)}}}}}, Status: &maintenance.ClusterStatus{}})
	case 14:
		return ExecutorRemovedEvent(f, a, pick("e", 3))
	case 18:
		return QuotaEvent(quotaOf(pick("r", 3), float64(r.IntN(3))))
	case 19:
		return QuotaEvent(&quota.QuotaConfig{Role: proto.String(pick("r", 3))})
	default:
		return WeightEvent(&mesos.WeightInfo{Role: proto.String(pick("r", 3)), Weight: proto.Float64(2)})
	}
}

// same compares all that can be read.
func same(t *testing.T, what string, a, b *View) {
	t.Helper()
	for part, ok := range map[string]bool{
		"agents":     equal(a.Agents(), b.Agents()),
		"recovered":  equal(a.RecoveredAgents(), b.RecoveredAgents()),
		"frameworks": equal(a.Frameworks(), b.Frameworks()),
		"completed":  equal(a.CompletedFrameworks(), b.CompletedFrameworks()),
		"offers":     equal(a.Offers(), b.Offers()),
		"inverse":    equal(a.InverseOffers(), b.InverseOffers()),
		"executors":  equal(a.Executors(), b.Executors()),
		"roles":      proto.Equal(a.GetRoles(), b.GetRoles()),
		"quotas":     proto.Equal(a.GetQuota(), b.GetQuota()),
		"weights":    proto.Equal(a.GetWeights(), b.GetWeights()),
		"master":     proto.Equal(a.GetMaster(), b.GetMaster()),
		"schedule":   proto.Equal(a.GetMaintenanceSchedule(), b.GetMaintenanceSchedule()),
		"status":     proto.Equal(a.GetMaintenanceStatus(), b.GetMaintenanceStatus()),
		"lost":       slices.Equal(a.UnreachableAgents(), b.UnreachableAgents()),
		"synced":     a.Synced() == b.Synced(),
	} {
		if !ok {
			t.Fatalf("%s: the %s differ", what, part)
		}
	}
	sameTasks(t, what, "tasks", a.Tasks(), b.Tasks())
	sameTasks(t, what, "completed tasks", a.CompletedTasks(), b.CompletedTasks())
	sameTasks(t, what, "unreachable tasks", a.UnreachableTasks(), b.UnreachableTasks())
}

// readAll reads what grows with the cluster.
func readAll(v *View) int {
	return len(v.Tasks()) + len(v.UnreachableTasks()) + len(v.CompletedTasks()) + len(v.Agents()) + len(v.RecoveredAgents()) +
		len(v.Frameworks()) + len(v.CompletedFrameworks()) + len(v.Offers()) + len(v.InverseOffers()) + len(v.Executors())
}

func equal[M proto.Message](a, b []M) bool {
	return slices.EqualFunc(a, b, func(x, y M) bool { return proto.Equal(x, y) })
}

func sameTasks(t *testing.T, what, kind string, a, b []*mesos.Task) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d %s, want %d", what, len(a), kind, len(b))
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			t.Fatalf("%s: %s: %v, want %v", what, kind, a[i], b[i])
		}
	}
}

func TestASnapshotAndWhatFollowsMakeTheSameView(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		v := New()
		v.Apply(MasterEvent(&protocol.ViewEvent_Master{Info: &mesos.MasterInfo{Id: proto.String("m")}, ElectedTime: proto.Float64(5)}))
		v.Apply(&protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}})
		for range 400 {
			v.Apply(random(r))
		}
		replica := New()
		for range 50 {
			replica.Apply(random(r)) // what it held before does not matter
		}
		for _, e := range v.Events() {
			replica.Apply(e)
		}
		same(t, "the replica", replica, v)
		for range 100 {
			e := random(r)
			v.Apply(e)
			replica.Apply(e)
		}
		same(t, "the replica, later,", replica, v)
	}
}

func TestACloneStaysAsItWas(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	v := New()
	for range 30 {
		for range 100 {
			v.Apply(random(r))
		}
		reference := New()
		for _, e := range v.Events() {
			reference.Apply(e)
		}
		reference.synced = v.synced
		clone := v.Clone()
		var reading sync.WaitGroup
		reading.Go(func() {
			for range 20 {
				readAll(clone)
				clone.Clone().Apply(random(rand.New(rand.NewPCG(3, 3))))
			}
		})
		for range 200 {
			v.Apply(random(r))
		}
		reading.Wait()
		same(t, "the clone", clone, reference)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	v := New()
	const frameworks, tasks, unreachable = 5, 20, 15 // as this leader wants it
	v.Apply(MasterEvent(&protocol.ViewEvent_Master{MaxCompletedFrameworks: proto.Int32(frameworks),
		MaxCompletedTasksPerFramework: proto.Int32(tasks), MaxUnreachableTasksPerFramework: proto.Int32(unreachable)}))
	v.Apply(FrameworkEvent(fact("f")))
	for i := range tasks + 10 {
		id := fmt.Sprintf("t%05d", i)
		v.Apply(TaskEvent(task("f", id, mesos.TaskState_TASK_FINISHED), nil, false))
		v.Apply(TaskRemovedEvent("f", id, true))
		v.Apply(TaskEvent(task("f", "u"+id, mesos.TaskState_TASK_UNREACHABLE), nil, true))
	}
	if done := v.CompletedTasks("f"); len(done) != tasks || done[0].GetTaskId().GetValue() != "t00010" {
		t.Errorf("%d completed tasks, the first is %v", len(done), done[0])
	}
	if lost := v.UnreachableTasks("f"); len(lost) != unreachable || lost[0].GetTaskId().GetValue() != "ut00015" {
		t.Errorf("%d unreachable tasks, the first is %v", len(lost), lost[0])
	}
	for i := range frameworks + 5 {
		id := fmt.Sprintf("g%03d", i)
		v.Apply(FrameworkEvent(fact(id)))
		v.Apply(TaskEvent(task(id, "t", mesos.TaskState_TASK_KILLED), nil, false))
		v.Apply(TaskRemovedEvent(id, "t", true))
		v.Apply(FrameworkRemovedEvent(id))
	}
	if fs := v.CompletedFrameworks(); len(fs) != frameworks || fs[0].GetFrameworkInfo().GetId().GetValue() != "g005" {
		t.Errorf("%d completed frameworks, the first is %v", len(fs), fs[0])
	}
	if v.Task("g009", "t") == nil || v.Task("g004", "t") != nil || v.Framework("g009") == nil || v.Framework("g004") != nil {
		t.Error("tasks of completed frameworks are not kept as long as these")
	}
}

func TestTasksAreFoundInWhateverStateTheyAre(t *testing.T) {
	v := New()
	v.Apply(TaskEvent(task("f", "a", mesos.TaskState_TASK_RUNNING), nil, false))
	v.Apply(TaskEvent(task("f", "b", mesos.TaskState_TASK_UNREACHABLE), nil, true))
	v.Apply(TaskEvent(task("f", "c", mesos.TaskState_TASK_FINISHED), nil, false))
	v.Apply(TaskRemovedEvent("f", "c", true))
	v.Apply(TaskEvent(task("f", "d", mesos.TaskState_TASK_FINISHED), nil, false))
	v.Apply(TaskRemovedEvent("f", "d", false))
	for id, want := range map[string]bool{"a": true, "b": true, "c": true, "d": false, "e": false} {
		if got := v.Task("f", id) != nil; got != want {
			t.Errorf("task %s is found: %t", id, got)
		}
	}
	v.Apply(TaskEvent(task("f", "b", mesos.TaskState_TASK_RUNNING), nil, false))
	if len(v.Tasks()) != 2 || len(v.UnreachableTasks()) != 0 || len(v.Tasks("nobody")) != 0 {
		t.Errorf("tasks: %v, unreachable: %v", v.Tasks(), v.UnreachableTasks())
	}
}

func TestOffersAreFoundByFramework(t *testing.T) {
	v := New()
	v.Apply(FrameworkEvent(fact("f")))
	v.Apply(FrameworkEvent(fact("g")))
	v.Apply(OfferEvent(offer("o1", "f")))
	v.Apply(OfferEvent(offer("o2", "f")))
	if len(v.Offers("g")) != 0 || len(v.Offers("f")) != 2 || len(v.Offers()) != 2 {
		t.Errorf("offers: %v", v.Offers())
	}
}

func TestRolesSumUpWhatTheyAndThoseBelowHave(t *testing.T) {
	v := New()
	f := fact("f", "a/x", "b")
	f.AllocatedResources = []*mesos.Resource{scalar("cpus", 1, "a/x"), scalar("tokens", 2, "a/x")}
	f.OfferedResources = []*mesos.Resource{scalar("cpus", 2, "a/x"), scalar("mem", 5, "b")}
	revocable := scalar("cpus", 3, "b")
	revocable.Revocable = &mesos.Resource_RevocableInfo{}
	f.AllocatedResources = append(f.AllocatedResources, revocable)
	v.Apply(FrameworkEvent(f))
	v.Apply(FrameworkEvent(fact("g")))
	a := agent("a")
	reserved := scalar("mem", 7, "")
	reserved.AllocationInfo = nil
	reserved.Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: proto.String("a")}}
	a.TotalResources = []*mesos.Resource{reserved}
	v.Apply(AgentEvent(a))
	v.Apply(WeightEvent(&mesos.WeightInfo{Role: proto.String("w"), Weight: proto.Float64(3)}))
	v.Apply(QuotaEvent(quotaOf("q/r", 4)))
	v.Apply(QuotaEvent(quotaOf("gone", 4)))
	v.Apply(QuotaEvent(&quota.QuotaConfig{Role: proto.String("gone")}))
	var got []string
	for _, r := range v.Roles() {
		got = append(got, fmt.Sprintf("%s weight %g frameworks %d guarantee %s limit %s consumed %s allocated %s offered %s reserved %s",
			r.Name, r.Weight, len(r.Frameworks), r.Guarantees, r.Limits, r.Consumed, r.Allocated, r.Offered, r.Reserved))
	}
	want := []string{
		"* weight 1 frameworks 1 guarantee  limit  consumed  allocated  offered  reserved ",
		"a weight 1 frameworks 0 guarantee  limit  consumed cpus:1;mem:7;tokens:2 allocated cpus:1;tokens:2 offered cpus:2 reserved mem:7",
		"a/x weight 1 frameworks 1 guarantee  limit  consumed cpus:1;tokens:2 allocated cpus:1;tokens:2 offered cpus:2 reserved ",
		"b weight 1 frameworks 1 guarantee  limit  consumed  allocated cpus:3 offered mem:5 reserved ",
		"q weight 1 frameworks 0 guarantee  limit  consumed  allocated  offered  reserved ",
		"q/r weight 1 frameworks 0 guarantee cpus:4 limit cpus:4 consumed  allocated  offered  reserved ",
		"w weight 3 frameworks 0 guarantee  limit  consumed  allocated  offered  reserved ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("roles\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func quotaOf(role string, cpus float64) *quota.QuotaConfig {
	amounts := map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(cpus)}}
	return &quota.QuotaConfig{Role: proto.String(role), Guarantees: amounts, Limits: amounts}
}

func TestWhatIsEmptyDoesNotBreakIt(t *testing.T) {
	v := New()
	for _, e := range []*protocol.ViewEvent{nil, {}, {Event: &protocol.ViewEvent_Task{}}, {Event: &protocol.ViewEvent_Framework{}},
		{Event: &protocol.ViewEvent_TaskRemoved_{}}, {Event: &protocol.ViewEvent_Executor{}}, {Event: &protocol.ViewEvent_Offer{}}, {Event: &protocol.ViewEvent_Agent{}}} {
		v.Apply(e)
	}
	readAll(v)
	v.GetMaster()
	v.Clone().Events()
}

// BenchmarkState reads all that grows, at 40,000 agents and 400,000 tasks.
func BenchmarkState(b *testing.B) {
	v := New()
	for i := range 100 {
		v.Apply(FrameworkEvent(fact(fmt.Sprint("f", i))))
	}
	for i := range 40000 {
		v.Apply(AgentEvent(agent(fmt.Sprint("a", i))))
		for j := range 10 {
			v.Apply(TaskEvent(task(fmt.Sprint("f", j*7%100), fmt.Sprintf("t%d-%d", i, j), mesos.TaskState_TASK_RUNNING), nil, false))
		}
	}
	b.ResetTimer()
	for range b.N {
		readAll(v.Clone())
		v.Apply(TaskEvent(task("f1", "t", mesos.TaskState_TASK_RUNNING), nil, false))
	}
}

// BenchmarkApply is offers that go, and come anew to another framework, of 10,000
// agents.
func BenchmarkApply(b *testing.B) {
	const n = 10_000
	v := New()
	id := func(i int) string { return fmt.Sprintf("3f0e2c86-58f5-4b06-9b0f-0d3b7a0f9a11-O%d", i) }
	offers := make([]*protocol.ViewEvent, n+b.N)
	for i := range offers {
		offers[i] = OfferEvent(offer(id(i), fmt.Sprint("f", i%100)))
	}
	removed := make([]*protocol.ViewEvent, b.N)
	for i := range removed {
		removed[i] = OfferRemovedEvent(id(i/100*100 + (i*37)%100))
	}
	for i := range n {
		v.Apply(offers[i])
	}
	b.ResetTimer()
	for i := range b.N {
		v.Apply(removed[i])
		v.Apply(offers[n+i])
	}
}
