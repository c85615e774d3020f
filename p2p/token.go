package p2p

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

const (
	tokenPrefix   = "muster1-"
	secretSize    = 16
	checksumSize  = 4
	maxTokenAddrs = 16
	maxTokenText  = 8 << 10
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token lets a node join: it holds what the cluster is recognized by, what the
// cluster recognizes the joiner by, and where to ask. Its text form is
// muster1-<base32 of digest, secret, addresses and a checksum>.
type Token struct {
	Digest    [sha256.Size]byte // of the cluster's CA certificate
	Secret    []byte            // 16 random bytes
	Addresses []string          // host:port of members
}

// Cluster is the ID of the cluster the token is for.
func (t Token) Cluster() string { return clusterID(t.Digest) }

// NewToken composes a token for the cluster of this CA certificate. Addresses
// beyond the sixteenth are left out.
func NewToken(caCertificate, secret []byte, addresses []string) Token {
	if len(addresses) > maxTokenAddrs {
		addresses = addresses[:maxTokenAddrs]
	}
	return Token{Digest: digest(caCertificate), Secret: secret, Addresses: addresses}
}

// String is the copyable form: letters and digits only after the prefix.
func (t Token) String() string {
	var b bytes.Buffer
	b.Write(t.Digest[:])
	b.Write(t.Secret)
	for _, a := range t.Addresses {
		writeTokenAddr(&b, a)
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:checksumSize])
	return tokenPrefix + tokenText.EncodeToString(b.Bytes())
}

// Address kinds in a token's binary form.
const (
	kindIP4  = 4
	kindIP6  = 6
	kindName = 1
)

// writeTokenAddr leaves out an address that has no host:port form or is too long.
func writeTokenAddr(b *bytes.Buffer, a string) {
	if ap, err := netip.ParseAddrPort(a); err == nil {
		ip := ap.Addr().Unmap().WithZone("")
		kind := byte(kindIP6)
		if ip.Is4() {
			kind = kindIP4
		}
		b.WriteByte(kind)
		b.Write(ip.AsSlice())
		b.Write(binary.BigEndian.AppendUint16(nil, ap.Port()))
		return
	}
	host, port, err := net.SplitHostPort(a)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || host == "" || len(host) > maxName {
		return
	}
	b.WriteByte(kindName)
	b.WriteByte(byte(len(host)))
	b.WriteString(host)
	b.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
}

// ParseToken reads a token; white space and case do not matter, a token that was
// cut or mistyped is recognized as such.
func ParseToken(text string) (Token, error) {
	var t Token
	if len(text) > maxTokenText {
		return t, fmt.Errorf("%w: too long", ErrBadToken)
	}
	text = strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return t, fmt.Errorf("%w: it begins with %s", ErrBadToken, tokenPrefix)
	}
	raw, err := tokenText.DecodeString(body)
	if err != nil || len(raw) < len(t.Digest)+secretSize+checksumSize {
		return t, fmt.Errorf("%w: damaged or incomplete", ErrBadToken)
	}
	raw, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if want := sha256.Sum256(raw); !bytes.Equal(sum, want[:checksumSize]) {
		return t, fmt.Errorf("%w: damaged or incomplete", ErrBadToken)
	}
	n := copy(t.Digest[:], raw)
	t.Secret = bytes.Clone(raw[n : n+secretSize])
	t.Addresses, err = readTokenAddrs(raw[n+secretSize:])
	return t, err
}

func readTokenAddrs(raw []byte) (addrs []string, err error) {
	bad := fmt.Errorf("%w: bad address", ErrBadToken)
	for len(raw) > 0 {
		kind, size := raw[0], 0
		raw = raw[1:]
		switch kind {
		case kindIP4, kindIP6:
			size = map[byte]int{kindIP4: 4, kindIP6: 16}[kind]
		case kindName:
			if len(raw) == 0 {
				return nil, bad
			}
			size, raw = int(raw[0]), raw[1:]
		default:
			return nil, bad
		}
		if len(raw) < size+2 || len(addrs) == maxTokenAddrs {
			return nil, bad
		}
		host := string(raw[:size])
		if kind != kindName {
			ip, _ := netip.AddrFromSlice(raw[:size])
			host = ip.String()
		}
		port := binary.BigEndian.Uint16(raw[size:])
		addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(int(port))))
		raw = raw[size+2:]
	}
	return addrs, nil
}
