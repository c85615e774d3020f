// Package checkpoint is what an agent still knows after it was killed: its ID,
// the highest term it has heard of, and for every task how it was launched, what
// was said about it and what of that was acknowledged.
//
// It owns one append-only file, the journal, and the State that replaying the
// file gives. Many records share one fsync, and nobody waits for it: Append
// returns at once and reports when its records are on disk. It decides nothing
// about tasks and knows no containers.
package checkpoint

//go:generate sh generate.sh
