package offers

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers/record"
	"muster/offers/registry"
)

// RecordHeader writes down what a core is made of. The config's defaults are filled
// in: those of another version may differ.
func RecordHeader(cfg Config, facts *registry.State) (*record.Header, error) {
	cfg = cfg.withDefaults()
	h := &record.Header{
		Format: proto.Uint32(record.Format), MasterId: proto.String(cfg.MasterID), Part: proto.Uint32(0),
		Info: cfg.Info, Registry: &registry.Snapshot{},
	}
	cfg.Info = nil
	var err error
	if h.Config, err = json.Marshal(cfg); err != nil {
		return nil, fmt.Errorf("record the config: %w", err)
	}
	state, err := facts.Encode()
	if err != nil {
		return nil, err
	}
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(state, h.Registry); err != nil {
		return nil, fmt.Errorf("record the registry: %w", err)
	}
	return h, nil
}

// FromHeader returns the core of which a header was written.
func FromHeader(h *record.Header) (*Master, error) {
	var cfg Config
	if err := json.Unmarshal(h.GetConfig(), &cfg); err != nil {
		return nil, fmt.Errorf("the recorded config: %w", err)
	}
	cfg.Info = h.GetInfo()
	state, err := (proto.MarshalOptions{AllowPartial: true}).Marshal(h.GetRegistry())
	if err != nil {
		return nil, fmt.Errorf("the recorded registry: %w", err)
	}
	facts, err := registry.Decode(state)
	if err != nil {
		return nil, err
	}
	return New(cfg, facts), nil
}

// RecordStep writes down an input; its number and effects are for the caller to add.
// It shares the input's messages.
func RecordStep(now time.Time, in Input) *record.Step {
	s := &record.Step{Now: proto.Int64(now.UnixNano())}
	connected := func(l Link, peer string) *record.Connected {
		return &record.Connected{Link: proto.Uint64(uint64(l)), Peer: proto.String(peer)}
	}
	disconnected := func(l Link) *record.Disconnected { return &record.Disconnected{Link: proto.Uint64(uint64(l))} }
	switch in := in.(type) {
	case Start:
		s.Input = &record.Step_Start{Start: &record.Nothing{}}
	case AgentConnected:
		s.Input = &record.Step_AgentConnected{AgentConnected: connected(in.Link, in.Peer)}
	case FromAgent:
		s.Input = &record.Step_FromAgent{FromAgent: &record.FromAgent{Link: proto.Uint64(uint64(in.Link)), Message: in.Message}}
	case AgentDisconnected:
		s.Input = &record.Step_AgentDisconnected{AgentDisconnected: disconnected(in.Link)}
	case GatewayConnected:
		s.Input = &record.Step_GatewayConnected{GatewayConnected: connected(in.Link, in.Peer)}
	case FromGateway:
		s.Input = &record.Step_FromGateway{FromGateway: &record.FromGateway{Link: proto.Uint64(uint64(in.Link)), Message: in.Message}}
	case GatewayDisconnected:
		s.Input = &record.Step_GatewayDisconnected{GatewayDisconnected: disconnected(in.Link)}
	case Committed:
		s.Input = &record.Step_Committed{Committed: recordCommitted(in)}
	case Tick:
		s.Input = &record.Step_Tick{Tick: &record.Nothing{}}
	}
	return s
}

// FromStep returns the time and the input that a step holds.
func FromStep(s *record.Step) (time.Time, Input, error) {
	now := time.Unix(0, s.GetNow())
	var in Input
	switch i := s.GetInput().(type) {
	case *record.Step_Start:
		in = Start{}
	case *record.Step_AgentConnected:
		in = AgentConnected{Link: Link(i.AgentConnected.GetLink()), Peer: i.AgentConnected.GetPeer()}
	case *record.Step_FromAgent:
		in = FromAgent{Link: Link(i.FromAgent.GetLink()), Message: i.FromAgent.GetMessage()}
	case *record.Step_AgentDisconnected:
		in = AgentDisconnected{Link: Link(i.AgentDisconnected.GetLink())}
	case *record.Step_GatewayConnected:
		in = GatewayConnected{Link: Link(i.GatewayConnected.GetLink()), Peer: i.GatewayConnected.GetPeer()}
	case *record.Step_FromGateway:
		in = FromGateway{Link: Link(i.FromGateway.GetLink()), Message: i.FromGateway.GetMessage()}
	case *record.Step_GatewayDisconnected:
		in = GatewayDisconnected{Link: Link(i.GatewayDisconnected.GetLink())}
	case *record.Step_Committed:
		in = fromCommitted(i.Committed)
	case *record.Step_Tick:
		in = Tick{}
	default:
		return now, nil, fmt.Errorf("step %d: %w: an input that this version does not know", s.GetNumber(), record.ErrFormat)
	}
	return now, in, nil
}

// causes are the errors of the registry that the core tells apart.
var causes = []struct {
	code record.Committed_Cause
	is   error
}{
	{record.Committed_INVALID, registry.ErrInvalid}, {record.Committed_EXISTS, registry.ErrExists},
	{record.Committed_UNKNOWN, registry.ErrUnknown}, {record.Committed_REMOVED, registry.ErrRemoved},
}

func recordCommitted(in Committed) *record.Committed {
	c := &record.Committed{Op: in.Op}
	if in.Err == nil {
		return c
	}
	c.Error, c.Cause = proto.String(in.Err.Error()), record.Committed_OTHER.Enum()
	for _, cause := range causes {
		if errors.Is(in.Err, cause.is) {
			c.Cause = cause.code.Enum()
		}
	}
	return c
}

func fromCommitted(c *record.Committed) Committed {
	in := Committed{Op: c.GetOp()}
	if c.Error == nil {
		return in
	}
	e := recordedError{text: c.GetError()}
	for _, cause := range causes {
		if cause.code == c.GetCause() {
			e.cause = cause.is
		}
	}
	in.Err = e
	return in
}

// recordedError is an error of the quorum, read from a recording.
type recordedError struct {
	text  string
	cause error
}

func (e recordedError) Error() string { return e.text }
func (e recordedError) Unwrap() error { return e.cause }

// RecordEffects writes down effects. It shares their messages.
func RecordEffects(effects []Effect) []*record.Effect {
	out := make([]*record.Effect, len(effects))
	for i, e := range effects {
		out[i] = recordEffect(e)
	}
	return out
}

func recordEffect(e Effect) *record.Effect {
	switch e := e.(type) {
	case ToAgent:
		return &record.Effect{Effect: &record.Effect_ToAgent{ToAgent: &record.ToAgent{Link: proto.Uint64(uint64(e.Link)), Message: e.Message}}}
	case ToGateway:
		return &record.Effect{Effect: &record.Effect_ToGateway{ToGateway: &record.ToGateway{Link: proto.Uint64(uint64(e.Link)), Message: e.Message}}}
	case Disconnect:
		return &record.Effect{Effect: &record.Effect_Disconnect{Disconnect: &record.Disconnect{Link: proto.Uint64(uint64(e.Link)), Reason: proto.String(e.Reason)}}}
	case Propose:
		return &record.Effect{Effect: &record.Effect_Propose{Propose: e.Op}}
	case Publish:
		return &record.Effect{Effect: &record.Effect_Publish{Publish: e.Event}}
	}
	return &record.Effect{}
}

// FromEffect returns the effect that was written down, nil for one of another version.
func FromEffect(e *record.Effect) Effect {
	switch e := e.GetEffect().(type) {
	case *record.Effect_ToAgent:
		return ToAgent{Link: Link(e.ToAgent.GetLink()), Message: e.ToAgent.GetMessage()}
	case *record.Effect_ToGateway:
		return ToGateway{Link: Link(e.ToGateway.GetLink()), Message: e.ToGateway.GetMessage()}
	case *record.Effect_Disconnect:
		return Disconnect{Link: Link(e.Disconnect.GetLink()), Reason: e.Disconnect.GetReason()}
	case *record.Effect_Propose:
		return Propose{Op: e.Propose}
	case *record.Effect_Publish:
		return Publish{Event: e.Publish}
	}
	return nil
}
