package agent

import (
	"slices"
	"time"

	"muster/telemetry"
)

// Amounts of CPUs, and of memory in bytes.
type Amounts struct {
	CPUs float64 `json:"cpus"`
	Mem  float64 `json:"mem_bytes"`
}

func (a *Amounts) add(cpus, mem float64) { a.CPUs, a.Mem = a.CPUs+cpus, a.Mem+mem }

// Moment is what a node has, uses and lends at one moment. Firm tasks are all
// that are not revocable.
type Moment struct {
	At             time.Time `json:"time"`
	Total          Amounts   `json:"total"`          // what the node offers for good
	Allocated      Amounts   `json:"allocated"`      // of that, to firm tasks
	Used           Amounts   `json:"used"`           // by firm tasks
	Predicted      Amounts   `json:"predicted_peak"` // that firm tasks will use within the horizon
	Lent           Amounts   `json:"revocable"`      // offered as revocable, in all
	Borrowed       Amounts   `json:"revocable_allocated"`
	RevocableUsed  Amounts   `json:"revocable_used"`
	System         float64   `json:"system_cpus"` // kept busy by what is no task
	Machine        Amounts   `json:"machine"`
	MachineMemUsed float64   `json:"machine_mem_used_bytes"`
	Level          string    `json:"qos_level"`            // calm, limited, tightened or freezing
	Quota          *float64  `json:"revocable_quota_cpus"` // that revocable tasks may keep busy; null is no limit
	Missed         bool      `json:"prediction_missed"`    // firm tasks use more than was predicted
	Violations     uint64    `json:"violations"`           // since the daemon started
	Corrections    uint64    `json:"corrections"`          // since the daemon started

	machine telemetry.Machine
}

// Violations are counted since the daemon started.
type Violations struct {
	Windows     uint64            `json:"windows"`            // that firm tasks were watched
	Bad         uint64            `json:"violated_windows"`   // in which one suffered, for some windows
	Count       uint64            `json:"violations"`         // how often that began
	Samples     uint64            `json:"samples"`            // in which use was compared with its prediction
	Missed      uint64            `json:"predictions_missed"` // in which firm tasks used more
	Corrections map[string]uint64 `json:"corrections"`        // by action
}

// Correction is one thing done to revocable tasks, or undone.
type Correction struct {
	At          time.Time `json:"time"`
	Action      string    `json:"action"` // withhold, limit, freeze, evict; thaw, relax, unlimit, resume
	FrameworkID string    `json:"framework_id,omitempty"`
	TaskID      string    `json:"task_id,omitempty"` // none: all revocable tasks
	CPUs        float64   `json:"cpus,omitempty"`    // that they may keep busy, all together
	Cause       string    `json:"cause,omitempty"`   // the firm task that suffered
	Reason      string    `json:"reason"`
}

// Report is what a Lender does, now and lately.
type Report struct {
	On          bool         `json:"on"`
	QoS         bool         `json:"qos"`
	Estimator   string       `json:"estimator"`
	Now         Moment       `json:"now"`
	Past        []Moment     `json:"past"`        // oldest first: every ten seconds of the last hour, every five minutes of the day before
	Corrections []Correction `json:"corrections"` // the latest 200, oldest first
	Violations  Violations   `json:"totals"`
}

const (
	pastEvery      = 10 * time.Second
	pastKept       = 360
	dayEvery       = 5 * time.Minute
	dayKept        = 288
	correctionKept = 200
)

// note is a new sample.
func (b *lent) note(m Moment, v Violations) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.samples++
	if m.Missed {
		b.missed++
	}
	m.Violations = v.Count
	for _, n := range b.counts {
		m.Corrections += n
	}
	b.now, b.violations = m, v
	if n := len(b.past); n > 0 && m.At.Sub(b.past[n-1].At) < pastEvery && !m.At.Before(b.past[n-1].At) {
		return
	}
	b.past = append(b.past, m)
	if len(b.past) <= pastKept {
		return
	}
	old := b.past[0]
	b.past = slices.Delete(b.past, 0, 1)
	if n := len(b.day); n == 0 || old.At.Sub(b.day[n-1].At) >= dayEvery || old.At.Before(b.day[n-1].At) {
		b.day = append(b.day, old)
		b.day = slices.Delete(b.day, 0, max(0, len(b.day)-dayKept))
	}
}

func (b *lent) correct(c Correction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[string]uint64{}
	}
	b.counts[c.Action]++
	b.corrections = append(b.corrections, c)
	if drop := len(b.corrections) - correctionKept; drop > 0 {
		b.corrections = slices.Delete(b.corrections, 0, drop)
	}
}

// Report returns what is lent now and lately. It costs the Lender nothing.
func (l *Lender) Report() Report {
	b := &l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Report{On: !l.cfg.Off, QoS: l.watch.on, Estimator: l.cfg.Estimator, Now: b.now, Violations: b.violations,
		Past: slices.Concat(b.day, b.past), Corrections: slices.Clone(b.corrections)}
	r.Violations.Samples, r.Violations.Missed = b.samples, b.missed
	r.Violations.Corrections = map[string]uint64{}
	for action, n := range b.counts {
		r.Violations.Corrections[action] = n
	}
	return r
}

// Since is r without what is older.
func (r Report) Since(t time.Time) Report {
	r.Past = slices.DeleteFunc(slices.Clone(r.Past), func(m Moment) bool { return m.At.Before(t) })
	r.Corrections = slices.DeleteFunc(slices.Clone(r.Corrections), func(c Correction) bool { return c.At.Before(t) })
	return r
}

// Thin is r with at most so many moments of the past: the latest of each of as many
// equal stretches of time.
func (r Report) Thin(points int) Report {
	if len(r.Past) <= points {
		return r
	}
	first, last := r.Past[0].At, r.Past[len(r.Past)-1].At
	stretch := func(m Moment) int64 { return int64(m.At.Sub(first) / max(last.Sub(first)/time.Duration(points)+1, 1)) }
	var thin []Moment
	for i, m := range r.Past {
		if i+1 == len(r.Past) || stretch(r.Past[i+1]) != stretch(m) {
			thin = append(thin, m)
		}
	}
	r.Past = thin
	return r
}
