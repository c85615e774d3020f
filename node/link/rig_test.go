package link

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	up   = *protocol.AgentToMaster
	down = *protocol.MasterToAgent
)

// compass points where the test says.
type compass struct {
	mu      sync.Mutex
	at      Leadership
	known   bool
	changed chan struct{}
}

func newCompass() *compass { return &compass{changed: make(chan struct{})} }

func (c *compass) point(peer string, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.known = Leadership{peer, term}, true
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *compass) Leader() (Leadership, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.known
}

func (c *compass) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// user notes what its uplink tells it.
type user struct {
	mu    sync.Mutex
	terms []uint64 // of the links it had
	live  bool
	got   []string
	fail  error // of the next Receive
}

func (u *user) Connected(term uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live {
		panic("connected twice")
	}
	u.terms, u.live = append(u.terms, term), true
}

func (u *user) Receive(m down) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.live {
		panic("received without a link")
	}
	u.got = append(u.got, m.GetRefused().GetMessage())
	return u.fail
}

func (u *user) Disconnected() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.live {
		panic("disconnected twice")
	}
	u.live = false
}

func (u *user) state() (live bool, links int, got []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.live, len(u.terms), slices.Clone(u.got)
}

// port is a leader's end of links.
type port struct {
	mu      sync.Mutex
	term    uint64 // 0 refuses
	blocked chan struct{}
	downs   []Sender[down]
	got     []string
	closed  []error
}

func (p *port) Open(_ string, d Sender[down]) (uint64, Receiver[up], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.term == 0 {
		return 0, nil, ErrNotLeading
	}
	p.downs = append(p.downs, d)
	return p.term, portLink{p}, nil
}

type portLink struct{ p *port }

func (l portLink) Receive(m up) error {
	l.p.mu.Lock()
	blocked := l.p.blocked
	l.p.got = append(l.p.got, m.GetRegister().GetVersion())
	l.p.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	return nil
}

func (l portLink) Closed(cause error) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.closed = append(l.p.closed, cause)
}

func (p *port) down() Sender[down] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.downs[len(p.downs)-1]
}

func (p *port) state() (opened int, got []string, closed []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.downs), slices.Clone(p.got), slices.Clone(p.closed)
}

func upward(text string) up {
	return &protocol.AgentToMaster{Message: &protocol.AgentToMaster_Register{Register: &protocol.Register{Version: &text}}}
}

func downward(text string) down {
	return &protocol.MasterToAgent{Message: &protocol.MasterToAgent_Refused{Refused: &protocol.Refused{Message: &text}}}
}

// world is a node with an uplink, and others that may lead.
type world struct {
	t       *testing.T
	ctx     context.Context
	compass *compass
	local   *port
	peers   map[string]*port
	frozen  map[string]bool // they take streams and do nothing with them
	user    *user
	uplink  *Uplink[up, down]
	serving sync.WaitGroup
}

const self = "self"

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: t, ctx: ctx, compass: newCompass(), local: &port{}, peers: map[string]*port{}, frozen: map[string]bool{}, user: &user{}}
	w.uplink = NewUplink(self, "agent/1", w.compass, w.dial, Port[up, down](w.local), nil)
	var running sync.WaitGroup
	running.Go(func() { _ = w.uplink.Run(ctx, w.user) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		w.serving.Wait()
		if live, _, _ := w.user.state(); live {
			t.Error("the user was not told that its link ended")
		}
	})
	return w
}

func (w *world) dial(ctx context.Context, peer, _ string) (Stream, error) {
	here, there := net.Pipe()
	switch p := w.peers[peer]; {
	case w.frozen[peer]:
		w.t.Cleanup(func() { there.Close() })
	case p == nil:
		return nil, errors.New("no route to " + peer)
	default:
		w.serving.Go(func() { _ = Serve(w.ctx, there, self, Port[up, down](p)) })
	}
	return here, nil
}

// bubble runs f in virtual time with a world.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

func (w *world) wantLink(links int) {
	w.t.Helper()
	synctest.Wait()
	if live, n, _ := w.user.state(); !live || n != links {
		w.t.Fatalf("the user's link is up: %t, its %d. link; want link %d", live, n, links)
	}
}

func (w *world) wantNone() {
	w.t.Helper()
	synctest.Wait()
	if live, _, _ := w.user.state(); live {
		w.t.Fatal("there is a link")
	}
	if err := w.uplink.Send(upward("x")); !errors.Is(err, ErrNoLeader) {
		w.t.Fatalf("Send without a link: %v", err)
	}
}

func wantStrings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // in virtual time
	synctest.Wait()
}

func agentEvent(id string) *protocol.ViewEvent {
	return &protocol.ViewEvent{Event: &protocol.ViewEvent_RecoveredAgent{RecoveredAgent: &mesos.AgentInfo{
		Hostname: proto.String(id), Id: &mesos.AgentID{Value: proto.String(id)},
	}}}
}

var synced = &protocol.ViewEvent{Event: &protocol.ViewEvent_Synced{Synced: &protocol.Synced{}}}
