// Package estimate predicts what the tasks of a node will use at most within
// the next hour, so that what they were allocated beyond it can be offered again
// as revocable resources. A Node remembers what its tasks used, in bounded
// memory; an Estimator predicts from that. The package is pure: it does no I/O,
// starts no goroutine and reads no clock; the same samples give the same figures.
package estimate
