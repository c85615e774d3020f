package p2p

import (
	"crypto/rand"
	"fmt"
	"os"
	"time"
)

// InitConfig names a new cluster and its first node.
type InitConfig struct {
	Cluster string // the cluster's name, for people [muster]
	Name    string // this node's name [the host's name]
}

// Founding is what Init minted, for the registry to keep. CAKey is nowhere else:
// who holds it admits members.
type Founding struct {
	ClusterID     string
	Name          string // of the cluster
	Peer          PeerID // this node
	CACertificate []byte
	CAKey         []byte
	Secret        []byte
	SecretHash    []byte
}

// Init mints a cluster of which the node in dir is the first member. It says
// ErrHasIdentity if the directory holds a membership already.
func Init(dir string, cfg InitConfig) (*Founding, error) {
	if hasMembership(dir) {
		return nil, fmt.Errorf("init %s: %w", dir, ErrHasIdentity)
	}
	if cfg.Cluster == "" {
		cfg.Cluster = "muster"
	}
	if err := checkName(cfg.Cluster); err != nil {
		return nil, fmt.Errorf("init: cluster %w", err)
	}
	name, err := nodeName(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	p, err := Prepare(dir)
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	f := &Founding{Name: cfg.Cluster, Peer: p, Secret: make([]byte, secretSize)}
	if _, err := rand.Read(f.Secret); err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	f.SecretHash = HashSecret(f.Secret)
	ca, key, err := newAuthority(cfg.Cluster, time.Now())
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	f.CACertificate, f.CAKey, f.ClusterID = ca, key, clusterID(digest(ca))
	certificate, err := SignCertificate(ca, key, p, name, DefaultValidity)
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	return f, Install(dir, Membership{CACertificate: ca, Certificate: certificate, Secret: f.Secret})
}

func nodeName(name string) (string, error) {
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("node name: %w", err)
		}
		name = host
	}
	return name, checkName(name)
}
