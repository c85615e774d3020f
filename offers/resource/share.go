package resource

// Share is one of n equal parts, rounded down: cpus to tenths, all else to whole
// units.
func (q Quantities) Share(n int) Quantities {
	out := Quantities{}
	for i, v := range q.base {
		unit := int64(Milli)
		if baseNames[i] == "cpus" {
			unit = Milli / 10
		}
		out.base[i] = v / int64(n) / unit * unit
	}
	for _, m := range q.more {
		if v := m.milli / int64(n) / Milli * Milli; v > 0 {
			out.more = append(out.more, quantity{m.name, v})
		}
	}
	return out
}
