package e2e

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// A role gets its limit and no more: while its tasks run, after its framework has
// changed, and under the next leader, until the limit is raised.
func TestQuotaHoldsARoleUnderTwoLeaders(t *testing.T) {
	c := newCluster(t, 3)
	leader := c.settled()
	near := c.other(leader)
	url := "http://" + near.API()
	by := func(method, path, body string, want int, said string) {
		t.Helper()
		header := map[string]string{"Content-Type": "application/json"}
		if code, _, text := send(t, method, url+path, header, strings.NewReader(body)); code != want || !strings.Contains(text, said) {
			t.Fatalf("%s %s %s: %d %s", method, path, body, code, text)
		}
	}
	update := func(cpus, mem, more string) string {
		return `{"type":"UPDATE_QUOTA","update_quota":{` + more + `"quota_configs":[{"role":"held","limits":{"cpus":{"value":` + cpus + `},"mem":{"value":` + mem + `}}}]}}`
	}
	by("POST", "/api/v1", update("0.1", "64", ""), http.StatusOK, "")

	f := subscribe(t, near, client.JSON, func(info *mesos.FrameworkInfo) { info.Roles = []string{"held"} })
	// Tasks of the leader's own agent would not be known to the next one.
	o := f.offer("")
	if o.GetHostname() == leader.IP {
		if err := f.session.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{
			OfferIds: []*mesos.OfferID{o.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(1000)}}}); err != nil {
			t.Fatal(err)
		}
		o = f.offer("")
	}
	if cpus, mem := scalar(o, "cpus"), scalar(o, "mem"); cpus != 0.1 || mem != 64 || o.GetHostname() == leader.IP {
		t.Fatalf("offered cpus %g, mem %g of %s", cpus, mem, o.GetHostname())
	}
	if err := f.session.Accept(t.Context(), 0, []*mesos.OfferID{o.GetId()}, client.Launch(task(o, "a", "sleep 1000"), task(o, "b", "sleep 1000"))); err != nil {
		t.Fatal(err)
	}
	f.in(mesos.TaskState_TASK_RUNNING, "a", "b")
	by("GET", "/roles", "", http.StatusOK, `"consumed":{"cpus":0.1,"gpus":0,"mem":64,"disk":0}`)
	by("POST", "/api/v1", update("0.05", "32", ""), http.StatusBadRequest, "use 'force'")

	// The rest of the cluster is for any role but this one.
	roles := func(names ...string) {
		t.Helper()
		info := `{"user":"root","name":"changed","failover_timeout":600,"id":{"value":"` + f.id() + `"},"roles":["` + strings.Join(names, `","`) + `"],
		 "capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}]}`
		framework := &mesos.FrameworkInfo{}
		if err := mesos.UnmarshalJSON([]byte(info), framework); err != nil {
			t.Fatal(err)
		}
		if err := f.session.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_UPDATE_FRAMEWORK.Enum(),
			UpdateFramework: &scheduler.Call_UpdateFramework{FrameworkInfo: framework}}); err != nil {
			t.Fatal(err)
		}
		by("POST", "/api/v1", `{"type":"GET_FRAMEWORKS"}`, http.StatusOK, `"name":"changed"`)
	}
	roles("held", "free")
	before := f.offeredOnlyTo("free", 3, nil)
	by("PUT", "/weights", `[{"role":"held","weight":2.5}]`, http.StatusOK, "")
	by("POST", "/api/v1", `{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"free","weight":0.5}]}}`, http.StatusOK, "")
	by("POST", "/quota", `{"role":"older","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}]}`, http.StatusOK, "")

	leader.Kill()
	c.settled()
	f.offeredOnlyTo("free", 2, before)
	by("GET", "/quota", "", http.StatusOK, `"limits":{"cpus":{"value":0.1},"mem":{"value":64.0}}`)
	by("GET", "/quota", "", http.StatusOK, `"role":"older"`)
	by("GET", "/weights", "", http.StatusOK, `{"weight":2.5,"role":"held"}`)
	by("POST", "/api/v1", `{"type":"GET_WEIGHTS"}`, http.StatusOK, `{"weight":0.5,"role":"free"}`)
	by("GET", "/roles", "", http.StatusOK, `"consumed":{"cpus":0.1,"gpus":0,"mem":64,"disk":0}`)
	by("DELETE", "/quota/older", "", http.StatusOK, "")
	by("DELETE", "/quota/older", "", http.StatusBadRequest, "Role 'older' has no quota set")

	roles("held")
	by("POST", "/api/v1", update("0.15", "96", ""), http.StatusOK, "")
	await(t, "an offer of what the limit was raised by", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, o := range f.offers {
			if o.GetAllocationInfo().GetRole() == "held" {
				if cpus, mem := scalar(o, "cpus"), scalar(o, "mem"); len(f.offers) != 1 || cpus != 0.05 || mem != 32 {
					t.Fatalf("%d offers, one of cpus %g, mem %g", len(f.offers), cpus, mem)
				}
				return true
			}
		}
		return false
	})
}

// scalar returns how much there is of one kind in an offer.
func scalar(o *mesos.Offer, name string) (amount float64) {
	for _, r := range o.GetResources() {
		if r.GetName() == name {
			amount += r.GetScalar().GetValue()
		}
	}
	return amount
}

// offeredOnlyTo waits for n offers beside those known before. All must be for one role.
func (f *framework) offeredOnlyTo(role string, n int, before map[string]bool) map[string]bool {
	f.t.Helper()
	ids := map[string]bool{}
	await(f.t, "offers to role "+role, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		clear(ids)
		for id, o := range f.offers {
			if got := o.GetAllocationInfo().GetRole(); got != role {
				f.t.Fatalf("an offer to role %s", got)
			}
			if !before[id] {
				ids[id] = true
			}
		}
		return len(ids) == n
	})
	return ids
}
