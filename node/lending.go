package node

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"muster/isolate"
	"muster/node/agent"
	"muster/telemetry"
	"muster/telemetry/estimate"
	"muster/telemetry/metrics"
	"muster/telemetry/qos"
)

// onOff reads a setting that turns something on or off.
func onOff(name, value string, unset bool) (on bool, err error) {
	switch value {
	case "":
		return unset, nil
	case "on", "true", "1":
		return true, nil
	case "off", "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%w: %s: %q is neither on nor off", ErrConfig, name, value)
}

// lending returns how the agent lends what its tasks do not use.
func (c Config) lending() (agent.Lending, error) {
	on, err := onOff("oversubscription", c.Oversubscription, false)
	if err != nil {
		return agent.Lending{}, err
	}
	protect, err := onOff("qos", c.QoS, true)
	if err != nil {
		return agent.Lending{}, err
	}
	if _, err := estimate.Named(c.Estimator, estimate.Config{}); err != nil {
		return agent.Lending{}, fmt.Errorf("%w: oversubscription_estimator: %w", ErrConfig, err)
	}
	for name, v := range map[string]float64{
		"oversubscription_target": c.EstimateTarget, "oversubscription_margin": c.LendMargin,
		"oversubscription_mem_share": c.LendMem, "qos_memory_high": c.MemoryHigh,
	} {
		if !(v >= 0 && v < 1) {
			return agent.Lending{}, fmt.Errorf("%w: %s: %v is no share from 0 to below 1", ErrConfig, name, v)
		}
	}
	system, err := c.systemCPUs()
	if err != nil {
		return agent.Lending{}, err
	}
	for name, d := range map[string]time.Duration{
		"oversubscription_step": c.EstimateStep, "oversubscription_horizon": c.EstimateHorizon, "oversubscription_warm": c.EstimateWarm,
		"oversubscribed_resources_interval": c.LendInterval, "qos_correction_interval_min": c.CorrectionInterval,
	} {
		if d < 0 {
			return agent.Lending{}, fmt.Errorf("%w: %s: %v is negative", ErrConfig, name, d)
		}
	}
	return agent.Lending{
		Off: !on, NoQoS: !protect, Estimator: c.Estimator, Margin: c.LendMargin, MemShare: c.LendMem, Grow: c.LendInterval, System: system,
		Estimate: estimate.Config{Step: c.EstimateStep, Horizon: c.EstimateHorizon, Target: c.EstimateTarget, Warm: c.EstimateWarm},
		QoS:      qos.Config{MemoryHigh: c.MemoryHigh, Cooldown: c.CorrectionInterval},
	}, nil
}

// systemCPUs is what is lent to nobody for what is no task; nil is what it uses.
func (c Config) systemCPUs() (*float64, error) {
	if c.SystemCPUs == "" {
		return nil, nil
	}
	v, err := strconv.ParseFloat(c.SystemCPUs, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 1) {
		return nil, fmt.Errorf("%w: oversubscription_system_cpus: %q is no number of CPUs; leave it out to have them measured", ErrConfig, c.SystemCPUs)
	}
	return &v, nil
}

func (n *Node) newLender(m Machine) (*agent.Lender, error) {
	cfg, err := n.cfg.lending()
	if err != nil {
		return nil, err
	}
	control, _ := m.Driver.(isolate.Control) // a driver that cannot change containers leaves evicting
	return agent.NewLender(cfg, n.agent, n.monitor, control, telemetry.ReadMachine, n.log)
}

// OversubscriptionView is /muster/v1/oversubscription: what this node lends.
type OversubscriptionView struct {
	Node   string `json:"node"`
	Source string `json:"source"` // ebpf or cgroup
	agent.Report
}

// oversubscription reads ?since=, how far back it is to tell, and ?points=, by how
// many moments at most.
func (n *Node) oversubscription(query url.Values) (any, error) {
	r := n.lender.Report()
	if text := query.Get("since"); text != "" {
		back, err := time.ParseDuration(text)
		if err != nil || back < 0 || back > telemetry.Day {
			return nil, fmt.Errorf("since: %q is no duration from 0 to the %v that are kept, such as 1h", text, telemetry.Day)
		}
		r = r.Since(r.Now.At.Add(-back))
	}
	if text := query.Get("points"); text != "" {
		points, err := strconv.Atoi(text)
		if err != nil || points < 1 {
			return nil, fmt.Errorf("points: %q is no number above 0", text)
		}
		r = r.Thin(points)
	}
	return OversubscriptionView{Node: n.cfg.Name, Source: n.monitor.Source(), Report: r}, nil
}

// lendingGauges are what this node lends, under names of Mesos where it has them.
func (n *Node) lendingGauges(emit metrics.Emit) {
	r := n.lender.Report()
	for name, v := range map[string]float64{
		"slave/cpus_revocable_total": r.Now.Lent.CPUs, "slave/mem_revocable_total": r.Now.Lent.Mem / (1 << 20),
		"slave/cpus_revocable_used": r.Now.Borrowed.CPUs, "slave/mem_revocable_used": r.Now.Borrowed.Mem / (1 << 20),
		"slave/oversubscription/cpus_busy": r.Now.Used.CPUs, "slave/oversubscription/cpus_predicted": r.Now.Predicted.CPUs,
		"slave/oversubscription/mem_predicted_bytes": r.Now.Predicted.Mem, "slave/oversubscription/cpus_revocable_busy": r.Now.RevocableUsed.CPUs,
		"slave/oversubscription/violations": float64(r.Violations.Count), "slave/oversubscription/predictions_missed": float64(r.Violations.Missed),
	} {
		emit(name, v)
	}
	for _, action := range []qos.Kind{qos.Withhold, qos.Limit, qos.Freeze, qos.Evict, qos.Thaw, qos.Relax, qos.Unlimit, qos.Resume} {
		emit("slave/oversubscription/corrections_"+string(action), float64(r.Violations.Corrections[string(action)]))
	}
}
