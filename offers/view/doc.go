// Package view is what everyone reads: a projection of the facts that the core
// publishes, kept by the leader and by every peer that is being read. It answers
// /state, the GET_* calls and event streams, so that no read reaches the
// goroutine that decides. It holds messages and never modifies one.
package view
