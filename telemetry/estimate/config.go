package estimate

import "time"

// Config of a Node and of the estimators that read it. Times are rounded to
// whole steps.
type Config struct {
	Step    time.Duration // samples within one are averaged [5m]
	Horizon time.Duration // how far ahead the peak is predicted [1h]
	Target  float64       // share of predictions that the real peak may exceed [0.01]
	Warm    time.Duration // a task measured for less counts with its limit [30m]
}

// History is how far back a Node remembers step by step.
const History = 24 * time.Hour

// Week is how far back a Node remembers peaks.
const Week = 7 * 24 * time.Hour

func (c Config) withDefaults() Config {
	if c.Step <= 0 {
		c.Step = 5 * time.Minute
	}
	c.Step = min(c.Step, History/4)
	if c.Horizon <= 0 {
		c.Horizon = time.Hour
	}
	if !(c.Target > 0 && c.Target < 1) {
		c.Target = 0.01
	}
	if c.Warm <= 0 {
		c.Warm = 30 * time.Minute
	}
	return c
}

// steps rounds a time up to whole steps, at least one.
func (c Config) steps(d time.Duration) int {
	return max(1, int((d+c.Step-1)/c.Step))
}
