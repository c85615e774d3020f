package main

import (
	"fmt"
	"os"

	"muster/isolate/runc/shim"
)

func main() {
	shim.Main()
	fmt.Fprintln(os.Stderr, "muster-shim is started by muster, beside every task; there is nothing to run by hand")
	os.Exit(2)
}
