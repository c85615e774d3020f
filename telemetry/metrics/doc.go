// Package metrics holds the daemon's own counters. What a package measures of
// itself it declares once in a Set, under the name Mesos uses; the Set answers
// both views of it: Mesos's flat snapshot and the Prometheus exposition.
// Nothing registers itself: a Set is made by the caller and handed in.
package metrics
