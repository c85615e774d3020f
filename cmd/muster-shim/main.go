// muster-shim is the parent of one container. It is not for people: muster
// carries it inside itself and starts one beside every task.
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
