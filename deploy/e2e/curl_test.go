package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What the handbook says of curl is true: it is run as it stands there.
func TestTheHandbookByCurl(t *testing.T) {
	c := newCluster(t, 1)
	text, err := os.ReadFile("../docs/curl.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -eu\n"
	for _, block := range strings.Split(string(text), "```sh\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		script += code
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "API=http://"+c.nodes[0].API())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		`"limits":{"cpus":{"value":2.0}`, `"name":"cpus","type":"SCALAR","scalar":{"value":2.0}`, `"persistence":{"id":"kept"`,
		`"type":"INVERSE_OFFERS"`, `"state":"DRAINED"`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %s in\n%s\nof\n%s", want, rest, out)
		}
		rest = after
	}
}
