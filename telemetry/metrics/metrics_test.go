package metrics

import (
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func declared() *Set {
	s := New()
	s.Gauge("master/cpus_total", func() float64 { return 12.5 })
	s.Gauges(func(emit Emit) {
		emit("allocator/mesos/roles/eng.web/shares/dominant", .25)
		emit("allocator/mesos/roles/*/shares/dominant", .5)
	})
	s.Counter("master/tasks_finished").Add(3)
	t := s.Timer("registrar/state_store")
	for i := range 100 {
		t.Observe(time.Duration(i+1) * time.Millisecond)
	}
	s.Timer("registrar/state_fetch")
	return s
}

func TestSnapshotHasMesosNames(t *testing.T) {
	got := declared().Snapshot()
	want := map[string]float64{
		"master/cpus_total":                             12.5,
		"allocator/mesos/roles/eng.web/shares/dominant": .25,
		"allocator/mesos/roles/*/shares/dominant":       .5,
		"master/tasks_finished":                         3,
		"registrar/state_store_ms":                      100,
		"registrar/state_store_ms/count":                100,
		"registrar/state_store_ms/min":                  1,
		"registrar/state_store_ms/max":                  100,
		"registrar/state_store_ms/p50":                  50.5,
		"registrar/state_store_ms/p90":                  90.1,
		"registrar/state_store_ms/p95":                  95.05,
		"registrar/state_store_ms/p99":                  99.01,
		"registrar/state_store_ms/p999":                 99.901,
		"registrar/state_store_ms/p9999":                99.9901,
	}
	for name, value := range want {
		if math.Abs(got[name]-value) > 1e-5 {
			t.Errorf("%s is %v, not %v", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d metrics, expected %d: %v", len(got), len(want), got)
	}
}

func exposition(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("status %d: %v\n%s", w.Code, err, text)
	}
	return string(text)
}

func TestPrometheusShowsTheSame(t *testing.T) {
	s := declared()
	tasks := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "muster_task_cpus"}, []string{"task_id"})
	tasks.WithLabelValues("t1").Set(2)
	if err := s.Register(tasks); err != nil {
		t.Fatal(err)
	}
	if err := s.Register(tasks); err == nil {
		t.Error("registered twice")
	}
	text := exposition(t, s)
	for _, line := range []string{
		"# TYPE muster_master_cpus_total gauge\nmuster_master_cpus_total 12.5\n",
		"# TYPE muster_master_tasks_finished_total counter\nmuster_master_tasks_finished_total 3\n",
		"muster_registrar_state_store_seconds_count 100\n",
		"muster_registrar_state_store_seconds_sum 5.05\n",
		`muster_registrar_state_store_seconds{quantile="0.5"} 0.0505` + "\n",
		"muster_registrar_state_fetch_seconds_count 0\n",
		"muster_allocator_mesos_roles_eng_web_shares_dominant 0.25\n",
		`muster_task_cpus{task_id="t1"} 2` + "\n",
		"\ngo_goroutines ",
		"\nprocess_resident_memory_bytes ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("not shown: %q", line)
		}
	}
}

func TestNamesThatPrometheusCannotTellApartShowOnce(t *testing.T) {
	s := New()
	s.Gauges(func(emit Emit) {
		emit("roles/a-b", 1)
		emit("roles/a_b", 2)
	})
	if n := strings.Count(exposition(t, s), "\nmuster_roles_a_b "); n != 1 {
		t.Errorf("shown %d times", n)
	}
}

func TestDeclaringTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s := declared()
	s.Counter("master/cpus_total")
}

func TestTimerKeepsTheLatest(t *testing.T) {
	s := New()
	timer := s.Timer("t")
	timer.Observe(time.Hour)
	for range kept {
		timer.Observe(time.Millisecond)
	}
	timer.Start()()
	got := s.Snapshot()
	if got["t_ms/count"] != kept+2 || got["t_ms/max"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestReadersAndWritersDoNotDisturbEachOther(t *testing.T) {
	s := declared()
	c, timer := s.Counter("c"), s.Timer("t")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				c.Inc()
				timer.Observe(time.Millisecond)
				s.Snapshot()
			}
		})
	}
	wg.Wait()
	if c.Value() != 800 || s.Snapshot()["t_ms/count"] != 800 {
		t.Errorf("%d counted", c.Value())
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s := declared()
	for b.Loop() {
		s.Snapshot()
	}
}
