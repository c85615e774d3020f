package p2p

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A frame is a JSON document behind its length: four bytes, big-endian.

func writeFrame(w io.Writer, limit int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	return writeRaw(w, limit, raw)
}

func writeRaw(w io.Writer, limit int, raw []byte) error {
	if len(raw) > limit {
		return fmt.Errorf("frame of %d bytes, more than %d", len(raw), limit)
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(raw)), uint32(len(raw)))
	_, err := w.Write(append(buf, raw...))
	return err
}

func readFrame(r io.Reader, limit int, v any) error {
	raw, err := readRaw(r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("malformed frame: %w", err)
	}
	return nil
}

// readRaw never allocates more than the limit, whatever the length says.
func readRaw(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return nil, fmt.Errorf("frame of %d bytes, more than %d", n, limit)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	return raw, nil
}
