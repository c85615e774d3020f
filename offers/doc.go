// Package offers decides who may use which resources. A Master owns every
// agent, framework, task and offer the leader knows. It does no I/O, starts
// no goroutine and reads no clock: the same inputs give the same effects.
package offers
