//go:build embedshim

package embedded

import _ "embed"

//go:embed muster-shim
var program []byte

// Lean reports whether tasks run beside a lean shim.
const Lean = true

// Main does nothing: the shim is a program of its own.
func Main() {}

// Shim returns the program to give to runc.Config.
func Shim() ([]byte, error) { return program, nil }
