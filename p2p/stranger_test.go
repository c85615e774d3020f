package p2p

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// founded makes a cluster of one node that runs.
func founded(t *testing.T) (*Mesh, *Founding) {
	t.Helper()
	dir := t.TempDir()
	f, err := Init(dir, InitConfig{Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Dir: dir, Listen: []string{"127.0.0.1:0"}, NoMDNS: true, NoQUIC: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-m.Ready()
	return m, f
}

// visitor is a host of no cluster that is connected with the mesh.
type visitor struct {
	host.Host
	t  *testing.T
	to peer.ID
	id PeerID
}

func visit(t *testing.T, m *Mesh) *visitor {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost(hostConfig{key: key, transports: transports{tcp: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	var addrs []ma.Multiaddr
	for _, a := range m.Addresses() {
		addrs = append(addrs, ma.StringCast(a))
	}
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: m.self, Addrs: addrs}); err != nil {
		t.Fatal(err)
	}
	return &visitor{Host: h, t: t, to: m.self, id: peerID(h.ID())}
}

func (v *visitor) open(proto protocol.ID) network.Stream {
	v.t.Helper()
	s, err := v.NewStream(v.t.Context(), v.to, proto)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(10 * time.Second))
	v.t.Cleanup(func() { _ = s.Reset() })
	return s
}

// introduce sends a hello and gives the answer.
func (v *visitor) introduce(h hello) hello {
	v.t.Helper()
	s := v.open(helloProtocol)
	var answer hello
	if err := writeFrame(s, maxHello, h); err != nil {
		v.t.Fatal(err)
	}
	if err := readFrame(s, maxHello, &answer); err != nil {
		v.t.Fatal(err)
	}
	return answer
}

func refusalText(h hello) (string, string) {
	if h.Refusal == nil {
		return "", ""
	}
	return h.Refusal.Code, h.Refusal.Text
}

func TestStrangerReachesNoHandler(t *testing.T) {
	m, _ := founded(t)
	reached := make(chan struct{}, 16)
	m.Handle("echo", func(_ context.Context, s Stream) { reached <- struct{}{}; _ = s.Close() })
	v := visit(t, m)
	for _, name := range []string{"echo", relayProtocol, exchangeProtocol, pulseProtocol, gossipProtocol} {
		s := v.open(m.protocol(name))
		var no *RefusedError
		if err := readWelcome(s); !errors.As(err, &no) {
			t.Errorf("%s: %v", name, err)
		}
		if rest, _ := io.ReadAll(s); len(rest) > 0 {
			t.Errorf("%s: the stranger reads %q", name, rest)
		}
	}
	if len(reached) > 0 {
		t.Error("a stranger reached a handler")
	}
	if code, text := refusalText(v.introduce(hello{Cluster: m.id.cluster})); code != "not-member" {
		t.Errorf("hello without a certificate: %s %q", code, text)
	}
}

func TestCertificatesThatProveNothing(t *testing.T) {
	m, f := founded(t)
	v := visit(t, m)
	now := time.Now()
	issue := func(key ed25519.PrivateKey, c Certificate) []byte {
		raw, err := sign(key, membershipContext, c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := Certificate{Cluster: f.ClusterID, Peer: v.id, Name: "v", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	expired, early, foreign, stolen := good, good, good, good
	expired.NotAfter = now.Add(-time.Minute)
	early.NotBefore = now.Add(time.Minute)
	foreign.Cluster = "other"
	stolen.Peer = m.id.peer
	_, ownKey, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string][]byte{
		"expired": issue(f.CAKey, expired), "not yet valid": issue(f.CAKey, early),
		"of another cluster": issue(f.CAKey, foreign), "of another peer": issue(f.CAKey, stolen),
		"the member's own": m.id.Certificate, "signed by itself": issue(ownKey, good), "garbage": []byte("{"),
	} {
		if code, text := refusalText(v.introduce(hello{Cluster: f.ClusterID, Certificate: c})); code != "not-member" {
			t.Errorf("certificate %s: %s %q", name, code, text)
		}
	}
	if answer := v.introduce(hello{Cluster: f.ClusterID, Certificate: issue(f.CAKey, good)}); answer.Refusal != nil {
		t.Errorf("a good certificate is refused: %+v", answer.Refusal)
	}
}

func TestExpiredCertificateEndsService(t *testing.T) {
	r := newRoster()
	now := time.Now()
	p := peer.ID("p")
	r.admit(p, &Certificate{Peer: "x", NotBefore: now, NotAfter: now.Add(time.Minute)})
	if !r.member(p, now.Add(time.Second)) || r.member(p, now.Add(2*time.Minute)) {
		t.Error("a certificate counts beyond its end")
	}
}

func TestMeshDoesNotStartWithAnExpiredCertificate(t *testing.T) {
	dir := t.TempDir()
	p, err := Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca, key, err := newAuthority("c", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := SignCertificate(ca, key, p, "n", -time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := Install(dir, Membership{CACertificate: ca, Certificate: c}); !errors.Is(err, ErrNotMember) {
		t.Errorf("installed: %v", err)
	}
}

func TestJoinerFramesAreBounded(t *testing.T) {
	m, _ := founded(t)
	v := visit(t, m)
	for _, proto := range []protocol.ID{helloProtocol, m.protocol(admitProtocol)} {
		s := v.open(proto)
		if _, err := s.Write([]byte{0xff, 0xff, 0xff, 0xff, '{'}); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); err == nil && len(got) > 0 {
			t.Errorf("%s answers a frame of 4 GB with %q", proto, got)
		}
	}
}
