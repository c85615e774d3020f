package main

import "fmt"

// rows are the goals in the order of the table. References are figures of other
// systems on one machine of the same kind, the best of each range.
func rows() []row {
	var out []row
	for _, group := range [][]row{decideRows(), growRows(), runRows(), surviveRows(), measureRows()} {
		out = append(out, group...)
	}
	return out
}

func decideRows() []row {
	return []row{
		{name: "decide/decline-10k-1k", unit: "ms", goal: 20, better: lower, reference: reference{"Mesos", 670}, measure: workload("decline-10k-1k", 5)},
		{name: "decide/decline-20k-2k", unit: "ms", goal: 50, better: lower, reference: reference{"Mesos", 1900}, measure: workload("decline-20k-2k", 3)},
		{name: "decide/decline-50k-6k", unit: "ms", goal: 300, better: lower, measure: workload("decline-50k-6k", 3)},
		{name: "decide/quota-3000-cycle", unit: "ms", goal: 50, better: lower, reference: reference{"Mesos", 11_000}, measure: workload("quota-3000-cycle", 7)},
		{name: "decide/quota-3000-add", unit: "ms", goal: 150, better: lower, reference: reference{"Mesos", 38_000}, measure: workload("quota-3000-add", 7)},
		{name: "decide/multiframework", unit: "placements/s", goal: 100_000, better: higher, reference: reference{"Nomad", 5000}, measure: workload("multiframework", 7)},
		{name: "decide/freed-to-offer-10k", unit: "ms", goal: 5, better: lower, reference: reference{"Mesos, up to", 1000}, measure: workload("freed-to-offer-10k", 1)},
		{name: "decide/reregister-40k", unit: "s", goal: 2, better: lower, reference: reference{"Mesos", 19}, measure: workload("reregister-40k", 3)},
		{name: "decide/register-10k", unit: "agents/s", goal: 10_000, better: higher, reference: reference{"Nomad", 400}, measure: workload("register-10k", 5)},
		{name: "decide/state-40k", unit: "s", goal: 1.5, better: lower, reference: reference{"Mesos", 5.7}, measure: workload("state-40k", 1)},
		{name: "decide/read-interference", unit: "×", goal: 1.5, better: lower, measure: workload("read-interference", 3)},
	}
}

func growRows() []row {
	return []row{
		{name: "grow/events", unit: "×", goal: 4, better: lower, worst: true, measure: growEvents},
		{name: "grow/cycle", unit: "×", goal: 3, better: lower, measure: growCycle},
	}
}

func runRows() []row {
	return []row{
		{name: "run/accept-to-running", unit: "ms", goal: 40, better: lower, reference: reference{"Nomad exec", 564}, root: true, measure: acceptToRunning},
		{name: "run/tasks-1000", unit: "tasks/s", goal: 50, better: higher, reference: reference{"Nomad raw_exec", 3.3}, root: true, measure: tasks1000},
		{name: "run/cpu-per-container", unit: "ms", goal: 40, better: lower, reference: reference{"runc", 107}, root: true,
			measure: benchmark{dir: "./isolate/runc", name: "BenchmarkContainer", unit: "cpu-ms/op", time: "30x", count: 5}.measure},
		{name: "run/memory-per-task", unit: "MB", goal: 2, better: lower, reference: reference{"Nomad", 27.7}, root: true, measure: memoryPerTask},
		{name: "run/idle-rss", unit: "MB", goal: 60, better: lower, reference: reference{"Nomad server", 91}, worst: true, measure: idleRSS},
		{name: "run/idle-cpu", unit: "%", goal: 1, better: lower, reference: reference{"Nomad server", 1.5}, worst: true, measure: idleCPU},
		{name: "run/cli", unit: "ms", goal: 25, better: lower, reference: reference{"Nomad", 155}, measure: commandLine},
		{name: "run/start-to-first-task", unit: "s", goal: 1, better: lower, reference: reference{"Nomad dev", 2.8}, root: true, measure: startToFirstTask},
	}
}

func surviveRows() []row {
	return []row{
		{name: "survive/leader-killed", unit: "s", goal: 1, better: lower, reference: reference{"Nomad", 2.8}, measure: leaderKilled},
		{name: "survive/voter-lost", unit: "s", goal: 4, better: lower, measure: voterLost},
		{name: "survive/daemon-killed-100", unit: "s", goal: 0.7, better: lower, reference: reference{"Nomad, 20 tasks", 1.2}, root: true, measure: daemonKilled},
	}
}

func measureRows() []row {
	return []row{
		{name: "measure/cpu-accuracy", unit: "%", goal: 0.5, better: lower, root: true, worst: true, measure: cpuAccuracy},
		{name: "measure/switch-overhead", unit: "ns", goal: 300, better: lower, root: true,
			measure: benchmark{dir: "./telemetry/bpf", name: "BenchmarkSwitch", unit: "ns/switch-added", count: 5}.measure},
		{name: "measure/busy-pipe", unit: "%", goal: 4, better: lower, root: true,
			measure: benchmark{dir: "./telemetry/bpf", name: "BenchmarkSwitch", unit: "%-slower", count: 5}.measure},
		poll(10), poll(100), poll(1000),
		{name: "measure/read-1000", unit: "ms", goal: 2, better: lower, root: true,
			measure: benchmark{dir: "./telemetry/bpf", name: "BenchmarkCounters/1000", unit: "ns/op", scale: 1e-6, count: 5}.measure},
		{name: "measure/p99-ratio", unit: "×", goal: 1.2, better: lower, reference: reference{"unmanaged", 3.4}, root: true, measure: p99Ratio},
		{name: "measure/savings", unit: "share", goal: 0.74, better: higher, measure: savings},
	}
}

// poll is the CPU time of a whole reading of so many tasks: what the programs
// counted, and the files of cgroups. One is made each second: 10 ms are 1 % of a core.
func poll(tasks int) row {
	return row{name: fmt.Sprintf("measure/poll-%d", tasks), unit: "ms", goal: 10, better: lower, root: true,
		measure: benchmark{dir: "./telemetry/bpf", name: fmt.Sprintf("BenchmarkRead/%d", tasks), unit: "cpu-ms/op", count: 5}.measure}
}
