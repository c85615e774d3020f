package auth

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileOfCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		wrong string // of the error; "" for none
	}{
		"pairs, blanks and comments": {"# who\n\n  a\t s1  \nb s2\r\n", ""},
		"nobody":                     {"# nobody\n", "there is no principal"},
		"no secret":                  {"a s1\nb\n", "line 2: credentials: expecting a principal and its secret"},
		"too much":                   {"a s1 x\n", "line 1"},
		"twice":                      {"a s1\na s2\n", `line 2: credentials: principal "a" is there twice`},
		"a colon":                    {"a:b s\n", "holds a colon"},
		"a line without end":         {strings.Repeat("x", 1<<20), "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secrets")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := FromFile(file)
			if c.wrong == "" {
				if err != nil || len(b.digests) != 2 {
					t.Fatal(b, err)
				}
				return
			}
			if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), file) {
				t.Fatal(err)
			}
		})
	}
	if _, err := FromFile("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAuthenticate(t *testing.T) {
	b, err := read(strings.NewReader("a s1\nb s2:with:colons\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user, secret string
		header       string
		ok           bool
	}{
		"right":             {"a", "s1", "", true},
		"colons":            {"b", "s2:with:colons", "", true},
		"another's secret":  {"a", "s2:with:colons", "", false},
		"a prefix of it":    {"a", "s", "", false},
		"nobody known":      {"c", "s1", "", false},
		"empty credentials": {"", "", "Basic Og==", false},
		"none":              {"", "", "", false},
		"another scheme":    {"", "", "Bearer YTpzMQ==", false},
		"no base64":         {"", "", "Basic !!", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			} else if c.user != "" {
				r.SetBasicAuth(c.user, c.secret)
			}
			who, ok := b.Authenticate(r)
			if ok != c.ok || ok && who != c.user || !ok && who != "" {
				t.Fatalf("%q, %t", who, ok)
			}
		})
	}
}
