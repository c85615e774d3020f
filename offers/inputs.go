package offers

import (
	"muster/offers/protocol"
	"muster/offers/registry"
)

// Link names one connection for as long as it lasts. The caller never gives a
// number twice.
type Link uint64

// Input is something that happened. Messages in it must not be modified afterwards.
type Input interface{ input() }

type (
	// Start is the first input of a Master: from then on the clock runs for what
	// the registry says was there before.
	Start struct{}

	// AgentConnected opens a link on which an agent will register.
	AgentConnected struct {
		Link Link
		Peer string // the node it comes from; empty when unknown
	}
	FromAgent struct {
		Link    Link
		Message *protocol.AgentToMaster
	}
	AgentDisconnected struct{ Link Link }

	// GatewayConnected opens a link of a node's HTTP gateway.
	GatewayConnected struct {
		Link Link
		Peer string
	}
	FromGateway struct {
		Link    Link
		Message *protocol.GatewayToMaster
	}
	GatewayDisconnected struct{ Link Link }

	// Committed answers a Propose: the operation is in the registry, or Err says why not.
	Committed struct {
		Op  *registry.Op
		Err error
	}

	// Tick says that the time Deadline named has come. More of them do no harm.
	Tick struct{}
)

func (Start) input()               {}
func (AgentConnected) input()      {}
func (FromAgent) input()           {}
func (AgentDisconnected) input()   {}
func (GatewayConnected) input()    {}
func (FromGateway) input()         {}
func (GatewayDisconnected) input() {}
func (Committed) input()           {}
func (Tick) input()                {}
