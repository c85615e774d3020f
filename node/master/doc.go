// Package master runs offers.Master while this node leads. One goroutine owns
// the core: links and the quorum give it inputs, and it sends each effect on its
// way without waiting. When the leadership ends the core is dropped.
//
// It decides nothing itself and keeps nothing from one leadership to the next.
package master
