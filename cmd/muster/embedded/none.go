//go:build !cgo

package embedded

const linked = false

// Main does nothing: this program cannot be a shim.
func Main() {}
