package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"muster/offers/registry"
)

// groupVersion is the first byte of a log entry. The operations follow, each
// after its length.
const groupVersion = 1

var errMalformed = errors.New("malformed log entry")

func appendOp(group, op []byte) []byte {
	if len(group) == 0 {
		group = append(group, groupVersion)
	}
	group = binary.AppendUvarint(group, uint64(len(op)))
	return append(group, op...)
}

// decodeGroup returns the operations of an entry. One that cannot be decoded is
// nil, so that the others keep their places.
func decodeGroup(b []byte) ([]*registry.Op, error) {
	if len(b) == 0 || b[0] != groupVersion {
		return nil, fmt.Errorf("%w: unknown version", errMalformed)
	}
	var ops []*registry.Op
	for b = b[1:]; len(b) > 0; {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, fmt.Errorf("%w: operation %d is cut off", errMalformed, len(ops))
		}
		op, err := registry.DecodeOp(b[w : w+int(n)])
		if err != nil {
			op = nil
		}
		ops = append(ops, op)
		b = b[w+int(n):]
	}
	return ops, nil
}

func encodeOps(ops []*registry.Op) ([]byte, error) {
	var group []byte
	for _, op := range ops {
		b, err := registry.EncodeOp(op)
		if err != nil {
			return nil, err
		}
		group = appendOp(group, b)
	}
	return group, nil
}
