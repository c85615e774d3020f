package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"muster/node/client"
)

// lacks says which of the keys, as a.b of nested objects, v has not. Of an array
// one element must have what follows.
func lacks(v any, keys ...string) (missing []string) {
	for _, key := range keys {
		if !has(v, strings.Split(key, ".")) {
			missing = append(missing, key)
		}
	}
	return missing
}

func has(v any, path []string) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(e any) bool { return has(e, path) })
	}
	if len(path) == 0 {
		return v != nil
	}
	object, ok := v.(map[string]any)
	value, there := object[path[0]]
	if list, empty := value.([]any); ok && empty && len(list) == 0 && len(path) == 1 {
		return true
	}
	return ok && there && has(value, path[1:])
}

func oldEndpoints(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.begin("seen", "sleep 1000")
	agent := "slaves.id slaves.hostname slaves.port slaves.pid slaves.attributes slaves.resources.cpus slaves.resources.ports slaves.used_resources.mem " +
		"slaves.offered_resources slaves.reserved_resources slaves.unreserved_resources slaves.active slaves.version slaves.capabilities slaves.registered_time"
	framework := "frameworks.id frameworks.name frameworks.user frameworks.failover_timeout frameworks.checkpoint frameworks.roles frameworks.active " +
		"frameworks.connected frameworks.recovered frameworks.registered_time frameworks.capabilities frameworks.used_resources frameworks.offered_resources"
	task := "tasks.id tasks.name tasks.framework_id tasks.executor_id tasks.slave_id tasks.state tasks.resources.cpus tasks.role tasks.statuses"
	for path, keys := range map[string]string{
		"/state": "version id pid hostname start_time elected_time leader leader_info.id leader_info.port cluster flags activated_slaves deactivated_slaves " +
			"unreachable_slaves completed_frameworks orphan_tasks unregistered_frameworks frameworks.tasks.statuses.timestamp " +
			"frameworks.tasks.slave_id frameworks.completed_tasks frameworks.executors frameworks.offers " + agent + " " + framework,
		"/slaves": agent, "/frameworks": framework, "/tasks": task, "/state-summary": "slaves.id frameworks.id frameworks.TASK_RUNNING frameworks.slave_ids slaves.TASK_RUNNING hostname cluster",
		"/roles":  "roles.name roles.weight roles.frameworks roles.resources",
		"/health": "", "/version": "version", "/flags": "flags",
		"/metrics/snapshot": "master/elected master/uptime_secs master/slaves_active master/frameworks_active master/tasks_running master/cpus_total",
	} {
		for _, url := range []string{path, path + "/", path + ".json", "/master" + path, "/master" + path + "/", "/master" + path + ".json"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				code, header, text := send(t, method, "http://"+d.API()+url, nil, nil)
				if code != http.StatusOK || header.Get("Content-Length") != strconv.Itoa(len(text)) {
					t.Errorf("%s %s: %d, length %q of %d", method, url, code, header.Get("Content-Length"), len(text))
				}
				var v any
				if path != "/health" {
					if err := json.Unmarshal([]byte(text), &v); err != nil {
						t.Fatalf("%s: %v in %.300s", url, err, text)
					}
				}
				if missing := lacks(v, strings.Fields(keys)...); len(missing) > 0 {
					t.Errorf("%s lacks %v: %.300s", url, missing, text)
				}
			}
		}
	}
	shapes(t, d, f)
	code, header, text := send(t, http.MethodGet, "http://"+d.API()+"/state", map[string]string{"Accept-Encoding": "gzip"}, nil)
	if code != http.StatusOK || header.Get("Content-Length") != strconv.Itoa(len(text)) {
		t.Errorf("compressed: %d, length %q of %d", code, header.Get("Content-Length"), len(text))
	}
}

// shapes are what tools rely on beyond names.
func shapes(t *testing.T, d *daemon, f *framework) {
	var state struct {
		Leader string
		Slaves []struct {
			Pid       string
			Resources struct{ Ports string }
		}
		Frameworks []map[string]any
	}
	code, text := get(t, "http://"+d.API()+"/state")
	if code != http.StatusOK {
		t.Fatalf("/state: %d %s", code, text)
	}
	parse(t, []byte(text), &state)
	if state.Leader != "master@"+d.API() || len(state.Slaves) != 1 || state.Slaves[0].Pid != "slave(1)@"+d.AgentAPI() || !strings.HasPrefix(state.Slaves[0].Resources.Ports, "[") {
		t.Errorf("%+v", state)
	}
	for _, framework := range state.Frameworks {
		if pid, there := framework["pid"]; there {
			t.Errorf("a framework with pid %q", pid)
		}
	}
	for query, n := range map[string]int{"": 1, "?framework_id=" + f.id(): 1, "?framework_id=nobody": 0, "?limit=0": 0, "?offset=1": 0, "?task_id=seen": 1, "?task_id=other": 0} {
		var got struct{ Tasks []any }
		code, text := get(t, "http://"+d.API()+"/tasks"+query)
		parse(t, []byte(text), &got)
		if code != http.StatusOK || len(got.Tasks) < n || n == 0 && len(got.Tasks) > 0 && query != "?offset=1" {
			t.Errorf("/tasks%s: %d, %d tasks", query, code, len(got.Tasks))
		}
	}
}

func agentEndpoints(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.JSON, nil)
	f.begin("shown", "sleep 1000")
	await(t, "its usage", func() bool {
		code, text := get(t, "http://"+d.AgentAPI()+"/monitor/statistics")
		return code == http.StatusOK && strings.Contains(text, "shown")
	})
	for path, keys := range map[string]string{
		"/state": "version id hostname pid start_time resources.cpus attributes flags frameworks.id frameworks.name frameworks.executors.id " +
			"frameworks.executors.container frameworks.executors.directory frameworks.executors.tasks.id frameworks.executors.tasks.state frameworks.completed_executors",
		"/monitor/statistics": "framework_id executor_id executor_name source statistics.timestamp statistics.cpus_limit statistics.cpus_user_time_secs " +
			"statistics.cpus_system_time_secs statistics.mem_limit_bytes statistics.mem_rss_bytes statistics.mem_total_bytes",
		"/containers": "container_id executor_id executor_name framework_id source statistics.cpus_limit status.container_id status.executor_pid",
		"/health":     "", "/version": "version", "/metrics/snapshot": "slave/registered slave/tasks_running slave/cpus_total slave/uptime_secs",
	} {
		for _, url := range []string{path, path + "/", path + ".json", "/slave(1)" + path} {
			code, header, text := send(t, http.MethodGet, "http://"+d.AgentAPI()+url, nil, nil)
			if code != http.StatusOK || header.Get("Content-Length") != strconv.Itoa(len(text)) {
				t.Errorf("%s: %d, length %q of %d: %.200s", url, code, header.Get("Content-Length"), len(text), text)
			}
			var v any
			if path != "/health" {
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					t.Fatalf("%s: %v in %.300s", url, err, text)
				}
			}
			if missing := lacks(v, strings.Fields(keys)...); len(missing) > 0 {
				t.Errorf("%s lacks %v: %.300s", url, missing, text)
			}
		}
	}
}

// A task is not to read, by way of the daemon, what it may not read itself.
func confinement(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	f.begin("other", "echo secret-of-another > kept; sleep 1000")
	d.wrote(f.id(), "other", "kept", "secret")
	other := d.sandbox(f.id(), "other")
	escape := strings.Repeat("../", 16)
	f.begin("thief", strings.Join([]string{
		"echo mine > inside", "mkdir sub", "ln -s inside link", "ln -s /etc/shadow shadow", "ln -s " + escape + "etc/shadow up", "ln -s / root",
		"ln -s " + other + " other", "ln -s ../../../other/runs/latest/kept beside", "ln -s /proc/self/root/etc/shadow proc", "ln -s . dot",
		"ln -s loop loop", "mkfifo fifo", "ln -s " + d.Dir + " node", "ln /mnt/mesos/sandbox/inside hard", "ln -s sub/../../../.. far", "echo done > ready", "sleep 1000",
	}, "; "))
	d.wrote(f.id(), "thief", "ready", "done")
	fifoIsNoTrap(t, d, f)
	base := "/frameworks/" + f.id() + "/executors/thief/runs/latest"
	for _, name := range []string{"inside", "link", "dot/link", "hard"} {
		if code, text := get(t, "http://"+d.AgentAPI()+"/files/download?path="+url.QueryEscape(base+"/"+name)); code != http.StatusOK || text != "mine\n" {
			t.Errorf("%s, of the task's own: %d %q", name, code, text)
		}
	}
	var paths []string
	for _, name := range []string{
		"shadow", "up", "root", "root/etc/shadow", "root/etc", "other", "other/kept", "beside", "proc", "loop", "fifo", "node", "node/identity", "far", "far/../etc",
		escape + "etc/shadow", "sub/" + escape + "etc/shadow", "dot/" + escape + "etc/shadow", "inside/../../../../../../../../../../../../../etc/shadow", "inside\x00", "..", "../..",
	} {
		paths = append(paths, base+"/"+name)
	}
	paths = append(paths, "/etc/shadow", "etc/shadow", "/", "", "//etc//shadow", "\x00", d.Dir, d.Dir+"/identity", filepath.Join(d.Dir, "identity", "key"),
		"/slave/log/../../etc/shadow", "/master/log/x", strings.Replace(base, "thief", "..", 1), strings.Replace(base, "latest", "..", 1), strings.Replace(base, "latest", "../../other/runs/latest", 1)+"x",
		"/frameworks/../../../../etc/executors/shadow/runs/latest", "file:///etc/shadow", strings.Repeat("/x", 5000))
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(shadow), "\n")
	for _, api := range []string{d.AgentAPI(), d.API()} {
		for _, p := range paths {
			for _, verb := range []string{"browse", "read", "download"} {
				for _, text := range []string{url.QueryEscape(p), strings.ReplaceAll(p, "/", "%2f")} {
					if strings.ContainsAny(text, "\x00 ") {
						continue
					}
					code, answer := get(t, fmt.Sprintf("http://%s/files/%s?offset=0&path=%s", api, verb, text))
					if code/100 != 4 || strings.Contains(answer, line) || strings.Contains(answer, "secret-of-another") || strings.Contains(answer, `"path"`) {
						t.Errorf("%s of %.200q at %s: %d %.300q", verb, p, api, code, answer)
					}
				}
			}
		}
	}
	code, answer := get(t, "http://"+d.AgentAPI()+"/files/browse?path="+url.QueryEscape(base))
	if code != http.StatusOK || !strings.Contains(answer, base+"/inside") || !strings.Contains(answer, `"mode":"l`) {
		t.Errorf("browse: %d %s", code, answer)
	}
}

// fifoIsNoTrap checks that the task made a fifo, which an open without care would wait on.
func fifoIsNoTrap(t *testing.T, d *daemon, f *framework) {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(d.sandbox(f.id(), "thief"), "fifo"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		t.Errorf("no fifo: %v", err)
	}
}
