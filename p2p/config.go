package p2p

import (
	"log/slog"
	"time"
)

// Config is what a mesh needs to run. Dir must hold an identity: see Init and Join.
type Config struct {
	Dir       string       // the identity
	Listen    []string     // ip:port to listen on, TCP and UDP [0.0.0.0:5055]
	Advertise []string     // host:port that others dial [the listening addresses]
	Bootstrap []string     // host:port of members, besides those met before
	Name      string       // this node's name [that of its certificate]
	NoMDNS    bool         // neither announce nor look for members by multicast DNS
	NoQUIC    bool         // TCP only
	NoTCP     bool         // QUIC only
	MaxPeers  int          // members to stay connected with [64]; with fewer members: with all
	Log       *slog.Logger // [discard]

	AliveTimeout       time.Duration // a connected peer that is silent for this long is not alive [2s]
	NegotiationTimeout time.Duration // for a connected peer to answer a Dial [2s]

	Allow func(PeerID) bool // which peers may be connected with, asked each time, for tests [all]
}

const (
	dialTimeout       = 3 * time.Second // of one connection
	defaultListen     = "0.0.0.0:5055"
	defaultMaxPeers   = 64
	defaultAlive      = 2 * time.Second
	defaultNegotiated = 2 * time.Second
)

func (c *Config) defaults() {
	if len(c.Listen) == 0 {
		c.Listen = []string{defaultListen}
	}
	if c.MaxPeers == 0 {
		c.MaxPeers = defaultMaxPeers
	}
	if c.AliveTimeout == 0 {
		c.AliveTimeout = defaultAlive
	}
	if c.NegotiationTimeout == 0 {
		c.NegotiationTimeout = defaultNegotiated
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func (c *Config) transports() transports { return transports{tcp: !c.NoTCP, quic: !c.NoQUIC} }
