package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"muster/isolate"
	"muster/offers/mesos"
	"muster/offers/protocol"
	"muster/offers/resource"
)

func reserved(t *testing.T, text string) []*mesos.Resource {
	t.Helper()
	set, err := resource.Parse(text)
	if err == nil {
		set, err = set.Reserve(&mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String("db/x")})
	}
	if err != nil {
		t.Fatal(err)
	}
	return set.Proto()
}

func volumeResource(t *testing.T, id string) *mesos.Resource {
	r := reserved(t, "disk:10")[0]
	r.Disk = &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id},
		Volume:      &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()},
	}
	return r
}

func reserveOp(rs ...*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: rs}}
}

func createOp(rs ...*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: rs}}
}

func destroyOp(rs ...*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: rs}}
}

// apply has the agent carry out an operation under a UUID of one letter.
func (r *rig) apply(letter string, op *mesos.Offer_Operation) {
	r.say(&protocol.MasterToAgent{Message: &protocol.MasterToAgent_ApplyOperation{ApplyOperation: &protocol.ApplyOperation{
		Info: op, OperationUuid: []byte(strings.Repeat(letter, 16)),
	}}})
}

// operationState is what the leader heard last of an operation.
func (r *rig) operationState(letter string) mesos.OperationState {
	state := mesos.OperationState_OPERATION_UNKNOWN
	r.leader.mu.Lock()
	defer r.leader.mu.Unlock()
	for _, m := range r.leader.heard {
		if u := m.GetUpdateOperation(); string(u.GetOperationUuid()) == strings.Repeat(letter, 16) {
			state = u.GetStatus().GetState()
		}
	}
	return state
}

func (r *rig) total() string {
	set, err := resource.FromProto(r.agent.State().Agent.GetResources())
	if err != nil {
		r.t.Fatal(err)
	}
	return set.String()
}

const volumeDir = "volumes/roles/db x/v1"

// Whatever write the agent dies at, it comes back with what it has told of: a volume
// that it said is there is there, one that it said is gone is gone.
func TestOperationsSurviveAKillAtEveryWrite(t *testing.T) {
	for at := 1; at < 40; at++ {
		finished := false
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.start(at)
			r.connect()
			r.apply("r", reserveOp(reserved(t, "cpus:1;disk:10")...))
			r.apply("c", createOp(volumeResource(t, "v1")))
			r.settle()
			dir := filepath.Join(r.cfg.Dir, volumeDir)
			made := r.operationState("c") == mesos.OperationState_OPERATION_FINISHED
			if made {
				if err := os.WriteFile(filepath.Join(dir, "precious"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r.apply("d", destroyOp(volumeResource(t, "v1")))
			r.settle()
			gone := r.operationState("d") == mesos.OperationState_OPERATION_FINISHED
			finished = !r.world.dead()
			r.kill()
			r.start(0)
			r.connect()
			r.settle()
			total, _ := resource.FromProto(r.agent.State().Agent.GetResources())
			has := !total.PersistentVolumes().Empty()
			_, err := os.Stat(filepath.Join(dir, "precious"))
			switch {
			case gone && (has || err == nil):
				t.Errorf("killed at write %d: the volume was said to be gone: total %s, file %v", at, total, err)
			case made && has && err != nil:
				t.Errorf("killed at write %d: the volume is there without its file: %v", at, err)
			case made && !has && err == nil && r.operationState("d") != mesos.OperationState_OPERATION_FINISHED:
				t.Errorf("killed at write %d: the volume is gone, its file is not", at)
			case made && !has && r.operationState("d") != mesos.OperationState_OPERATION_FINISHED:
				t.Errorf("killed at write %d: a volume that was told of was lost", at)
			}
			r.end()
		})
		if finished {
			return
		}
	}
	t.Fatal("the agent never came to the end")
}

func TestTaskGetsItsVolumesAndWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ready()
		v := volumeResource(t, "v1")
		r.apply("r", reserveOp(reserved(t, "disk:20")...))
		r.apply("c", createOp(v))
		task := needs(command("t1"), "cpus:1")
		task.Resources = append(task.Resources, v)
		r.launch(frameworkInfo(), task)
		r.settle()
		spec, _ := r.driver.Spec(r.container("t1"))
		want := isolate.Volume{Source: filepath.Join(r.cfg.Dir, volumeDir), Target: "data"}
		if len(spec.Volumes) != 1 || spec.Volumes[0] != want {
			t.Fatalf("volumes %v, want %v", spec.Volumes, want)
		}
		// While it runs its volume cannot go; when it has ended it can.
		r.apply("d", destroyOp(v))
		r.settle()
		if s := r.operationState("d"); s != mesos.OperationState_OPERATION_UNKNOWN {
			t.Errorf("the volume of a running task: DESTROY is %s", s)
		}
		r.exit("t1", isolate.Exit{})
		r.settle()
		if s := r.operationState("d"); s != mesos.OperationState_OPERATION_FINISHED || exists(want.Source) {
			t.Errorf("DESTROY is %s, directory there: %t", s, exists(want.Source))
		}
		// A task for a volume that is not there is refused.
		task = needs(command("t2"), "cpus:1")
		task.Resources = append(task.Resources, v)
		r.launch(frameworkInfo(), task)
		r.settle()
		if s := r.last("t2"); s.GetState() != mesos.TaskState_TASK_LOST || !strings.Contains(s.GetMessage(), "do not have") {
			t.Errorf("%v", s)
		}
		r.end()
	})
}

// A volume is not made on what somebody else left, and what needed it fails with it.
func TestVolumeIsMadeInAnEmptyPlaceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := os.MkdirAll(filepath.Join(r.cfg.Dir, volumeDir, "foreign"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.ready()
		before := r.total()
		r.apply("r", reserveOp(reserved(t, "disk:10")...))
		r.apply("c", createOp(volumeResource(t, "v1")))
		r.apply("d", destroyOp(volumeResource(t, "v1")))
		r.settle()
		for letter, want := range map[string]mesos.OperationState{
			"r": mesos.OperationState_OPERATION_FINISHED, "c": mesos.OperationState_OPERATION_FAILED, "d": mesos.OperationState_OPERATION_FAILED,
		} {
			if s := r.operationState(letter); s != want {
				t.Errorf("operation %s: %s, want %s", letter, s, want)
			}
		}
		if !exists(filepath.Join(r.cfg.Dir, volumeDir, "foreign")) || r.total() == before {
			t.Errorf("total %s", r.total())
		}
		r.end()
	})
}

func TestChangedResourcesMustHoldWhatWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ready()
		r.apply("r", reserveOp(reserved(t, "cpus:3;disk:10")...))
		r.settle()
		r.end()
		r.cfg.Resources = "cpus:3;mem:100;disk:500;ports:[1-2]"
		r.start(0)
		if got := r.total(); !strings.Contains(got, "cpus(reservations: [(DYNAMIC,db/x)]):3") {
			t.Errorf("total %s", got)
		}
		r.end()
		cfg := r.cfg
		cfg.Resources = "cpus:2;mem:100;disk:500;ports:[1-2]"
		if _, err := New(cfg, r.driver, nil, r.world, r.log); err == nil || !strings.Contains(err.Error(), "has not got cpus:1") {
			t.Errorf("an agent with too few cpus: %v", err)
		}
	})
}

func TestDestroyFollowsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{true, false} {
		v := volume{dir: filepath.Join(dir, "volumes", "v"), whole: whole}
		if err := os.MkdirAll(filepath.Join(v.dir, "deep"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]string{"link": outside, "deep/link": outside, "up": ".."} {
			if err := os.Symlink(to, filepath.Join(v.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := destroyVolume(v); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(v.dir); len(left) > 0 || exists(v.dir) != whole || !exists(filepath.Join(outside, "file")) {
			t.Errorf("whole disk %t: left %v", whole, left)
		}
	}
}
