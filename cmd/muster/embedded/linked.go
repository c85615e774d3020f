//go:build !embedshim && cgo

package embedded

import "muster/isolate/runc/shim"

// Lean reports whether tasks run beside a lean shim.
const Lean = false

// Main runs this process as a shim, and never returns, if it was started as
// one. It must be the first that muster's main calls.
func Main() { shim.Main() }

// Shim returns nil: runc.Config then starts this process's own program.
func Shim() ([]byte, error) { return nil, nil }
