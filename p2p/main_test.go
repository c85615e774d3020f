package p2p_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"muster/p2p"
)

// childDir, if set, makes the test binary a node of its own, to be frozen and killed.
const childDir = "P2P_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs a mesh until it is killed or its standard input ends.
func child(dir string) {
	cfg := p2p.Config{Dir: dir, Listen: []string{"127.0.0.1:0"}, NoMDNS: true,
		NoQUIC: os.Getenv("P2P_TEST_QUIC") == "", NoTCP: os.Getenv("P2P_TEST_QUIC") != ""}
	m, err := p2p.New(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	m.Handle("echo", func(_ context.Context, s p2p.Stream) { _, _ = io.Copy(s, s); _ = s.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := m.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
