//go:build !embedshim && !cgo

package embedded

import "errors"

// Lean reports whether tasks run beside a lean shim.
const Lean = false

// Main does nothing: there is no shim.
func Main() {}

// Shim fails: this build can run no containers.
func Shim() ([]byte, error) {
	return nil, errors.New("muster was built without a shim: build it with cgo, or embed muster-shim")
}
