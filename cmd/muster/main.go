package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"muster/cmd/muster/embedded"
)

// version is set by the build.
var version = "unknown"

func main() {
	embedded.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "muster:", err)
		os.Exit(exitCode(err))
	}
}
