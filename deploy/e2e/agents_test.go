package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/deploy/e2e/cluster"
	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
)

// again starts a daemon anew with other settings.
func (d *daemon) again(args ...string) {
	d.t.Helper()
	d.Kill()
	d.Args = args
	d.start()
}

// An agent of another region is for frameworks that know regions; it starts again with
// less and with other attributes, as the same agent, and its tasks run on.
func TestAnotherRegionAndAnAgentThatChanges(t *testing.T) {
	c := newCluster(t, 2)
	near, far := c.nodes[0], c.nodes[1]
	near.again("--region", "near", "--zone", "a", "--home-region", "near")
	far.again("--region", "far", "--zone", "b", "--home-region", "near", "--attributes", "rack:x")
	c.settled()
	plain := subscribe(t, near, client.JSON, nil)
	here := plain.offer("")
	if text := string(near.muster("explain", plain.id(), "--agent", far.IP, "--api", near.API())); !strings.Contains(text, "REGION_AWARE") {
		t.Errorf("muster explain: %s", text)
	}
	aware := subscribe(t, near, client.JSON, func(info *mesos.FrameworkInfo) {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: mesos.FrameworkInfo_Capability_REGION_AWARE.Enum()})
	})
	there := aware.offer("")
	for o, want := range map[*mesos.Offer]string{here: near.IP + " near/a", there: far.IP + " far/b"} {
		domain := o.GetDomain().GetFaultDomain()
		if got := o.GetHostname() + " " + domain.GetRegion().GetName() + "/" + domain.GetZone().GetName(); got != want {
			t.Errorf("offered %s, not %s", got, want)
		}
	}
	if err := aware.session.Accept(t.Context(), 0, []*mesos.OfferID{there.GetId()}, client.Launch(task(there, "stays", "sleep 1000"))); err != nil {
		t.Fatal(err)
	}
	aware.in(mesos.TaskState_TASK_RUNNING, "stays")
	before := tasksOf(t, far, "stays")

	far.again("--region", "far", "--zone", "c", "--home-region", "near", "--attributes", "rack:y;disk:ssd", "--resources", "cpus:2;mem:512;disk:512")
	c.settled()
	var agent *master.Response_GetAgents_Agent
	await(t, "the agent as it is now", func() bool {
		r, err := near.at(near.API(), client.JSON).Get(t.Context(), master.Call_GET_AGENTS)
		for _, a := range r.GetGetAgents().GetAgents() {
			if a.GetAgentInfo().GetHostname() == far.IP && len(a.GetAgentInfo().GetAttributes()) == 2 {
				agent = a
			}
		}
		return err == nil && agent != nil
	})
	if id := agent.GetAgentInfo().GetId().GetValue(); id != there.GetAgentId().GetValue() {
		t.Errorf("the agent was %s and is %s", there.GetAgentId().GetValue(), id)
	}
	if after := tasksOf(t, far, "stays"); after["stays"].PID != before["stays"].PID {
		t.Errorf("the task was process %d and is %d", before["stays"].PID, after["stays"].PID)
	}
	o := aware.offer(far.IP)
	if cpus, mem := scalar(o, "cpus"), scalar(o, "mem"); cpus != 1.95 || mem != 480 || o.GetDomain().GetFaultDomain().GetZone().GetName() != "c" {
		t.Errorf("offered cpus %g, mem %g, %v", cpus, mem, o.GetDomain())
	}
}

// A PATH disk is divided into volumes; a MOUNT disk is one volume, whole. Tasks write on both.
func TestVolumesOnOtherDisks(t *testing.T) {
	mounted, divided := t.TempDir(), t.TempDir()
	whole := func(kind, root string) string {
		return fmt.Sprintf(`{"name":"disk","type":"SCALAR","scalar":{"value":512},"disk":{"source":{"type":"%s","%s":{"root":"%s"}}}}`,
			strings.ToUpper(kind), kind, root)
	}
	c := clusterOf(t, cluster.Config{Nodes: 1, Resources: `[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},
	 {"name":"mem","type":"SCALAR","scalar":{"value":512}},` + whole("mount", mounted) + `,` + whole("path", divided) + `]`})
	d := c.nodes[0]
	f := subscribe(t, d, client.JSON, func(info *mesos.FrameworkInfo) {
		info.Roles = []string{"keeper"}
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()})
	})
	o := f.offer("")
	on := func(r *mesos.Resource, kind mesos.Resource_DiskInfo_Source_Type) *mesos.Resource {
		if r.Disk == nil {
			r.Disk = &mesos.Resource_DiskInfo{}
		}
		r.Disk.Source = &mesos.Resource_DiskInfo_Source{Type: &kind}
		if kind == mesos.Resource_DiskInfo_Source_MOUNT {
			r.Disk.Source.Mount = &mesos.Resource_DiskInfo_Source_Mount{Root: &mounted}
			r.Disk.Volume = at(r.Disk.Volume, "mounted")
		} else {
			r.Disk.Source.Path = &mesos.Resource_DiskInfo_Source_Path{Root: &divided}
			r.Disk.Volume = at(r.Disk.Volume, "divided")
		}
		return r
	}
	const mount, path = mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_PATH
	disks := []*mesos.Resource{on(dynamically("keeper", "disk", 512), mount), on(dynamically("keeper", "disk", 512), path)}
	volumes := []*mesos.Resource{on(persistent("keeper", "m", 512), mount), on(persistent("keeper", "p", 100), path)}
	writes := task(o, "writes", "echo kept > mounted/file && echo kept > divided/file")
	writes.Resources = append(writes.Resources, volumes...)
	f.convert(o,
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: disks}},
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{on(persistent("keeper", "part", 100), mount)}}},
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volumes}},
		&mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{writes}}})
	f.in(mesos.TaskState_TASK_FINISHED, "writes")
	for _, file := range []string{filepath.Join(mounted, "file"), filepath.Join(divided, "volumes", "roles", "keeper", "p", "file")} {
		if b, err := os.ReadFile(file); string(b) != "kept\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
	code, text := get(t, "http://"+d.API()+"/slaves")
	if code != http.StatusOK || strings.Contains(text, `"id":"part"`) || !strings.Contains(text, `"id":"m"`) || !strings.Contains(text, `"id":"p"`) {
		t.Errorf("/slaves: %d %s", code, text)
	}
}

func at(v *mesos.Volume, path string) *mesos.Volume {
	if v != nil {
		v.ContainerPath = &path
	}
	return v
}

// With split_offers two frameworks that have nothing share the one agent.
func TestALargeAgentIsSplit(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	d.again("--split-offers", "cpus:1;mem:64")
	c.settled()
	holder := subscribe(t, d, client.JSON, nil)
	all := holder.offer("")
	first, second := subscribe(t, d, client.JSON, nil), subscribe(t, d, client.Protobuf, nil)
	err := holder.session.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{
		OfferIds: []*mesos.OfferID{all.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(1000)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*framework{first, second} {
		if o := f.offer(""); scalar(o, "cpus") != 4 || scalar(o, "mem") != 2048 {
			t.Errorf("offered cpus %g, mem %g of %g and %g", scalar(o, "cpus"), scalar(o, "mem"), scalar(all, "cpus"), scalar(all, "mem"))
		}
	}
}
