package api

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// mux routes paths to handlers that return their errors.
type mux struct{ *http.ServeMux }

func newMux() *mux { return &mux{http.NewServeMux()} }

func (m *mux) handle(pattern string, h func(http.ResponseWriter, *http.Request) error) {
	m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeError(w, err)
		}
	})
}

// absent answers for what Mesos has at these paths and this cluster does not.
func (m *mux) absent(why string, patterns ...string) {
	for _, p := range patterns {
		m.handle(p, func(http.ResponseWriter, *http.Request) error {
			return refuse(http.StatusNotImplemented, "%s is not supported: %s", p, why)
		})
	}
}

// Authenticator checks a request's credentials.
type Authenticator interface {
	// Authenticate returns the principal; ok is false if the credentials are wrong or missing.
	Authenticate(r *http.Request) (principal string, ok bool)
}

type principalKey struct{}

// principal is who a request was authenticated as; "" is nobody in particular.
func principal(r *http.Request) string {
	p, _ := r.Context().Value(principalKey{}).(string)
	return p
}

// guard lets authenticated requests through. /health is open to all. Without an
// Authenticator everybody is let in, whatever credentials they send, as nobody.
func guard(auth Authenticator, realm string, h http.Handler) http.Handler {
	if auth == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			h.ServeHTTP(w, r)
			return
		}
		who, ok := auth.Authenticate(r)
		if !ok {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", realm))
			writeBody(w, http.StatusUnauthorized, textPlain, []byte("Authentication is required: send a principal and its secret as HTTP Basic credentials"))
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, who)))
	})
}

// alias serves prefix/… like /…, as C++ clients and old tools ask, and a path
// with a trailing slash, with .json at its end, or with empty elements like the
// path itself. Nothing is redirected.
func alias(prefix string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := canonical(prefix, r.URL.Path); p != r.URL.Path || r.URL.RawPath != "" {
			c := *r
			u := *r.URL
			c.URL, u.Path, u.RawPath = &u, p, ""
			r = &c
		}
		h.ServeHTTP(w, r)
	})
}

func canonical(prefix, p string) string {
	p = path.Clean("/" + p)
	if rest, ok := strings.CutPrefix(p, prefix); ok && strings.HasPrefix(rest, "/") {
		p = rest
	}
	if rest := strings.TrimSuffix(p, ".json"); rest != "/" {
		p = rest
	}
	return p
}
