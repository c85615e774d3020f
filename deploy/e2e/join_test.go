package e2e

import (
	"crypto/sha256"
	"encoding/base32"
	"os"
	"strings"
	"testing"
)

func TestStrangersAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	d := c.nodes[0]
	token := field(t, d.muster("init", "--dir", t.TempDir(), "--listen", d.IP, "-o", "json"), "token") // another cluster's, for this node's address
	join := func(token, want string) {
		t.Helper()
		dir := t.TempDir()
		_, err := command("join", token, "--dir", dir, "--no-mdns")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("join: %v, want %q", err, want)
		}
		if _, err := command("daemon", "--dir", dir, "--listen", "127.0.0.1"); err == nil || !strings.Contains(err.Error(), "is in no cluster yet") {
			t.Errorf("a daemon that was not admitted: %v", err)
		}
	}
	join("nonsense", "join token")
	join(token[:len(token)-3], "damaged or incomplete")
	join(token, "another cluster")
	own := c.Token
	join(tampered(t, own), "wrong secret")
	if log := d.logged(); !strings.Contains(log, "wrong secret") {
		t.Errorf("the daemon tells nothing of the wrong secret: %s", log)
	}

	_, err := command("daemon", "--dir", d.Dir, "--listen", d.IP, "--api", d.IP+":6050", "--agent-api", d.IP+":6051", "--mesh-port", "6055")
	if err == nil || !strings.Contains(err.Error(), "a daemon already runs in "+d.Dir) {
		t.Errorf("a second daemon in one directory: %v", err)
	}
	for _, args := range [][]string{{"init", "--dir", d.Dir, "--listen", d.IP}, {"join", own, "--dir", d.Dir}} {
		if _, err := command(args...); err == nil || !strings.Contains(err.Error(), "is a member of a cluster already") {
			t.Errorf("%s once more: %v", args[0], err)
		}
	}
	if _, err := command("purge", "--dir", d.Dir); err == nil || !strings.Contains(err.Error(), "already runs") {
		t.Errorf("purge under a running daemon: %v", err)
	}
	if m, err := d.Members(t.Context()); err != nil || len(m.Nodes) != 1 {
		t.Errorf("members: %+v %v", m, err)
	}
}

// tampered is a token with another secret and a checksum that fits.
func tampered(t *testing.T, token string) string {
	t.Helper()
	const prefix, digest, checksum = "muster1-", 32, 4
	coding := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	raw, err := coding.DecodeString(strings.TrimPrefix(token, prefix))
	if err != nil {
		t.Fatal(err)
	}
	raw = raw[:len(raw)-checksum]
	raw[digest] ^= 1
	sum := sha256.Sum256(raw)
	return prefix + coding.EncodeToString(append(raw, sum[:checksum]...))
}

func field(t *testing.T, object []byte, name string) string {
	t.Helper()
	fields := map[string]string{}
	parse(t, object, &fields)
	return fields[name]
}

func (d *daemon) logged() string {
	d.t.Helper()
	text, err := os.ReadFile(d.Log)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}
