package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"muster/offers"
)

// rateLimits is the setting rate_limits: JSON as Mesos's flag of that name. There a
// capacity bounds the messages that wait; here nothing waits, and it is how many
// calls may come at once.
type rateLimits struct {
	Limits []struct {
		Principal string   `json:"principal"`
		QPS       *float64 `json:"qps"`
		Capacity  *int     `json:"capacity"`
	} `json:"limits"`
	OthersQPS      *float64 `json:"aggregate_default_qps"`
	OthersCapacity *int     `json:"aggregate_default_capacity"`
}

// rates reads how many calls frameworks may make.
func (c Config) rates(out *offers.Config) error {
	var err error
	if c.FrameworkQPS < 0 {
		out.FrameworkRate = offers.Rate{QPS: float64(c.FrameworkQPS)}
	} else if c.FrameworkQPS > 0 || c.FrameworkCapacity != 0 {
		qps := cmp.Or(float64(c.FrameworkQPS), offers.DefaultRate.QPS)
		capacity := cmp.Or(c.FrameworkCapacity, int(4*qps))
		if out.FrameworkRate, err = rate(&qps, &capacity); err != nil {
			return fmt.Errorf("%w: framework_capacity: %w", ErrConfig, err)
		}
	}
	if c.RateLimits == "" {
		return nil
	}
	if out.PrincipalRates, out.OthersRate, err = parseRates(c.RateLimits); err != nil {
		return fmt.Errorf("%w: rate_limits: %w", ErrConfig, err)
	}
	return nil
}

func parseRates(text string) (map[string]offers.Rate, offers.Rate, error) {
	var none offers.Rate
	var limits rateLimits
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&limits)
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("there is more behind the object")
	}
	if err != nil {
		return nil, none, fmt.Errorf(`expecting JSON as in {"limits":[{"principal":"p","qps":10,"capacity":100}]}: %w`, err)
	}
	of := map[string]offers.Rate{}
	for _, l := range limits.Limits {
		if l.Principal == "" {
			return nil, none, errors.New("limits: one has no principal")
		}
		if _, twice := of[l.Principal]; twice {
			return nil, none, fmt.Errorf("limits: principal '%s' is named twice", l.Principal)
		}
		if of[l.Principal], err = rate(l.QPS, l.Capacity); err != nil {
			return nil, none, fmt.Errorf("limits: principal '%s': %w", l.Principal, err)
		}
	}
	others, err := rate(limits.OthersQPS, limits.OthersCapacity)
	if err != nil {
		return nil, none, fmt.Errorf("aggregate_default: %w", err)
	}
	return of, others, nil
}

// rate is that of qps, none without one. A capacity that is not given is that of a second.
func rate(qps *float64, capacity *int) (offers.Rate, error) {
	if qps == nil {
		if capacity != nil {
			return offers.Rate{}, errors.New("a capacity needs a qps")
		}
		return offers.Rate{}, nil
	}
	if !(*qps > 0) {
		return offers.Rate{}, fmt.Errorf("qps: %g is not positive; without one there is no limit", *qps)
	}
	r := offers.Rate{QPS: *qps, Capacity: int(math.Ceil(min(*qps, math.MaxInt32)))}
	if capacity != nil {
		r.Capacity = *capacity
	}
	if r.Capacity < 1 {
		return r, fmt.Errorf("capacity: %d is not positive", r.Capacity)
	}
	if year := (365 * 24 * time.Hour).Seconds(); float64(r.Capacity)/r.QPS > year {
		return r, fmt.Errorf("capacity: at %g calls a second, %d are more than those of a year", r.QPS, r.Capacity)
	}
	return r, nil
}
