package allocator

// Reason is why a framework is not offered what an agent has.
type Reason int

const (
	Due         Reason = iota // it is, at the next Allocate, unless others come first
	Taken                     // nothing is free
	Inactive                  // the agent is not offered to anybody
	Reserved                  // what is free is reserved to other roles
	Unsuited                  // the framework does not understand the agent, or the agent it
	Unread                    // the framework does not understand what is free
	Limited                   // the role, or one above it, is at its limit
	Kept                      // what is free is kept for the guarantees of others
	TooLittle                 // less is free than makes an offer
	Refused                   // the framework does not want it for now
	Constrained               // its offer constraints exclude the agent
	Unasked                   // it asked for something else
)

// String is the reason's name in muster's own API.
func (r Reason) String() string {
	return [...]string{
		"due", "taken", "inactive", "reserved_to_others", "unsuited", "capability_missing", "quota_limit", "kept_for_guarantees",
		"below_minimum", "refused", "constraint", "not_requested",
	}[r]
}
