package mesos

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// units are those of durations written as text, in Mesos's spelling and in the
// shorter ones people type.
var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond,
	"secs": time.Second, "s": time.Second,
	"mins": time.Minute, "m": time.Minute,
	"hrs": time.Hour, "h": time.Hour,
	"days": 24 * time.Hour, "d": 24 * time.Hour,
	"weeks": 7 * 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a duration as Mesos writes it: one number and one unit,
// such as "15mins" or "2.5secs".
// Mesos: 3rdparty/stout/include/stout/duration.hpp.
func ParseDuration(text string) (time.Duration, bool) {
	end := strings.LastIndexAny(text, "0123456789.") + 1
	unit, known := units[text[end:]]
	number := text[:end]
	if !known || strings.Trim(number, "-0123456789.") != "" {
		return 0, false
	}
	x, err := strconv.ParseFloat(number, 64)
	nanos := math.Round(x * float64(unit))
	if err != nil || math.Abs(nanos) >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(nanos), true
}

// readDuration sets v, a pointer to a google.protobuf.Duration, from text. Its
// object form is read and written like any message.
func readDuration(text string, v reflect.Value) *fieldError {
	d, ok := ParseDuration(text)
	if !ok {
		return &fieldError{problem: "not a duration: '" + clip(text) + "'"}
	}
	inner := reflect.New(v.Type().Elem())
	inner.Elem().FieldByName("Seconds").SetInt(int64(d / time.Second))
	inner.Elem().FieldByName("Nanos").SetInt(int64(d % time.Second))
	v.Set(inner)
	return nil
}
