package resource

import (
	"encoding/binary"
	"slices"
	"strings"

	"muster/offers/mesos"
)

// kind is what distinguishes resources of one name apart from amount and
// allocation. Immutable; nil is the plain kind.
type kind struct {
	key       string                            // equal for equal kinds, and their order
	stack     []*mesos.Resource_ReservationInfo // least refined first
	disk      *mesos.Resource_DiskInfo
	provider  string
	revocable bool
	shared    bool
	whole     bool // cannot be divided
}

func newKind(k kind) *kind {
	if len(k.stack) == 0 && k.disk == nil && k.provider == "" && !k.revocable && !k.shared {
		return nil
	}
	kept := k // only what is kept is allocated
	source := k.disk.GetSource()
	switch source.GetType() {
	case mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_BLOCK:
		kept.whole = true
	case mesos.Resource_DiskInfo_Source_RAW:
		kept.whole = source.Id != nil
	}
	if k.disk.GetPersistence() != nil {
		kept.whole = true
	}
	kept.key = kept.encode()
	return &kept
}

func (k *kind) id() string {
	if k == nil {
		return ""
	}
	return k.key
}

// role is the role reserved for, "" when unreserved.
func (k *kind) role() string {
	if k == nil || len(k.stack) == 0 {
		return ""
	}
	return k.stack[len(k.stack)-1].GetRole()
}

func (k *kind) isRevocable() bool  { return k != nil && k.revocable }
func (k *kind) isShared() bool     { return k != nil && k.shared }
func (k *kind) isPersistent() bool { return k != nil && k.disk.GetPersistence() != nil }

// encode leaves out what Mesos does not compare: a disk's volume and the
// principal of a persistence. Labels are compared without order.
func (k *kind) encode() string {
	e := encoder(append([]byte(k.role()), 0))
	e.flag(k.revocable, k.shared, k.disk != nil)
	e.text(k.provider)
	e.number(len(k.stack))
	for _, r := range k.stack {
		e.number(int(r.GetType()))
		e.text(r.GetRole())
		e.optional(r.Principal)
		e.flag(r.Labels != nil)
		e.labels(r.Labels)
	}
	if p := k.disk.GetPersistence(); p != nil {
		e.optional(p.Id)
	} else {
		e.optional(nil)
	}
	if s := k.disk.GetSource(); s != nil {
		e.number(1 + int(s.GetType()))
		e.flag(s.Path != nil, s.Mount != nil, s.Metadata != nil)
		if s.Path != nil {
			e.optional(s.Path.Root)
		}
		if s.Mount != nil {
			e.optional(s.Mount.Root)
		}
		e.optional(s.Vendor)
		e.optional(s.Id)
		e.optional(s.Profile)
		e.labels(s.Metadata)
	}
	return string(e)
}

type encoder []byte

func (e *encoder) number(n int) { *e = binary.AppendUvarint(*e, uint64(n)) }

func (e *encoder) text(s string) {
	e.number(len(s))
	*e = append(*e, s...)
}

func (e *encoder) optional(s *string) {
	e.flag(s != nil)
	if s != nil {
		e.text(*s)
	}
}

func (e *encoder) flag(flags ...bool) {
	for _, f := range flags {
		b := byte(0)
		if f {
			b = 1
		}
		*e = append(*e, b)
	}
}

func (e *encoder) labels(l *mesos.Labels) {
	var texts []string
	for _, label := range l.GetLabels() {
		var one encoder
		one.text(label.GetKey())
		one.optional(label.Value)
		texts = append(texts, string(one))
	}
	slices.Sort(texts)
	e.text(strings.Join(texts, ""))
}
