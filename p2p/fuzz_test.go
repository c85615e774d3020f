package p2p

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func FuzzToken(f *testing.F) {
	f.Add(NewToken([]byte("ca"), make([]byte, secretSize), []string{"10.0.0.1:5055", "[fe80::1]:1", "host.example:65535"}).String())
	f.Add(NewToken(nil, make([]byte, secretSize), nil).String())
	f.Add("muster1-")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || again.Digest != token.Digest || !bytes.Equal(again.Secret, token.Secret) {
			t.Errorf("%q reads as %+v, %v", token, again, err)
		}
	})
}

// fuzzIdentity is a member to decode with; the fuzzer cannot sign, so what it
// makes must never be accepted.
func fuzzIdentity(f *testing.F) *identity {
	dir := f.TempDir()
	if _, err := Init(dir, InitConfig{Name: "one"}); err != nil {
		f.Fatal(err)
	}
	id, err := loadIdentity(dir)
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func FuzzAnnouncement(f *testing.F) {
	id := fuzzIdentity(f)
	a := &announcement{Sequence: 1, Record: &NodeRecord{Name: "n"}, Addresses: []string{"/ip4/1.2.3.4/tcp/1"}}
	if err := id.seal(a); err != nil {
		f.Fatal(err)
	}
	f.Add(a.raw)
	l := &announcement{Sequence: 2, Leadership: &Leadership{Term: 1, Leader: id.peer, Voters: []PeerID{id.peer}}}
	if err := id.seal(l); err != nil {
		f.Fatal(err)
	}
	f.Add(l.raw)
	f.Add([]byte(`{"body":"e30="}`))
	var known [2]envelope
	for i, raw := range [][]byte{a.raw, l.raw} {
		if err := json.Unmarshal(raw, &known[i]); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := id.unseal(raw, time.Now())
		if err != nil {
			return
		}
		var e envelope
		if json.Unmarshal(raw, &e) != nil || !bytes.Equal(e.Body, known[0].Body) && !bytes.Equal(e.Body, known[1].Body) {
			t.Errorf("forged: %+v", got)
		}
	})
}

func FuzzHello(f *testing.F) {
	id := fuzzIdentity(f)
	raw, err := json.Marshal(hello{Cluster: id.cluster, Certificate: id.Certificate})
	if err != nil {
		f.Fatal(err)
	}
	var frame bytes.Buffer
	if err := writeRaw(&frame, maxHello, raw); err != nil {
		f.Fatal(err)
	}
	f.Add(frame.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	m := &Mesh{id: id, roster: newRoster()}
	stranger, err := PeerID("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA").decode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var h hello
		if readFrame(bytes.NewReader(raw), maxHello, &h) != nil {
			return
		}
		if c, err := m.judge(stranger, h); err == nil {
			t.Errorf("a stranger passes as %+v", c)
		}
	})
}

func FuzzAdmission(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d{\"name\":\"a\"}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var request admitRequest
		var response admitResponse
		_ = readFrame(bytes.NewReader(raw), maxAdmission, &request)
		if readFrame(bytes.NewReader(raw), maxAdmission, &response) == nil && response.Refusal != nil {
			if text := response.Refusal.err().Error(); len(text) > 4<<10 {
				t.Errorf("a refusal of %d bytes", len(text))
			}
		}
	})
}

func TestTokenReadsAsWritten(t *testing.T) {
	token := NewToken([]byte("ca"), bytes.Repeat([]byte{9}, secretSize), []string{"10.1.2.3:5055", "[2001:db8::1]:5055", "node.example:80"})
	text := token.String()
	if !strings.HasPrefix(text, "muster1-") || strings.ContainsAny(text[8:], "-_+/= ") {
		t.Errorf("not copyable: %s", text)
	}
	for _, form := range []string{text, strings.ToUpper(text), " " + text[:30] + "\n  " + text[30:] + "\n"} {
		got, err := ParseToken(form)
		if err != nil || got.Digest != token.Digest || !bytes.Equal(got.Secret, token.Secret) ||
			strings.Join(got.Addresses, " ") != strings.Join(token.Addresses, " ") {
			t.Errorf("%q reads as %+v, %v", form, got, err)
		}
	}
	for name, form := range map[string]string{
		"empty": "", "a word": "token", "cut": text[:len(text)-3], "mistyped": text[:20] + "7" + text[21:], "too long": text + strings.Repeat("a", maxTokenText),
	} {
		if name == "mistyped" && text[20] == '7' {
			form = text[:20] + "6" + text[21:]
		}
		if _, err := ParseToken(form); err == nil {
			t.Errorf("%s token is accepted", name)
		}
	}
}
