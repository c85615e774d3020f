// Package qos decides what becomes of revocable tasks while the tasks beside
// them suffer. A Controller is told of every short window what each task felt
// and used, and says what each revocable task may do from now on, and why. It
// is pure: no clock, no goroutine, no I/O; the same looks give the same
// decisions. Measuring and acting are its caller's.
package qos
