package mesos_test

import (
	"testing"
	"time"

	"muster/offers/mesos"
)

func TestDurationsAreReadAsMesosWritesThem(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"15mins": 15 * time.Minute, "5secs": 5 * time.Second, "1weeks": 7 * 24 * time.Hour, "3days": 72 * time.Hour,
		"90mins": 90 * time.Minute, "1500ms": 1500 * time.Millisecond, "1ns": 1, "0ns": 0, "-2hrs": -2 * time.Hour,
	} {
		if got, ok := mesos.ParseDuration(text); !ok || got != d {
			t.Errorf("%s: read as %s, %t", text, got, ok)
		}
	}
	if got, ok := mesos.ParseDuration("2.5m"); !ok || got != 150*time.Second {
		t.Errorf("2.5m: %s, %t", got, ok)
	}
	for _, text := range []string{"", "5", "mins", "5 mins", "1e3s", "1.2.3s", "NaNs", "99999999weeks", "s5"} {
		if got, ok := mesos.ParseDuration(text); ok {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}
