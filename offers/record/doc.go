// Package record is the form in which the inputs of the core are written down: the
// messages, the frames around them, and what is blotted out of them. What is in a
// recording says what was decided and why, not what the tasks are.
package record

//go:generate sh ../generate.sh
