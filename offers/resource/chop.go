package resource

import "math/bits"

// Chop returns the set with no more of its unreserved firm scalars than the
// limits allow; what is reserved or revocable stays as it is. A disk that cannot
// be divided stays whole or goes.
//
// Unreserved firm ranges and items stay in proportion: as much of them as of the
// scalar of which the largest part stays, rounded up. So whoever is given a
// sliver does not take all the ports with it, and of what is left the part that
// is of use together keeps its ports.
func (s Set) Chop(most Limits) Set {
	loose := s.Unreserved().NonRevocable()
	whole := loose.Quantities()
	if most.Contains(whole) {
		return s
	}
	chopped := Set{}
	for i, n := 0, loose.len(); i < n; i++ {
		p := loose.at(i).chop(most)
		most = most.Sub(Set{head: p}.Quantities())
		chopped.push(p)
	}
	return s.Sub(loose).Add(chopped.proportion(whole))
}

// chop keeps of the scalars what the limits allow.
func (p *part) chop(most Limits) part {
	out := *p
	for i := range out.base {
		if most.bounded[i] {
			out.base[i] = min(out.base[i], most.most[i])
		}
	}
	if p.more == nil {
		return out
	}
	var values []value
	for _, v := range p.more.values {
		if bound, bounded := most.Get(v.name); bounded && v.typ == typeScalar {
			v.milli = min(v.milli, bound)
		}
		if !v.empty() {
			values = append(values, v)
		}
	}
	volumes := p.more.volumes
	if most.bounded[disk] {
		volumes = chopVolumes(volumes, most.most[disk]-out.base[disk])
	}
	out.more = newMore(values, volumes)
	return out
}

// chopVolumes keeps those that fit, the smallest first.
func chopVolumes(volumes []volume, room int64) []volume {
	var out []volume
	for _, v := range volumes {
		if v.milli > 0 {
			v.count = min(v.count, room/v.milli)
		}
		if v.count > 0 {
			out = append(out, v)
			room -= v.milli * v.count
		}
	}
	return out
}

// proportion keeps ranges and items as the scalars of the whole were kept.
func (s Set) proportion(whole Quantities) Set {
	kept := s.Quantities()
	share := func(n uint64) uint64 {
		most := uint64(0)
		for name, milli := range whole.All {
			high, low := bits.Mul64(n, uint64(kept.Get(name)))
			part, rest := bits.Div64(high, low, uint64(milli))
			if rest > 0 {
				part++
			}
			most = max(most, part)
		}
		return most
	}
	out := Set{}
	for i, n := 0, s.len(); i < n; i++ {
		p := *s.at(i)
		p.ports = takeRanges(p.ports, share(countRanges(p.ports)))
		if p.more != nil {
			var values []value
			for _, v := range p.more.values {
				v.ranges = takeRanges(v.ranges, share(countRanges(v.ranges)))
				v.items = v.items[:share(uint64(len(v.items)))]
				if !v.empty() {
					values = append(values, v)
				}
			}
			p.more = newMore(values, p.more.volumes)
		}
		out.push(p)
	}
	return out
}
