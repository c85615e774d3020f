package mesos

import (
	"encoding/json"
	"unicode/utf8"
)

// scanner walks over a text that is known to be JSON. It never fails: at the
// end of the text peek returns 0 and every loop ends.
type scanner struct {
	text []byte
	pos  int
}

// peek skips white space and returns the next byte.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) {
	if s.peek() == c {
		s.pos++
	}
}

// more moves to the next element of an object or array and says whether there
// is one; if not, it moves past the end.
func (s *scanner) more(end byte) bool {
	switch s.peek() {
	case 0:
		return false
	case end:
		s.pos++
		return false
	case ',':
		s.pos++
	}
	return true
}

// string reads a string and returns what it stands for. The result may share
// the text's memory.
func (s *scanner) string() []byte {
	raw := s.rawString()
	plain := true
	for _, c := range raw {
		if c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain && len(raw) >= 2 {
		return raw[1 : len(raw)-1]
	}
	var decoded string
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil // not reached: the text is known to be JSON
	}
	return []byte(decoded)
}

func (s *scanner) rawString() []byte {
	s.peek()
	start := s.pos
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\\':
			s.pos++
		case '"':
			s.pos++
			return s.text[start:s.pos]
		}
	}
	s.pos = len(s.text)
	return s.text[min(start, s.pos):]
}

// token reads a string, number, boolean or null as text, without quotes.
func (s *scanner) token() string {
	switch s.peek() {
	case '"':
		return string(s.string())
	case '{', '[':
		start := s.pos
		s.skip()
		return string(s.text[start:s.pos])
	}
	start := s.pos
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
			return string(s.text[start:s.pos])
		}
	}
	return string(s.text[start:s.pos])
}

// skip moves past one value of any kind, without recursion.
func (s *scanner) skip() {
	depth := 0
	for {
		switch s.peek() {
		case 0:
			return
		case '"':
			s.rawString()
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
		case ',', ':':
			s.pos++
			continue
		default:
			s.token()
		}
		if depth <= 0 {
			return
		}
	}
}
