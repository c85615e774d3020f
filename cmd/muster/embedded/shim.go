package embedded

import (
	"embed"
	"errors"
	"io/fs"
)

// muster-shim.txt is always there, so that the pattern always matches.
//
//go:embed muster-shim*
var files embed.FS

// ErrNone: this muster can run no containers.
var ErrNone = errors.New("muster was built without a shim: build cmd/muster-shim into cmd/muster/embedded first, or muster with cgo")

// Shim returns the program to give to runc.Config. Nil is this process's own:
// tasks run all the same, but not beside a lean shim.
func Shim() ([]byte, error) {
	body, err := files.ReadFile("muster-shim")
	if errors.Is(err, fs.ErrNotExist) {
		if linked {
			return nil, nil
		}
		return nil, ErrNone
	}
	return body, err
}
