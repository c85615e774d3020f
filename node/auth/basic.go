package auth

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Basic authenticates HTTP Basic credentials against a fixed list.
type Basic struct {
	digests map[string][sha256.Size]byte // of secrets, by principal
}

// ErrCredentials is wrapped by errors about a list of credentials.
var ErrCredentials = errors.New("credentials")

// FromFile reads principals and their secrets, one pair a line, parted by blanks.
// Empty lines and lines that begin with # are passed over.
func FromFile(name string) (*Basic, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

func read(r io.Reader) (*Basic, error) {
	b := &Basic{digests: map[string][sha256.Size]byte{}}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: %w: expecting a principal and its secret", n, ErrCredentials)
		}
		principal, secret := fields[0], fields[1]
		if strings.Contains(principal, ":") { // HTTP Basic cannot carry it
			return nil, fmt.Errorf("line %d: %w: principal %q holds a colon", n, ErrCredentials, principal)
		}
		if _, twice := b.digests[principal]; twice {
			return nil, fmt.Errorf("line %d: %w: principal %q is there twice", n, ErrCredentials, principal)
		}
		b.digests[principal] = sha256.Sum256([]byte(secret))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if len(b.digests) == 0 {
		return nil, fmt.Errorf("%w: there is no principal", ErrCredentials)
	}
	return b, nil
}

// Authenticate checks the request's credentials. It does the same work for an
// unknown principal as for a wrong secret, and compares digests, so that neither
// time nor length tells about the secret.
func (b *Basic) Authenticate(r *http.Request) (principal string, ok bool) {
	principal, secret, sent := r.BasicAuth()
	want, known := b.digests[principal]
	got := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	if !sent || !known || !same {
		return "", false
	}
	return principal, true
}
