package offers

import (
	"muster/offers/protocol"
	"muster/offers/registry"
)

// Effect is something to be done, in the order given. The core never waits for
// one, and never modifies a message it has handed out.
type Effect interface{ effect() }

type (
	// ToAgent sends a message down an agent's link.
	ToAgent struct {
		Link    Link
		Message *protocol.MasterToAgent
	}

	// ToGateway sends a message down a gateway's link.
	ToGateway struct {
		Link    Link
		Message *protocol.MasterToGateway
	}

	// Disconnect ends a link of either kind. The core has forgotten it already; a
	// Disconnected input for it is not needed but does no harm.
	Disconnect struct {
		Link   Link
		Reason string
	}

	// Propose asks for an operation to be replicated. Its answer is a Committed input.
	Propose struct{ Op *registry.Op }

	// Publish tells the view.
	Publish struct{ Event *protocol.ViewEvent }
)

func (ToAgent) effect()    {}
func (ToGateway) effect()  {}
func (Disconnect) effect() {}
func (Propose) effect()    {}
func (Publish) effect()    {}
