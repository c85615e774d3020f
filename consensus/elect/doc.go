// Package elect says which nodes should vote. Next looks at the members of the
// quorum and at the nodes there are, and gives the single next change that
// brings the quorum closer to what it should be, with its reason. It is pure:
// the caller finds out who is alive, carries the change out and asks again.
package elect
