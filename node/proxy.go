package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"muster/node/api"
	"muster/p2p"
)

// What one node alone can tell, every node tells: a request that names another is
// carried there, as HTTP over a stream of the mesh. The node that a client asked
// has authenticated it; members believe each other.
const tellProtocol = "tell/1"

const (
	askPatience = 5 * time.Second // for a node to begin its answer
	askAtOnce   = 16              // nodes that are asked at a time for one client
	tellAtOnce  = 128             // connections of other members
	maxTold     = 16 << 20        // bytes of one node's answer among those of all
)

// everyNode is what a request names that means all nodes.
const everyNode = "*"

// report returns what this node tells of itself, to be encoded as JSON. Its errors are
// about the query.
type report func(query url.Values) (any, error)

// reports are those of this node by path.
func (n *Node) reports() map[string]report {
	return map[string]report{
		"/muster/v1/quorum":           func(url.Values) (any, error) { return n.quorumStatus(), nil },
		"/muster/v1/usage":            func(url.Values) (any, error) { return n.usage(), nil },
		"/muster/v1/oversubscription": n.oversubscription,
	}
}

const historyPath = "/muster/v1/usage/history"

// reportHandlers serve what this node alone can tell, by pattern: by a proxy to clients,
// who may name any node, and without one to members, who mean this one.
func (n *Node) reportHandlers(p *proxy) map[string]http.Handler {
	out := map[string]http.Handler{}
	for path, own := range n.reports() {
		out["GET "+path] = p.handler(own.handler(), own)
	}
	out["GET "+historyPath] = p.handler(http.HandlerFunc(n.usageHistory), nil)
	return out
}

// handler answers with the report.
func (own report) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := own(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, v)
	})
}

// serveMembers answers what other members ask of this node.
func (n *Node) serveMembers(ctx context.Context) error {
	mux := http.NewServeMux()
	for pattern, h := range n.reportHandlers(nil) {
		mux.Handle(pattern, h)
	}
	return api.Serve(ctx, n.mesh.Listener(tellProtocol), mux, tellAtOnce, n.log)
}

// proxy forwards requests to members.
type proxy struct {
	mesh   *p2p.Mesh
	client *http.Client
}

func newProxy(mesh *p2p.Mesh) *proxy {
	return &proxy{mesh, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			peer, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return mesh.Dial(ctx, p2p.PeerID(peer), tellProtocol)
		},
		ResponseHeaderTimeout: askPatience, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true, // it is passed on as it comes
	}}}
}

// handler lets what here tells of this node be asked of any: ?node= names one by its
// name or peer ID, and * means all, if own is not nil. Without it the node that was
// asked tells of itself.
func (p *proxy) handler(here http.Handler, own report) http.Handler {
	if p == nil {
		return here
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("node")
		if name == everyNode && own != nil {
			p.gather(w, r, own)
			return
		}
		switch to, err := p.find(name); {
		case err != nil:
			http.Error(w, err.Error(), http.StatusNotFound)
		case to.Peer == p.mesh.ID():
			here.ServeHTTP(w, r)
		default:
			p.forward(w, r, to)
		}
	})
}

// find returns the member of a name or peer ID; "" is this node.
func (p *proxy) find(name string) (p2p.Node, error) {
	name = cmp.Or(name, string(p.mesh.ID()))
	var found []p2p.Node
	for _, d := range p.mesh.Directory().Nodes() {
		if string(d.Peer) == name {
			return d, nil
		}
		if d.Name == name {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return p2p.Node{}, fmt.Errorf("node: %d nodes are called %q; name one by its peer ID: see `muster nodes -o json`", len(found), name)
	case name == string(p.mesh.ID()):
		return p2p.Node{Peer: p.mesh.ID()}, nil
	}
	return p2p.Node{}, fmt.Errorf("node: none is called %q: `muster nodes` lists them", name)
}

// get asks one member what was asked here. The error says which node it is about.
func (p *proxy) get(ctx context.Context, what *url.URL, to p2p.Node) (*http.Response, error) {
	if !to.Alive {
		return nil, fmt.Errorf("node %s is silent since %s: is its daemon running?", to.Name, to.LastSeen.UTC().Format(time.RFC3339))
	}
	query := what.Query()
	query.Del("node")
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(string(to.Peer), "0"), Path: what.Path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	switch {
	case errors.Is(err, p2p.ErrNoProtocol):
		return nil, fmt.Errorf("node %s cannot be asked through another: its version is older", to.Name)
	case err != nil:
		return nil, fmt.Errorf("node %s does not answer: %w", to.Name, errors.Unwrap(err))
	}
	return response, nil
}

// forward carries a request to a member and its answer back, as it comes.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, to p2p.Node) {
	response, err := p.get(r.Context(), r.URL, to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer response.Body.Close()
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	if length := response.Header.Get("Content-Length"); length != "" {
		w.Header().Set("Content-Length", length)
	}
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(api.Paced(w), response.Body); err != nil {
		panic(http.ErrAbortHandler) // so that the client does not take it for the whole
	}
}

// Everyone is what all nodes answered, in the order of their names.
type Everyone[T any] struct {
	Nodes []T      `json:"nodes"`
	Away  []Absent `json:"away"`
}

// Absent is a node that did not answer.
type Absent struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// gather asks every member and answers with an Everyone.
func (p *proxy) gather(w http.ResponseWriter, r *http.Request, own report) {
	mine, err := own(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), 2*askPatience, errors.New("it takes too long"))
	defer cancel()
	members := p.mesh.Directory().Nodes()
	answers, errs := make([]json.RawMessage, len(members)), make([]error, len(members))
	slots := make(chan struct{}, askAtOnce)
	var asked sync.WaitGroup
	for i, d := range members {
		if d.Peer == p.mesh.ID() {
			answers[i], errs[i] = json.Marshal(mine)
			continue
		}
		asked.Go(func() {
			slots <- struct{}{}
			answers[i], errs[i] = p.read(ctx, r.URL, d)
			<-slots
		})
	}
	asked.Wait()
	out := Everyone[json.RawMessage]{Nodes: []json.RawMessage{}, Away: []Absent{}}
	for i, d := range members {
		if errs[i] != nil {
			out.Away = append(out.Away, Absent{d.Name, errs[i].Error()})
			continue
		}
		out.Nodes = append(out.Nodes, answers[i])
	}
	writeJSON(w, out)
}

// read asks one member and returns the JSON that it answers.
func (p *proxy) read(ctx context.Context, what *url.URL, to p2p.Node) (json.RawMessage, error) {
	response, err := p.get(ctx, what, to)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTold+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("node %s: %w", to.Name, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("node %s: %s", to.Name, strings.TrimSpace(string(body)))
	case len(body) > maxTold:
		return nil, fmt.Errorf("node %s answers more than %d MB: ask for less, or it alone", to.Name, maxTold>>20)
	case !json.Valid(body):
		return nil, fmt.Errorf("node %s answers what is no JSON", to.Name)
	}
	return body, nil
}
