package auth

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Basic authenticates HTTP Basic credentials against a fixed list.
type Basic struct {
	digests map[string][sha256.Size]byte // of secrets, by principal
}

// FromFile reads principals and their secrets, one pair a line, parted by blanks.
// Empty lines and lines that begin with # are passed over.
func FromFile(name string) (*Basic, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := &Basic{digests: map[string][sha256.Size]byte{}}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: expecting a principal and its secret", name, n)
		}
		b.digests[fields[0]] = sha256.Sum256([]byte(fields[1]))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b.digests) == 0 {
		return nil, errors.New(name + " holds no principal")
	}
	return b, nil
}

// Authenticate checks the request's credentials. It takes as long for an unknown
// principal as for a wrong secret.
func (b *Basic) Authenticate(r *http.Request) (principal string, ok bool) {
	principal, secret, sent := r.BasicAuth()
	want, known := b.digests[principal]
	got := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	return principal, sent && known && same
}
