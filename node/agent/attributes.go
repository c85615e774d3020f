package agent

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
)

// parseAttributes reads "rack:abc;level:10;ports:[1-9];kinds:{a,b}" or a JSON
// array of Attribute. Mesos: src/common/attributes.cpp, Attributes::parse.
func parseAttributes(text string) ([]*mesos.Attribute, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		return parseAttributesJSON(text)
	}
	var attributes []*mesos.Attribute
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		name, value, ok := strings.Cut(one, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("agent: attribute %q is not name:value", one)
		}
		a, err := parseAttribute(name, value)
		if err != nil {
			return nil, fmt.Errorf("agent: attribute %q: %w", one, err)
		}
		attributes = append(attributes, a)
	}
	return attributes, nil
}

func parseAttributesJSON(text string) ([]*mesos.Attribute, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("agent: attributes: %w", err)
	}
	var attributes []*mesos.Attribute
	for _, one := range raw {
		a := &mesos.Attribute{}
		if err := mesos.UnmarshalJSON(one, a); err != nil {
			return nil, fmt.Errorf("agent: attribute %s: %w", one, err)
		}
		if err := mesos.CheckRequired(a); err != nil {
			return nil, fmt.Errorf("agent: attribute %s: %w", one, err)
		}
		attributes = append(attributes, a)
	}
	return attributes, nil
}

func parseAttribute(name, value string) (*mesos.Attribute, error) {
	a := &mesos.Attribute{Name: &name}
	switch {
	case strings.HasPrefix(value, "["):
		a.Type, a.Ranges = mesos.Value_RANGES.Enum(), &mesos.Value_Ranges{}
		inner, ok := strings.CutSuffix(value[1:], "]")
		if !ok {
			return nil, fmt.Errorf("range without ]")
		}
		for _, one := range strings.Split(inner, ",") {
			begin, end, _ := strings.Cut(one, "-")
			b, err := strconv.ParseUint(strings.TrimSpace(begin), 10, 64)
			if err != nil {
				return nil, err
			}
			e, err := strconv.ParseUint(strings.TrimSpace(end), 10, 64)
			if err != nil {
				return nil, err
			}
			a.Ranges.Range = append(a.Ranges.Range, &mesos.Value_Range{Begin: &b, End: &e})
		}
	case strings.HasPrefix(value, "{"):
		a.Type, a.Set = mesos.Value_SET.Enum(), &mesos.Value_Set{}
		inner, ok := strings.CutSuffix(value[1:], "}")
		if !ok {
			return nil, fmt.Errorf("set without }")
		}
		for _, item := range strings.Split(inner, ",") {
			a.Set.Item = append(a.Set.Item, strings.TrimSpace(item))
		}
	default:
		if n, err := strconv.ParseFloat(value, 64); err == nil && n == n && n-n == 0 {
			a.Type, a.Scalar = mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: &n}
		} else {
			a.Type, a.Text = mesos.Value_TEXT.Enum(), &mesos.Value_Text{Value: proto.String(value)}
		}
	}
	return a, nil
}
