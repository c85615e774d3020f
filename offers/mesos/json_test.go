package mesos_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"muster/offers/mesos"
	"muster/offers/mesos/agent"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/mesos/scheduler"
)

func TestMarshalJSONWritesWhatMesosWrites(t *testing.T) {
	for name, c := range map[string]struct {
		message proto.Message
		want    string
	}{
		"explicit defaults of unset fields, but no deprecated ones": {
			&mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")},
			`{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}`,
		},
		"a deprecated field that is set": {
			&mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Role: proto.String("*")},
			`{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false,"role":"*"}`,
		},
		"the default of a required field": {
			&mesos.MasterInfo{Id: proto.String("m"), Ip: proto.Uint32(1)},
			`{"id":"m","ip":1,"port":5050}`,
		},
		"a default enum": {&mesos.NetworkInfo_IPAddress{}, `{"protocol":"IPv4"}`},
		"doubles always as decimals": {
			&mesos.Filters{RefuseSeconds: proto.Float64(5)}, `{"refuse_seconds":5.0}`,
		},
		"doubles in the shortest form": {
			&mesos.Filters{RefuseSeconds: proto.Float64(0.1)}, `{"refuse_seconds":0.1}`,
		},
		"huge doubles": {&mesos.Filters{RefuseSeconds: proto.Float64(1e300)}, `{"refuse_seconds":1e+300}`},
		"infinity":     {&mesos.Value_Scalar{Value: proto.Float64(math.Inf(1))}, `{"value":"Infinity"}`},
		"64-bit integers as numbers": {
			&mesos.Value_Range{Begin: proto.Uint64(0), End: proto.Uint64(math.MaxUint64)},
			`{"begin":0,"end":18446744073709551615}`,
		},
		"negative integers": {&mesos.TimeInfo{Nanoseconds: proto.Int64(math.MinInt64)}, `{"nanoseconds":-9223372036854775808}`},
		"bytes as base64":   {&mesos.UUID{Value: []byte{0xfb, 0xff, 0}}, `{"value":"+/8A"}`},
		"enums by name": {
			&mesos.TaskStatus{TaskId: &mesos.TaskID{Value: proto.String("t")}, State: mesos.TaskState_TASK_RUNNING.Enum()},
			`{"task_id":{"value":"t"},"state":"TASK_RUNNING"}`,
		},
		"no unnamed enum":  {&mesos.DrainInfo{State: mesos.DrainState(99).Enum()}, `{}`},
		"no empty list":    {&mesos.Labels{Labels: []*mesos.Label{}}, `{}`},
		"empty messages":   {&mesos.Resource{Shared: &mesos.Resource_SharedInfo{}}, `{"shared":{}}`},
		"a nil in a list":  {&mesos.Labels{Labels: []*mesos.Label{nil}}, `{"labels":[{}]}`},
		"names as in Java": {&mesos.IpStatistics{DefaultTTL: proto.Int64(1)}, `{"DefaultTTL":1}`},
		"maps in the order of keys": {
			&quota.QuotaConfig{Role: proto.String("r"), Limits: map[string]*mesos.Value_Scalar{
				"mem": {Value: proto.Float64(2)}, "cpus": {Value: proto.Float64(1)}}},
			`{"role":"r","limits":{"cpus":{"value":1.0},"mem":{"value":2.0}}}`,
		},
		"one member of a oneof": {
			&scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: "a"}},
			`{"attribute_name":"a"}`,
		},
		"an enum of a oneof": {
			&scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: 3}},
			`{"pseudoattribute_type":"ZONE"}`,
		},
		"durations as objects": {
			&master.Call_DrainAgent{MaxGracePeriod: &durationpb.Duration{Seconds: 600}},
			`{"max_grace_period":{"seconds":600},"mark_gone":false}`,
		},
		"no raw line break of any kind": {
			&mesos.Label{Key: proto.String("\n\r\u2028\u0085\x00\x7f\"\\/<é")},
			`{"key":"\n\r\u2028\u0085\u0000\u007f\"\\/<é"}`,
		},
		"bytes that are not text": {&mesos.Label{Key: proto.String("a\xffb")}, "{\"key\":\"a\uFFFDb\"}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mesos.MarshalJSON(c.message)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestUnmarshalJSONForgivesWhatMesosForgives(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want proto.Message
	}{
		"null":                         {`{"refuse_seconds":null}`, &mesos.Filters{}},
		"unknown fields of any kind":   {`{"a":{"b":[1,"}",{}]},"refuse_seconds":1,"c":"\"]"}`, &mesos.Filters{RefuseSeconds: proto.Float64(1)}},
		"white space":                  {" {\n\t\"refuse_seconds\" :\r1 } ", &mesos.Filters{RefuseSeconds: proto.Float64(1)}},
		"a quoted number":              {`{"refuse_seconds":"1.5"}`, &mesos.Filters{RefuseSeconds: proto.Float64(1.5)}},
		"infinity":                     {`{"refuse_seconds":"-Infinity"}`, &mesos.Filters{RefuseSeconds: proto.Float64(math.Inf(-1))}},
		"a quoted integer":             {`{"nanoseconds":"9223372036854775807"}`, &mesos.TimeInfo{Nanoseconds: proto.Int64(math.MaxInt64)}},
		"an integer as decimal":        {`{"nanoseconds":1.5e9}`, &mesos.TimeInfo{Nanoseconds: proto.Int64(1500000000)}},
		"an integer with a fraction":   {`{"nanoseconds":1.5}`, &mesos.TimeInfo{Nanoseconds: proto.Int64(1)}},
		"a quoted boolean":             {`{"mark_gone":"true"}`, &mesos.DrainConfig{MarkGone: proto.Bool(true)}},
		"an unknown optional enum":     {`{"type":"FOO"}`, &scheduler.Call{}},
		"an unknown enum in a list":    {`{"capabilities":["FOO","CHOWN"]}`, &mesos.CapabilityInfo{Capabilities: []mesos.CapabilityInfo_Capability{mesos.CapabilityInfo_CHOWN}}},
		"one value for a list":         {`{"roles":"a"}`, &scheduler.Call_Revive{Roles: []string{"a"}}},
		"null in a list":               {`{"roles":["a",null]}`, &scheduler.Call_Revive{Roles: []string{"a"}}},
		"escapes":                      {`{"roles":["\u00e9\ud83d\ude00\n\/"]}`, &scheduler.Call_Revive{Roles: []string{"é😀\n/"}}},
		"an escaped name":              {`{"r\u006fles":["a"]}`, &scheduler.Call_Revive{Roles: []string{"a"}}},
		"the last of equal names":      {`{"roles":["a"],"roles":["b"]}`, &scheduler.Call_Revive{Roles: []string{"b"}}},
		"bytes":                        {`{"value":"+/8A"}`, &mesos.UUID{Value: []byte{0xfb, 0xff, 0}}},
		"empty bytes":                  {`{"value":""}`, &mesos.UUID{Value: []byte{}}},
		"a map":                        {`{"role":"r","limits":{"cpus":{"value":1},"mem":null}}`, &quota.QuotaConfig{Role: proto.String("r"), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(1)}}}},
		"a oneof":                      {`{"pseudoattribute_type":"ZONE"}`, &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: 3}}},
		"an unknown enum of a oneof":   {`{"pseudoattribute_type":"FOO"}`, &scheduler.AttributeConstraint_Selector{}},
		"a message of a oneof":         {`{"exists":{}}`, &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_Exists_{Exists: &scheduler.AttributeConstraint_Predicate_Exists{}}}},
		"a duration":                   {`{"agent_id":{"value":"a"},"max_grace_period":{"seconds":600}}`, drain(600, 0)},
		"a duration in Mesos's units":  {`{"agent_id":{"value":"a"},"max_grace_period":"10mins"}`, drain(600, 0)},
		"a duration in protobuf's way": {`{"agent_id":{"value":"a"},"max_grace_period":"1.5s"}`, drain(1, 500000000)},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.want.ProtoReflect().New().Interface()
			if err := mesos.UnmarshalJSON([]byte(c.text), got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func drain(seconds int64, nanos int32) *master.Call_DrainAgent {
	return &master.Call_DrainAgent{
		AgentId:        &mesos.AgentID{Value: proto.String("a")},
		MaxGracePeriod: &durationpb.Duration{Seconds: seconds, Nanos: nanos},
	}
}

func TestUnmarshalJSONNamesWhatDoesNotFit(t *testing.T) {
	deep := strings.Repeat(`{"parent":`, 200) + "{}" + strings.Repeat("}", 200)
	for name, c := range map[string]struct {
		text string
		into proto.Message
		want string
	}{
		"nothing":                  {``, &scheduler.Call{}, "unexpected end of JSON input at byte 0"},
		"truncated":                {`{"type":"SUB`, &scheduler.Call{}, "unexpected end of JSON input at byte 12"},
		"not JSON":                 {`{"type":SUB}`, &scheduler.Call{}, "invalid character 'S' looking for beginning of value at byte 9"},
		"more after it":            {`{} {}`, &scheduler.Call{}, "invalid character '{' after top-level value at byte 4"},
		"not an object":            {`[]`, &scheduler.Call{}, "expecting a JSON object"},
		"an array":                 {`{"type":["ACCEPT"]}`, &scheduler.Call{}, "field 'type': not expecting a JSON array"},
		"an array in an array":     {`{"roles":[["a"]]}`, &scheduler.Call_Revive{}, "field 'roles[0]': not expecting a JSON array"},
		"an object for text":       {`{"roles":[{}]}`, &scheduler.Call_Revive{}, "field 'roles[0]': not expecting a JSON object"},
		"a number for text":        {`{"subscribe":{"framework_info":{"user":1}}}`, &scheduler.Call{}, "field 'subscribe.framework_info.user': not expecting a JSON number"},
		"a number for an enum":     {`{"type":1}`, &scheduler.Call{}, "field 'type': not expecting a JSON number"},
		"text for a message":       {`{"framework_id":"x"}`, &scheduler.Call{}, "field 'framework_id': not expecting a JSON string"},
		"text for a number":        {`{"refuse_seconds":"inf"}`, &mesos.Filters{}, "field 'refuse_seconds': not a number: 'inf'"},
		"a boolean for a number":   {`{"refuse_seconds":true}`, &mesos.Filters{}, "field 'refuse_seconds': not expecting a JSON boolean"},
		"text for a boolean":       {`{"mark_gone":"yes"}`, &mesos.DrainConfig{}, "field 'mark_gone': not a boolean: yes"},
		"too large for 32 bits":    {`{"port":2147483648}`, &mesos.Address{}, "field 'port': number out of range: 2147483648"},
		"a negative unsigned":      {`{"begin":-1,"end":1}`, &mesos.Value_Range{}, "field 'begin': number out of range: -1"},
		"too large a double":       {`{"refuse_seconds":1e999}`, &mesos.Filters{}, "field 'refuse_seconds': number out of range: 1e999"},
		"no base64":                {`{"value":"a"}`, &mesos.UUID{}, "field 'value': not base64: illegal base64 data at input byte 0"},
		"an unknown required enum": {`{"state":"FOO"}`, &mesos.TaskStatus{}, "field 'state': unknown value 'FOO'"},
		"a map that is a list":     {`{"limits":[]}`, &quota.QuotaConfig{}, "field 'limits': not expecting a JSON array"},
		"in a map":                 {`{"limits":{"cpus":1}}`, &quota.QuotaConfig{}, "field 'limits[cpus]': not expecting a JSON number"},
		"no duration":              {`{"max_grace_period":"10 fortnights"}`, &master.Call_DrainAgent{}, "field 'max_grace_period': not a duration: '10 fortnights'"},
		"too deep":                 {deep, &mesos.ContainerID{}, "nested deeper than 100 messages"},
		"missing fields": {`{"type":"SUBSCRIBE","subscribe":{"framework_info":{}}}`, &scheduler.Call{},
			"Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name"},
		"missing in lists": {`{"accept":{"offer_ids":[{"value":"1"},{}],"operations":[{"launch":{"task_infos":[{"name":"n"}]}}]}}`, &scheduler.Call{},
			"Missing required fields: accept.offer_ids[1].value, accept.operations[0].launch.task_infos[0].task_id, accept.operations[0].launch.task_infos[0].agent_id"},
		"missing in maps": {`{"role":"r","limits":{"cpus":{}}}`, &quota.QuotaConfig{}, "Missing required fields: limits[cpus].value"},
		"missing in a oneof": {`{"text_equals":{}}`, &scheduler.AttributeConstraint_Predicate{},
			"Missing required fields: text_equals.value"},
	} {
		t.Run(name, func(t *testing.T) {
			err := mesos.UnmarshalJSON([]byte(c.text), c.into)
			if err == nil || !strings.Contains(err.Error(), c.want) || (name != "too deep" && err.Error() != c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestSyntaxErrorsCanBeToldFromOthers(t *testing.T) {
	var syntax *mesos.SyntaxError
	if err := mesos.UnmarshalJSON([]byte(`{`), &scheduler.Call{}); !errors.As(err, &syntax) {
		t.Errorf("truncated: %v", err)
	}
	err := mesos.UnmarshalJSON([]byte(`{}`), &mesos.TaskID{})
	if errors.As(err, &syntax) || !errors.Is(err, mesos.ErrMissingRequired) {
		t.Errorf("missing: %v", err)
	}
}

func TestUnmarshalBoundsAndChecks(t *testing.T) {
	deep := &mesos.ContainerID{Value: proto.String("a")}
	for range 150 {
		deep = &mesos.ContainerID{Value: proto.String("a"), Parent: deep}
	}
	b, err := proto.Marshal(deep)
	if err != nil {
		t.Fatal(err)
	}
	if err := mesos.Unmarshal(b, &mesos.ContainerID{}); err == nil {
		t.Error("a message nested 150 deep was read")
	}
	err = mesos.Unmarshal(nil, &mesos.TaskID{})
	if err == nil || err.Error() != "Missing required fields: value" {
		t.Errorf("empty: %v", err)
	}
	// An enum's number that has no name is as good as missing.
	status := &mesos.TaskStatus{TaskId: &mesos.TaskID{Value: proto.String("t")}, State: mesos.TaskState(77).Enum()}
	if err := mesos.CheckRequired(status); err == nil || err.Error() != "Missing required fields: state" {
		t.Errorf("unnamed enum: %v", err)
	}
	known, unknown := mesos.CapabilityInfo_CHOWN, mesos.CapabilityInfo_Capability(77)
	linux := &mesos.LinuxInfo{IpcMode: mesos.LinuxInfo_IpcMode(77).Enum(), EffectiveCapabilities: &mesos.CapabilityInfo{
		Capabilities: []mesos.CapabilityInfo_Capability{unknown, known, unknown}}}
	if b, err = proto.Marshal(linux); err != nil {
		t.Fatal(err)
	}
	if err := mesos.Unmarshal(b, linux); err != nil || linux.IpcMode != nil || !slices.Equal(linux.GetEffectiveCapabilities().GetCapabilities(), []mesos.CapabilityInfo_Capability{known}) {
		t.Errorf("unnamed optional enums: %v, %v", linux, err)
	}
	many := &scheduler.Call{Accept: &scheduler.Call_Accept{OfferIds: make([]*mesos.OfferID, 1000)}}
	if err := mesos.CheckRequired(many); err == nil || len(err.Error()) > 2000 || !strings.HasSuffix(err.Error(), ", ...") {
		t.Errorf("many missing: %v", err)
	}
}

func TestWhatIsNoGeneratedMessageIsRefused(t *testing.T) {
	if _, err := mesos.MarshalJSON(nil); err == nil {
		t.Error("nil was written")
	}
	if err := mesos.UnmarshalJSON([]byte(`{}`), (*scheduler.Call)(nil)); err == nil {
		t.Error("nil was read into")
	}
	if b, err := mesos.MarshalJSON((*agent.Call)(nil)); err != nil || string(b) != "{}" {
		t.Errorf("a nil message: %s, %v", b, err)
	}
}
