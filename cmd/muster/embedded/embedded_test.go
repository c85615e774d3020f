package embedded

import (
	"bytes"
	"testing"
)

func TestShimIsAProgramOrThisOne(t *testing.T) {
	body, err := Shim()
	if err != nil {
		t.Skip(err)
	}
	if Lean != bytes.HasPrefix(body, []byte("\x7fELF")) {
		t.Fatalf("lean %v, but %d bytes of program", Lean, len(body))
	}
}
