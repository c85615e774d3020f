//go:build cgo

package embedded

import "muster/isolate/runc/shim"

const linked = true

// Main runs this process as a shim, and never returns, if it was started as
// one. It must be the first that muster's main calls.
func Main() { shim.Main() }
