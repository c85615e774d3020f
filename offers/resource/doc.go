// Package resource is the algebra of what agents have and frameworks use:
// scalars in thousandths, ranges and sets, each reserved or not, firm or
// revocable, plain or a volume, allocated to a role or not.
//
// A Set is an immutable value; its zero value is empty. The two formats of the
// wire (role and reservation, or reservations) exist only at the edge, in
// FromProto, Proto and PreRefinement. The package does no I/O and keeps no
// state.
package resource
