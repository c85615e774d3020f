package embedded

import (
	"bytes"
	"errors"
	"testing"
)

func TestShimIsAProgramOrThisOneOrAClearError(t *testing.T) {
	body, err := Shim()
	switch {
	case errors.Is(err, ErrNone) && !linked:
	case err == nil && body == nil && linked:
	case err == nil && bytes.HasPrefix(body, []byte("\x7fELF")):
	default:
		t.Fatalf("%d bytes of program, %v", len(body), err)
	}
}
