// Package allocator decides who is offered what: dominant resource fairness
// over the tree of roles and over the frameworks of each role, less what they
// refused, suppressed or cannot understand.
//
// An Allocator owns its account of agents, frameworks and what is allocated. It
// is told of events and gathers them; Allocate then offers the resources of the
// agents they touched. It does no I/O, starts no goroutine and reads no clock:
// the same events give the same offers. It is for one goroutine.
package allocator
