package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"muster/offers/registry"
)

// A log entry is groupVersion, a checksum of the rest, and the operations, each
// after its length.
const (
	groupVersion = 1
	groupHeader  = 1 + crc32.Size
)

var (
	errMalformed = errors.New("malformed log entry")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

func appendOp(group, op []byte) []byte {
	if len(group) == 0 {
		group = append(group, groupVersion, 0, 0, 0, 0)
	}
	group = binary.AppendUvarint(group, uint64(len(op)))
	return append(group, op...)
}

// seal completes a group by its checksum.
func seal(group []byte) []byte {
	if len(group) >= groupHeader {
		binary.LittleEndian.PutUint32(group[1:], crc32.Checksum(group[groupHeader:], castagnoli))
	}
	return group
}

// decodeGroup returns the operations of an entry.
func decodeGroup(b []byte) ([]*registry.Op, error) {
	if len(b) < groupHeader || b[0] != groupVersion {
		return nil, fmt.Errorf("%w: unknown version", errMalformed)
	}
	sum := binary.LittleEndian.Uint32(b[1:])
	b = b[groupHeader:]
	if crc32.Checksum(b, castagnoli) != sum {
		return nil, fmt.Errorf("%w: wrong checksum", errMalformed)
	}
	var ops []*registry.Op
	for len(b) > 0 {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, fmt.Errorf("%w: operation %d is cut off", errMalformed, len(ops))
		}
		op, err := registry.DecodeOp(b[w : w+int(n)])
		if err != nil {
			return nil, fmt.Errorf("%w: operation %d: %w", errMalformed, len(ops), err)
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
	return seal(group), nil
}
