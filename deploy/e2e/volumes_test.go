package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
)

// dynamically returns resources that are reserved at run time.
func dynamically(role, name string, amount float64) *mesos.Resource {
	return &mesos.Resource{
		Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &amount},
		Reservations: []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role}},
	}
}

func persistent(role, id string, amount float64) *mesos.Resource {
	r := dynamically(role, "disk", amount)
	r.Disk = &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id},
		Volume:      &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()},
	}
	return r
}

// A volume is made and used in one ACCEPT, outlives its task, the daemon and the
// leader, is found by a later task, and gone with DESTROY.
func TestVolumeOutlivesTasksDaemonAndLeader(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	home := c.other(leader)
	keeper := func(info *mesos.FrameworkInfo) {
		info.Roles = []string{"keeper"}
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()})
	}
	f := subscribe(t, home, client.JSON, keeper)
	o := f.offer(home.IP)
	cpus, volume := dynamically("keeper", "cpus", 0.1), persistent("keeper", "v1", 16)
	writes := task(o, "writes", "echo kept > data/file; cat data/file")
	writes.Resources = []*mesos.Resource{cpus, dynamically("keeper", "mem", 32), volume}
	f.convert(o, &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Id: &mesos.OperationID{Value: proto.String("reserve")},
		Reserve: &mesos.Offer_Operation_Reserve{Resources: []*mesos.Resource{cpus, dynamically("keeper", "mem", 32), dynamically("keeper", "disk", 16)}}},
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Id: &mesos.OperationID{Value: proto.String("create")},
			Create: &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{volume}}},
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{writes}}})
	f.in(mesos.TaskState_TASK_FINISHED, "writes")
	home.wrote(f.id(), "writes", "stdout", "kept\n")
	dir := filepath.Join(home.Dir, "agent", "volumes", "roles", "keeper", "v1")
	if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "kept\n" {
		t.Fatalf("%q, %v", b, err)
	}

	home.Kill()
	home.start()
	leader.Kill()
	leader.start()
	c.settled()
	g := subscribe(t, leader, client.Protobuf, keeper)
	o = g.offerOf(home.IP, "v1")
	reads := task(o, "reads", "cat data/file; touch data/more")
	reads.Resources = writes.Resources
	g.convert(o, &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{reads}}})
	g.in(mesos.TaskState_TASK_FINISHED, "reads")
	home.wrote(g.id(), "reads", "stdout", "kept\n")

	// The operator removes it, by the older endpoint; while offers hold it they are in the way.
	body, err := json.Marshal([]any{json.RawMessage(asJSON(t, volume))})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the volume to be free", func() bool {
		code, _ := post(t, "http://"+home.API()+"/master/destroy-volumes", "",
			url.Values{"slaveId": {o.GetAgentId().GetValue()}, "volumes": {string(body)}}.Encode())
		return code == http.StatusAccepted
	})
	await(t, "the volume to be gone", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	call := fmt.Sprintf(`{"type":"UNRESERVE_RESOURCES","unreserve_resources":{"agent_id":{"value":%q},"resources":[%s]}}`,
		o.GetAgentId().GetValue(), asJSON(t, dynamically("keeper", "disk", 16)))
	if code, text := post(t, "http://"+leader.API()+"/api/v1", "", call); code != http.StatusAccepted {
		t.Errorf("UNRESERVE_RESOURCES: %d %s", code, text)
	}
	await(t, "operations to be acknowledged", func() bool {
		r, err := home.at(home.API(), client.JSON).Get(t.Context(), master.Call_GET_OPERATIONS)
		return err == nil && len(r.GetGetOperations().GetOperations()) == 0
	})
}

// An operator reserves, makes a volume of it, resizes and destroys it and gives all back.
func TestOperatorReservesAndMakesVolumes(t *testing.T) {
	c := newCluster(t, 1)
	d := c.settled()
	await(t, "the agent", func() bool {
		_, err := command("resources", d.Name, "--api", d.API())
		return err == nil
	})
	type amounts map[string]float64
	is := func(reserved, free, volume float64) {
		t.Helper()
		var list []struct {
			Reserved []struct {
				Role      string
				Principal string
				Resources amounts
				Free      amounts
			}
			Volumes []struct {
				ID     string
				SizeMB float64 `json:"size_mb"`
				Path   string  `json:"container_path"`
				InUse  bool    `json:"in_use"`
			}
		}
		parse(t, d.muster("resources", d.Name, "--api", d.API(), "-o", "json"), &list)
		got, size := list[0], 0.0
		for _, v := range got.Volumes {
			size += v.SizeMB
			if v.ID != "v1" || v.Path != "data" || v.InUse {
				t.Errorf("volume %+v", v)
			}
		}
		var has, left float64
		for _, r := range got.Reserved {
			has, left = has+r.Resources["disk"], left+r.Free["disk"]
			if r.Role != "keeper" || r.Principal != "ops" {
				t.Errorf("reservation %+v", r)
			}
		}
		if has != reserved || left != free || size != volume {
			t.Errorf("reserved %g, free %g, volumes %g; want %g, %g, %g", has, left, size, reserved, free, volume)
		}
	}
	do := func(args ...string) { t.Helper(); d.muster(append(args, "--api", d.API(), "--principal", "ops")...) }
	refused := func(why string, args ...string) {
		t.Helper()
		if _, err := command(append(args, "--api", d.API(), "--principal", "ops")...); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v: %v, want %s", args, err, why)
		}
	}
	is(0, 0, 0)
	do("reserve", d.Name, "keeper", "cpus:0.1,disk:64")
	do("volume", "create", d.Name, "keeper", "v1", "32", "--path", "data")
	is(64, 32, 32)
	do("volume", "resize", d.Name, "v1", "48")
	is(64, 16, 48)
	do("volume", "resize", d.Name, "v1", "16")
	is(64, 48, 16)
	refused("has a volume v1 of keeper already", "volume", "create", d.Name, "keeper", "v1", "8")
	refused("muster reserve "+d.Name+" keeper disk:52", "volume", "create", d.Name, "keeper", "v2", "100")
	refused("muster reserve "+d.Name+" keeper disk:984", "volume", "resize", d.Name, "v1", "1000")
	refused("unreserved and not in use, less than 100000", "reserve", d.Name, "keeper", "cpus:100000")
	refused("or `muster volume destroy`", "unreserve", d.Name, "keeper", "disk:64")
	refused(`has no volume "v9"`, "volume", "destroy", d.Name, "v9")
	do("volume", "destroy", d.Name, "v1")
	do("unreserve", d.Name, "keeper", "cpus:0.1,disk:64")
	is(0, 0, 0)
}

func asJSON(t *testing.T, m proto.Message) string {
	b, err := mesos.MarshalJSON(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// convert accepts an offer with operations, in one call.
func (f *framework) convert(o *mesos.Offer, ops ...*mesos.Offer_Operation) {
	f.t.Helper()
	err := f.session.Call(f.t.Context(), &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{o.GetId()}, Operations: ops, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(1)},
	}})
	if err != nil {
		f.t.Fatalf("accept: %v", err)
	}
}

// offerOf waits for an offer of a node that has a volume, or for one after it.
func (f *framework) offerOf(host, volume string) (found *mesos.Offer) {
	f.t.Helper()
	await(f.t, "an offer of volume "+volume, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, o := range f.offers {
			for _, r := range o.GetResources() {
				if o.GetHostname() == host && r.GetDisk().GetPersistence().GetId() == volume {
					found = o
				}
			}
		}
		return found != nil
	})
	return found
}
