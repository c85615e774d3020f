package agent

import (
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
	"muster/telemetry"
)

// Container is a running container as the agent's API tells of it.
type Container struct {
	Task       *Task
	Status     *mesos.ContainerStatus
	Statistics *mesos.ResourceStatistics // nil while nothing is measured
	Usage      telemetry.Usage           // zero while nothing is measured
}

// Containers returns the running containers in the order of their launch.
func (a *Agent) Containers() []Container {
	var cs []Container
	for _, t := range a.State().Tasks {
		if !t.Running {
			continue
		}
		c := Container{Task: t}
		for _, s := range t.Task.GetStatuses() {
			c.Status = s.GetContainerStatus()
		}
		if a.meter != nil {
			if u, ok := a.meter.Usage(t.ContainerID); ok {
				c.Usage, c.Statistics = u, statistics(t.Info, u)
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// statistics puts a usage in Mesos's terms.
func statistics(info *mesos.TaskInfo, u telemetry.Usage) *mesos.ResourceStatistics {
	s := &mesos.ResourceStatistics{
		Timestamp:             proto.Float64(float64(u.At.UnixNano()) / 1e9),
		Processes:             proto.Uint32(uint32(u.Processes)),
		CpusUserTimeSecs:      proto.Float64(u.CPUUser.Seconds()),
		CpusSystemTimeSecs:    proto.Float64(u.CPUSys.Seconds()),
		CpusNrPeriods:         proto.Uint32(uint32(u.Periods)),
		CpusNrThrottled:       proto.Uint32(uint32(u.ThrottledPeriods)),
		CpusThrottledTimeSecs: proto.Float64(u.Throttled.Seconds()),
		MemTotalBytes:         &u.MemTotal,
		MemRssBytes:           &u.MemRSS,
		MemAnonBytes:          &u.MemRSS,
		MemCacheBytes:         &u.MemCache,
		MemFileBytes:          &u.MemCache,
		MemSwapBytes:          &u.MemSwap,
		MemLimitBytes:         &u.MemLimit,
		NetRxBytes:            &u.RxBytes,
		NetRxPackets:          &u.RxPackets,
		NetTxBytes:            &u.TxBytes,
		NetTxPackets:          &u.TxPackets,
	}
	if u.CPUUser == 0 && u.CPUSys == 0 {
		s.CpusUserTimeSecs = proto.Float64(u.CPU.Seconds()) // the source cannot tell them apart
	}
	if set, err := resource.FromProto(info.GetResources()); err == nil {
		cpus := float64(set.Scalar("cpus")) / resource.Milli
		s.CpusSoftLimit, s.CpusLimit = proto.Float64(cpus), proto.Float64(cpus)
		s.MemSoftLimitBytes = proto.Uint64(uint64(set.Scalar("mem")) << 20 / resource.Milli)
	}
	if l, ok := info.GetLimits()["cpus"]; ok {
		s.CpusLimit = l.Value
	}
	return s
}
