// Package recording keeps what a leader's core was given, in files, and reads it
// again. Writing is a goroutine's own work: it never slows a decision, and what
// hinders it ends the recording, not the leadership.
package recording
