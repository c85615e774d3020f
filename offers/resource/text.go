package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// Parse reads "cpus:2;mem:1024;ports:[31000-32000];disk(role):10;zones:{a,b}",
// or a JSON array of Mesos resources. A role in parentheses is a static
// reservation; "cpus{REV}:1" is revocable. Empty text is the empty set.
func Parse(text string) (Set, error) {
	text = strings.TrimSpace(text)
	parse := parseSimple
	if strings.HasPrefix(text, "[") {
		parse = parseJSON
	}
	rs, err := parse(text)
	if err != nil {
		return Set{}, fmt.Errorf("parse resources: %w", err)
	}
	return FromProto(rs)
}

func parseJSON(text string) ([]*mesos.Resource, error) {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	rs := make([]*mesos.Resource, len(list))
	for i, raw := range list {
		rs[i] = &mesos.Resource{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, rs[i]); err != nil {
			return nil, err
		}
	}
	return rs, nil
}

func parseSimple(text string) ([]*mesos.Resource, error) {
	var rs []*mesos.Resource
	for token := range strings.SplitSeq(text, ";") {
		if token = strings.TrimSpace(token); token == "" {
			continue
		}
		r, err := parseToken(token)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", token, err)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// parseToken reads name, optionally (role) and {REV}, a colon and a value.
func parseToken(token string) (*mesos.Resource, error) {
	label, rest := token, ""
	if open := strings.IndexByte(token, '('); open >= 0 && open < strings.IndexByte(token, ':') {
		end := strings.IndexByte(token, ')')
		if end < open {
			return nil, errors.New("parentheses do not match")
		}
		label, rest = token[:open], token[end+1:]
		r, err := parseRest(label, rest)
		if err == nil {
			r.Role = proto.String(strings.TrimSpace(token[open+1 : end]))
		}
		return r, err
	}
	if i := strings.IndexAny(token, ":{"); i >= 0 {
		label, rest = token[:i], token[i:]
	}
	return parseRest(label, rest)
}

func parseRest(name, rest string) (*mesos.Resource, error) {
	r := &mesos.Resource{Name: proto.String(strings.TrimSpace(name))}
	rest = strings.TrimSpace(rest)
	if after, found := strings.CutPrefix(rest, "{REV}"); found {
		r.Revocable = &mesos.Resource_RevocableInfo{}
		rest = strings.TrimSpace(after)
	}
	text, found := strings.CutPrefix(rest, ":")
	if !found {
		return nil, errors.New("no ':' between name and value")
	}
	return r, parseValue(r, strings.TrimSpace(text))
}

func parseValue(r *mesos.Resource, text string) error {
	switch {
	case text == "":
		return errors.New("value is empty")
	case text[0] == '[' || text[0] == '{':
		closing := map[byte]byte{'[': ']', '{': '}'}[text[0]]
		if text[len(text)-1] != closing {
			return errors.New("brackets do not match")
		}
		inner := text[1 : len(text)-1]
		if text[0] == '[' {
			return parseRanges(r, inner)
		}
		r.Type, r.Set = mesos.Value_SET.Enum(), &mesos.Value_Set{}
		for item := range strings.SplitSeq(inner, ",") {
			if item = strings.TrimSpace(item); item != "" {
				r.Set.Item = append(r.Set.Item, item)
			}
		}
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "xXpP_") {
		return errors.New("value is neither a number, [ranges] nor a {set}")
	}
	r.Type, r.Scalar = mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: proto.Float64(v)}
	return nil
}

func parseRanges(r *mesos.Resource, inner string) error {
	r.Type, r.Ranges = mesos.Value_RANGES.Enum(), &mesos.Value_Ranges{}
	for text := range strings.SplitSeq(inner, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		from, to, found := strings.Cut(text, "-")
		if !found {
			to = from
		}
		begin, err := strconv.ParseUint(strings.TrimSpace(from), 10, 64)
		if err != nil {
			return fmt.Errorf("range %q: %w", text, err)
		}
		end, err := strconv.ParseUint(strings.TrimSpace(to), 10, 64)
		if err != nil {
			return fmt.Errorf("range %q: %w", text, err)
		}
		r.Ranges.Range = append(r.Ranges.Range, &mesos.Value_Range{Begin: &begin, End: &end})
	}
	return nil
}

// String is for people, in the form Mesos prints.
func (s Set) String() string {
	rs := s.Proto()
	if len(rs) == 0 {
		return "{}"
	}
	texts := make([]string, len(rs))
	for i, r := range rs {
		texts[i] = format(r)
	}
	return strings.Join(texts, "; ")
}

func format(r *mesos.Resource) string {
	var b strings.Builder
	b.WriteString(r.GetName())
	if r.AllocationInfo != nil {
		fmt.Fprintf(&b, "(allocated: %s)", r.AllocationInfo.GetRole())
	}
	if len(r.Reservations) > 0 {
		b.WriteString("(reservations: [")
		for i, reservation := range r.Reservations {
			if i > 0 {
				b.WriteByte(',')
			}
			formatReservation(&b, reservation)
		}
		b.WriteString("])")
	}
	if r.Disk != nil {
		formatDisk(&b, r.Disk)
	}
	if r.Revocable != nil {
		b.WriteString("{REV}")
	}
	if r.Shared != nil {
		b.WriteString("<SHARED>")
	}
	b.WriteByte(':')
	switch r.GetType() {
	case mesos.Value_SCALAR:
		b.WriteString(formatMilli(toMilli(r.Scalar.GetValue())))
	case mesos.Value_RANGES:
		b.WriteByte('[')
		for i, v := range r.Ranges.GetRange() {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%d-%d", v.GetBegin(), v.GetEnd())
		}
		b.WriteByte(']')
	case mesos.Value_SET:
		b.WriteString("{" + strings.Join(r.Set.GetItem(), ", ") + "}")
	}
	return b.String()
}

func formatReservation(b *strings.Builder, r *mesos.Resource_ReservationInfo) {
	fmt.Fprintf(b, "(%s,%s", r.GetType(), r.GetRole())
	if r.Principal != nil {
		b.WriteString("," + r.GetPrincipal())
	}
	if r.Labels != nil {
		b.WriteString(",{")
		for i, label := range r.Labels.GetLabels() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(label.GetKey())
			if label.Value != nil {
				b.WriteString(": " + label.GetValue())
			}
		}
		b.WriteByte('}')
	}
	b.WriteByte(')')
}

func formatDisk(b *strings.Builder, d *mesos.Resource_DiskInfo) {
	b.WriteByte('[')
	if s := d.Source; s != nil {
		b.WriteString(s.GetType().String())
		switch {
		case s.Id != nil || s.Profile != nil:
			fmt.Fprintf(b, "(%s,%s,%s)", s.GetVendor(), s.GetId(), s.GetProfile())
		case s.GetPath().GetRoot() != "":
			b.WriteString(":" + s.GetPath().GetRoot())
		case s.GetMount().GetRoot() != "":
			b.WriteString(":" + s.GetMount().GetRoot())
		}
		if d.Persistence != nil {
			b.WriteByte(',')
		}
	}
	b.WriteString(d.GetPersistence().GetId())
	if v := d.Volume; v != nil {
		b.WriteByte(':')
		if v.HostPath != nil {
			b.WriteString(v.GetHostPath() + ":")
		}
		b.WriteString(v.GetContainerPath())
		if v.HostPath != nil && v.Mode != nil {
			b.WriteString(":" + strings.ToLower(v.GetMode().String()))
		}
	}
	b.WriteByte(']')
}

// formatMilli prints thousandths without needless zeros.
func formatMilli(v int64) string {
	if v%Milli == 0 {
		return strconv.FormatInt(v/Milli, 10)
	}
	return strings.TrimRight(fmt.Sprintf("%d.%03d", v/Milli, v%Milli), "0")
}
