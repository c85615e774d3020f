// Package registry holds the facts that survive every leader: the cluster's
// identity and members, the agents it admitted, its frameworks, the quotas and
// weights of its roles. Op is one entry of the replicated log, State what the
// entries add up to. Apply is pure: the same operations in the same order give the
// same State on every voter.
//
// It knows nothing of tasks and offers: agents tell each new leader what runs.
package registry

//go:generate sh ../generate.sh
