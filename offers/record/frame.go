package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"
)

// Magic begins every part of a recording.
const Magic = "muster recording\n"

// Format is the version of the frames and of what must be understood to replay.
const Format = 1

const (
	frameHead = 8       // length and checksum, 4 bytes each
	maxFrame  = 1 << 30 // the registry of the largest cluster takes a tenth
)

var (
	// ErrTruncated: the bytes end within an entry, as after a kill or a full disk.
	ErrTruncated = errors.New("truncated")
	// ErrDamaged: the bytes are not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrFormat: written by a version whose recordings this one cannot read.
	ErrFormat = errors.New("format is not known")
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	written    = proto.MarshalOptions{Deterministic: true, AllowPartial: true}
	read       = proto.UnmarshalOptions{AllowPartial: true}
)

// Append appends an entry with its frame: length, checksum and bytes.
func Append(dst []byte, e *Entry) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, frameHead)...)
	out, err := written.MarshalAppend(dst, e)
	if err != nil {
		return dst[:at], fmt.Errorf("encode entry: %w", err)
	}
	body := out[at+frameHead:]
	if len(body) > maxFrame {
		return dst[:at], fmt.Errorf("encode entry: %d bytes are more than a frame holds", len(body))
	}
	binary.LittleEndian.PutUint32(out[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(out[at+4:], crc32.Checksum(body, castagnoli))
	return out, nil
}

// Next returns the first entry of b and how many bytes it takes. With ErrTruncated,
// n is how many bytes there must be to go on.
func Next(b []byte) (e *Entry, n int, err error) {
	if len(b) < frameHead {
		return nil, frameHead, ErrTruncated
	}
	size := int(binary.LittleEndian.Uint32(b))
	if size > maxFrame {
		return nil, 0, fmt.Errorf("%w: an entry of %d bytes", ErrDamaged, size)
	}
	n = frameHead + size
	if len(b) < n {
		return nil, n, ErrTruncated
	}
	body := b[frameHead:n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, fmt.Errorf("%w: checksum", ErrDamaged)
	}
	e = &Entry{}
	if err := read.Unmarshal(body, e); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, n, nil
}

// AppendEffects appends the bytes of effects: equal effects give equal bytes.
func AppendEffects(dst []byte, effects ...*Effect) ([]byte, error) {
	for _, e := range effects {
		dst = binary.AppendUvarint(dst, uint64(written.Size(e)))
		var err error
		if dst, err = written.MarshalAppend(dst, e); err != nil {
			return dst, fmt.Errorf("encode effect: %w", err)
		}
	}
	return dst, nil
}

// Hash returns the hash of the bytes that AppendEffects made.
func Hash(effects []byte) uint64 {
	sum := sha256.Sum256(effects)
	return binary.LittleEndian.Uint64(sum[:])
}
