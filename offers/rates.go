package offers

import (
	"fmt"
	"time"

	"muster/offers/mesos/scheduler"
)

// bucket holds a token for each call that may be made now. It is kept as the time
// at which it is full again, so nothing fills it.
type bucket struct{ full time.Time }

// lacks returns how long it takes until there is a token, 0 when there is one.
func (b *bucket) lacks(now time.Time, r Rate) time.Duration {
	if r.QPS <= 0 || !b.full.After(now) {
		return 0
	}
	each := time.Duration(float64(time.Second) / r.QPS)
	return max(0, b.full.Sub(now)-each*time.Duration(max(r.Capacity, 1)-1))
}

// take takes a token that is there.
func (b *bucket) take(now time.Time, r Rate) {
	if r.QPS <= 0 {
		return
	}
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(time.Duration(float64(time.Second) / r.QPS))
}

// Limited reports whether calls of a type count towards a framework's rate. Those
// that open or end its stream and tell that it has heard something do not: to refuse
// them would make more work, not less.
func Limited(t scheduler.Call_Type) bool {
	switch t {
	case scheduler.Call_SUBSCRIBE, scheduler.Call_TEARDOWN, scheduler.Call_ACKNOWLEDGE, scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		return false
	}
	return true
}

// throttle takes a call's tokens, one of its framework and one of those it shares
// with others, or says whose are used up and for how long.
// Mesos: src/master/master.cpp, Master::visit(MessageEvent), which limits principals, and not over HTTP.
func (m *Master) throttle(f *framework, t scheduler.Call_Type) (string, time.Duration) {
	if !Limited(t) {
		return "", 0
	}
	principal := f.info.GetPrincipal()
	if rate, own := m.cfg.PrincipalRates[principal]; own {
		b := m.principals[principal]
		if b == nil {
			b = &bucket{}
			m.principals[principal] = b
		}
		if wait := b.lacks(m.now, rate); wait > 0 {
			return fmt.Sprintf("Frameworks of principal '%s' make more than %g calls a second", principal, rate.QPS), wait
		}
		b.take(m.now, rate)
		return "", 0
	}
	if wait := f.calls.lacks(m.now, m.cfg.FrameworkRate); wait > 0 {
		return fmt.Sprintf("Framework %s makes more than %g calls a second", f.id, m.cfg.FrameworkRate.QPS), wait
	}
	if wait := m.others.lacks(m.now, m.cfg.OthersRate); wait > 0 {
		return fmt.Sprintf("Frameworks whose principal has no rate of its own make more than %g calls a second", m.cfg.OthersRate.QPS), wait
	}
	f.calls.take(m.now, m.cfg.FrameworkRate)
	m.others.take(m.now, m.cfg.OthersRate)
	return "", 0
}
