package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreAsked(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte("# who may call\nops  sesame\nother secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	d.Args = []string{"--secrets", secrets}
	d.start()
	as := func(principal, secret string) map[string]string {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(principal, secret)
		return with("Authorization", r.Header.Get("Authorization"))
	}
	await(t, "the daemon", func() bool {
		r, err := http.Get("http://" + d.API() + "/health") // open to all
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	for _, url := range []string{d.API() + "/state", d.API() + "/api/v1/scheduler", d.API() + "/muster/v1/nodes", d.API() + "/files/read", d.API() + "/metrics", d.AgentAPI() + "/state", d.AgentAPI() + "/api/v1"} {
		for name, header := range map[string]map[string]string{
			"nobody": with(), "no secret": as("ops", ""), "a wrong secret": as("ops", "sesam"), "another's secret": as("ops", "secret"), "nobody known": as("me", "secret"),
			"an empty pair": as("", ""), "no base64": with("Authorization", "Basic %%%"), "another scheme": with("Authorization", "Bearer x"),
		} {
			code, got, text := send(t, http.MethodPost, "http://"+url, header, strings.NewReader("{}"))
			if code != http.StatusUnauthorized || !strings.HasPrefix(got.Get("WWW-Authenticate"), "Basic realm=") || text == "" {
				t.Errorf("%s as %s: %d %q %q", url, name, code, got.Get("WWW-Authenticate"), text)
			}
		}
	}
	await(t, "a leader", func() bool {
		code, _, _ := send(t, http.MethodGet, "http://"+d.API()+"/state", as("ops", "sesame"), nil)
		return code == http.StatusOK
	})
	t.Setenv("MUSTER_PRINCIPAL", "ops")
	t.Setenv("MUSTER_SECRET", "sesame")
	if out := d.muster("run", "--api", d.API(), "--follow", "--", "echo", "hello"); string(out) != "hello\n" {
		t.Errorf("run: %q", out)
	}
	t.Setenv("MUSTER_SECRET", "wrong")
	if _, err := command("nodes", "--api", d.API()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("nodes with a wrong secret: %v", err)
	}
}

// An API that other hosts reach is not served to everybody.
func TestAnOpenAPIWantsCredentials(t *testing.T) {
	_, err := command("daemon", "--dir", t.TempDir(), "--api", "0.0.0.0:5050")
	if err == nil || !strings.Contains(err.Error(), "give credentials") {
		t.Errorf("%v", err)
	}
}
