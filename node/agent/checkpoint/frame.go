package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"
)

// A journal is magic, then frames: length and CRC-32C of the record, four bytes
// each, little endian, then the record.
const (
	magic     = "MUSTERJ1"
	headSize  = 8
	maxRecord = 4 << 20
	// maxBatch bounds, give or take one record, what one fsync covers and so what a crash can tear.
	maxBatch = 4 << 20
	maxTorn  = maxBatch + 4*(maxRecord+headSize)
)

// ErrCorrupt: a journal is damaged where no crash could have damaged it.
var ErrCorrupt = errors.New("journal is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame adds r as a frame to b.
func appendFrame(b []byte, r *Record) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, headSize)...)
	b, err := proto.MarshalOptions{AllowPartial: true}.MarshalAppend(b, r)
	if err != nil {
		return b[:start], fmt.Errorf("encode record: %w", err)
	}
	body := b[start+headSize:]
	if len(body) > maxRecord {
		return b[:start], fmt.Errorf("encode record: %d bytes are more than %d", len(body), maxRecord)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b, nil
}

// replay applies the frames of a whole journal to s and returns how many bytes
// of it are good. What follows them is the torn end of a write that a crash
// interrupted, unless it is longer than a write can be.
func replay(b []byte, s *State) (good int, err error) {
	if len(b) < len(magic) && magic[:len(b)] == string(b) {
		return 0, nil
	}
	if string(b[:min(len(b), len(magic))]) != magic {
		return 0, fmt.Errorf("no journal of muster: %w", ErrCorrupt)
	}
	good = len(magic)
	for {
		body, ok := frame(b[good:])
		if !ok {
			break
		}
		r := &Record{}
		if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(body, r); err != nil {
			return good, fmt.Errorf("record at byte %d: %w: %w", good, ErrCorrupt, err)
		}
		s.Apply(r)
		good += headSize + len(body)
	}
	if torn := len(b) - good; torn > maxTorn {
		return good, fmt.Errorf("%d bytes from byte %d on: %w", torn, good, ErrCorrupt)
	}
	return good, nil
}

// frame returns the record at the start of b if it is whole.
func frame(b []byte) ([]byte, bool) {
	if len(b) < headSize {
		return nil, false
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size == 0 || size > maxRecord || size > len(b)-headSize {
		return nil, false
	}
	body := b[headSize : headSize+size]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}
