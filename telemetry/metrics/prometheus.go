package metrics

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves the Prometheus exposition. "master/tasks_running" becomes
// muster_master_tasks_running; counters end in _total; timers are summaries in
// seconds.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.prom, promhttp.HandlerOpts{})
}

// promName turns a path into a Prometheus name.
func promName(path string) string {
	return "muster_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, path)
}

// setCollector shows a Set to Prometheus. It is "unchecked", as a group's names
// are only known when it is read.
type setCollector struct{ set *Set }

// Describe sends nothing, which is how a collector says that it is unchecked.
func (setCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends each name once: two paths that differ only in characters that
// Prometheus does not know would spoil the whole exposition.
func (c setCollector) Collect(out chan<- prometheus.Metric) {
	v := c.set.view()
	sent := map[string]bool{}
	send := func(name, path string, metric func(*prometheus.Desc) prometheus.Metric) {
		if sent[name] {
			return
		}
		sent[name] = true
		out <- metric(prometheus.NewDesc(name, path, nil, nil))
	}
	for path, counter := range v.counters {
		name := strings.TrimSuffix(promName(path), "_total") + "_total"
		send(name, path, func(d *prometheus.Desc) prometheus.Metric {
			return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(counter.Value()))
		})
	}
	for path, timer := range v.timers {
		send(promName(path)+"_seconds", path, timer.stats().summary)
	}
	v.emitGauges(func(path string, value float64) {
		send(promName(path), path, func(d *prometheus.Desc) prometheus.Metric {
			return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
		})
	})
}

func (st stats) summary(d *prometheus.Desc) prometheus.Metric {
	quantiles := make(map[float64]float64, len(percentiles))
	if st.count > 0 {
		for _, p := range percentiles {
			quantiles[p.q] = st.quantile(p.q).Seconds()
		}
	}
	return prometheus.MustNewConstSummary(d, st.count, st.sum.Seconds(), quantiles)
}
