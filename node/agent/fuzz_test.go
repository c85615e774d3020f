package agent

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/isolate/isolatetest"
	"muster/offers/mesos"
	"muster/offers/protocol"
)

// FuzzReceive: nothing a leader says ends the agent.
func FuzzReceive(f *testing.F) {
	id := &mesos.AgentID{Value: proto.String("S0")}
	fid, tid := frameworkInfo().GetId(), command("t").GetTaskId()
	for _, m := range []*protocol.MasterToAgent{
		{Message: &protocol.MasterToAgent_Registered{Registered: &protocol.Registered{AgentId: id, HeartbeatIntervalSeconds: proto.Float64(9)}}},
		{Message: &protocol.MasterToAgent_Refused{Refused: &protocol.Refused{Gone: proto.Bool(true)}}},
		{Message: &protocol.MasterToAgent_RunTask{RunTask: &protocol.RunTask{Framework: frameworkInfo(), Tasks: []*mesos.TaskInfo{command("t"), {}}}}},
		{Message: &protocol.MasterToAgent_KillTask{KillTask: &protocol.KillTask{FrameworkId: fid, TaskId: tid, KillPolicy: policy(-1)}}},
		{Message: &protocol.MasterToAgent_Acknowledge{Acknowledge: &protocol.Acknowledge{FrameworkId: fid, TaskId: tid, Uuid: []byte("u")}}},
		{Message: &protocol.MasterToAgent_ShutdownFramework{ShutdownFramework: &protocol.ShutdownFramework{FrameworkId: fid}}},
		{Message: &protocol.MasterToAgent_UpdateFramework{UpdateFramework: &protocol.UpdateFramework{Framework: frameworkInfo()}}},
		{Message: &protocol.MasterToAgent_Reconcile{Reconcile: &protocol.Reconcile{Tasks: []*protocol.Reconcile_Task{{FrameworkId: fid, TaskId: tid}, {}}}}},
		{Message: &protocol.MasterToAgent_ShutdownExecutor{ShutdownExecutor: &protocol.ShutdownExecutor{}}},
		{Message: &protocol.MasterToAgent_FrameworkMessage{FrameworkMessage: &protocol.FrameworkMessage{}}},
		{},
	} {
		b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	no := false
	agent, err := New(Config{Dir: f.TempDir(), Resources: "cpus:4;mem:4096", SwitchUser: &no}, isolatetest.NewDriver(nil), nil, &leader{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	agent.Connected(1)
	if err := agent.Receive(&protocol.MasterToAgent{Term: proto.Uint64(1), Message: &protocol.MasterToAgent_Registered{
		Registered: &protocol.Registered{AgentId: id}}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m protocol.MasterToAgent
		if (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(b, &m) != nil {
			return
		}
		m.Term = proto.Uint64(1)
		if err := agent.Receive(&m); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		agent.post(func() { close(done) })
		<-done
		agent.State()
	})
}
