package mesos_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/agent"
	"muster/offers/mesos/executor"
	"muster/offers/mesos/master"
	"muster/offers/mesos/scheduler"
)

// calls returns an empty message of each type that clients send.
func calls() []proto.Message {
	return []proto.Message{&scheduler.Call{}, &executor.Call{}, &master.Call{}, &agent.Call{}, &mesos.Resource{}}
}

func seeds() []string {
	return []string{
		`{}`, `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","capabilities":[{"type":"MULTI_ROLE"}],"roles":["a"]}}}`,
		`{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":"1.5"}},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}],"command":{"value":"\u0041\n"},"limits":{"mem":{"value":"Infinity"}}}]}}]}}`,
		`{"type":"ACKNOWLEDGE","acknowledge":{"uuid":"AAECAwQFBgcICQoLDA0ODw=="}}`,
		`{"type":"UPDATE_QUOTA","update_quota":{"force":null,"quota_configs":[{"role":"r","limits":{"cpus":{"value":1e3}}}]}}`,
		`{"container_id":{"parent":{"parent":{"value":"x"}}},"type":[`, `[`, `{"a":[{"b":"]}`, `{"type":"\ud800"}`,
	}
}

// FuzzUnmarshalJSON wants no panic, and what was read to be written and read
// the same again.
func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range calls() {
			if err := mesos.UnmarshalJSON(b, m); err == nil {
				reread(t, m)
			}
		}
	})
}

// FuzzUnmarshal does so for the protobuf format.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range seeds() {
		for _, m := range calls() {
			if mesos.UnmarshalJSON([]byte(seed), m) != nil {
				continue
			}
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range calls() {
			if err := mesos.Unmarshal(b, m); err != nil {
				continue
			}
			if _, err := proto.Marshal(m); err != nil {
				t.Fatal(err)
			}
			text, err := mesos.MarshalJSON(m)
			if err != nil || !json.Valid(text) {
				t.Fatalf("%v: %s", err, text)
			}
		}
	})
}

func reread(t *testing.T, m proto.Message) {
	t.Helper()
	text, err := mesos.MarshalJSON(m)
	if err != nil {
		t.Fatal(err)
	}
	again := m.ProtoReflect().New().Interface()
	if err := mesos.UnmarshalJSON(text, again); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := equal(m, again); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
