package mesos_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"testing"

	lib "github.com/mesos/mesos-go/api/v1/lib"
	libagent "github.com/mesos/mesos-go/api/v1/lib/agent"
	libexecutor "github.com/mesos/mesos-go/api/v1/lib/executor"
	libmaintenance "github.com/mesos/mesos-go/api/v1/lib/maintenance"
	libmaster "github.com/mesos/mesos-go/api/v1/lib/master"
	libquota "github.com/mesos/mesos-go/api/v1/lib/quota"
	libscheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"muster/offers/mesos"
	"muster/offers/mesos/agent"
	"muster/offers/mesos/executor"
	"muster/offers/mesos/maintenance"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/mesos/scheduler"
)

// theirs is a message of mesos-go.
type theirs interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// twin is a message type that both sides have.
type twin struct {
	ours   func() proto.Message
	theirs func() theirs
	random func(r *rand.Rand) theirs
}

func twins() map[string]twin {
	return map[string]twin{
		"scheduler.Call":  pair[scheduler.Call](func() theirs { return &libscheduler.Call{} }, func(r *rand.Rand) theirs { return libscheduler.NewPopulatedCall(r, false) }),
		"scheduler.Event": pair[scheduler.Event](func() theirs { return &libscheduler.Event{} }, func(r *rand.Rand) theirs { return libscheduler.NewPopulatedEvent(r, false) }),
		"executor.Call":   pair[executor.Call](func() theirs { return &libexecutor.Call{} }, func(r *rand.Rand) theirs { return libexecutor.NewPopulatedCall(r, false) }),
		"executor.Event":  pair[executor.Event](func() theirs { return &libexecutor.Event{} }, func(r *rand.Rand) theirs { return libexecutor.NewPopulatedEvent(r, false) }),
		"master.Call":     pair[master.Call](func() theirs { return &libmaster.Call{} }, func(r *rand.Rand) theirs { return libmaster.NewPopulatedCall(r, false) }),
		"master.Response": pair[master.Response](func() theirs { return &libmaster.Response{} }, func(r *rand.Rand) theirs { return libmaster.NewPopulatedResponse(r, false) }),
		"master.Event":    pair[master.Event](func() theirs { return &libmaster.Event{} }, func(r *rand.Rand) theirs { return libmaster.NewPopulatedEvent(r, false) }),
		"agent.Call":      pair[agent.Call](func() theirs { return &libagent.Call{} }, func(r *rand.Rand) theirs { return libagent.NewPopulatedCall(r, false) }),
		"agent.Response":  pair[agent.Response](func() theirs { return &libagent.Response{} }, func(r *rand.Rand) theirs { return libagent.NewPopulatedResponse(r, false) }),
		"agent.ProcessIO": pair[agent.ProcessIO](func() theirs { return &libagent.ProcessIO{} }, func(r *rand.Rand) theirs { return libagent.NewPopulatedProcessIO(r, false) }),
		"quota.Status":    pair[quota.QuotaStatus](func() theirs { return &libquota.QuotaStatus{} }, func(r *rand.Rand) theirs { return libquota.NewPopulatedQuotaStatus(r, false) }),
		"maintenance":     pair[maintenance.ClusterStatus](func() theirs { return &libmaintenance.ClusterStatus{} }, func(r *rand.Rand) theirs { return libmaintenance.NewPopulatedClusterStatus(r, false) }),
		"Offer":           pair[mesos.Offer](func() theirs { return &lib.Offer{} }, func(r *rand.Rand) theirs { return lib.NewPopulatedOffer(r, false) }),
		"TaskInfo":        pair[mesos.TaskInfo](func() theirs { return &lib.TaskInfo{} }, func(r *rand.Rand) theirs { return lib.NewPopulatedTaskInfo(r, false) }),
		"ResourceUsage":   pair[mesos.ResourceUsage](func() theirs { return &lib.ResourceUsage{} }, func(r *rand.Rand) theirs { return lib.NewPopulatedResourceUsage(r, false) }),
	}
}

func pair[M any, P interface {
	*M
	proto.Message
}](theirs func() theirs, random func(*rand.Rand) theirs) twin {
	return twin{ours: func() proto.Message { return P(new(M)) }, theirs: theirs, random: random}
}

// TestMesosGoAndMusterReadEachOther sends random messages of mesos-go's to ours
// and back, by each pair of formats, and wants the same message everywhere.
func TestMesosGoAndMusterReadEachOther(t *testing.T) {
	rounds := 15
	if testing.Short() {
		rounds = 3
	}
	for name, tw := range twins() {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewSource(1))
			for range rounds {
				if err := tw.roundTrip(r); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func (tw twin) roundTrip(r *rand.Rand) error {
	original, want, err := tw.both(r)
	if err != nil {
		return err
	}

	text, err := json.Marshal(original)
	if err != nil {
		return fmt.Errorf("mesos-go writes JSON: %w", err)
	}
	got := tw.ours()
	if err := mesos.UnmarshalJSON(text, got); err != nil {
		return fmt.Errorf("we read JSON: %w\n%s", err, text)
	}
	if err := equal(want, got); err != nil {
		return fmt.Errorf("their JSON, read by us: %w\n%s", err, text)
	}

	back := tw.theirs()
	if text, err = mesos.MarshalJSON(want); err != nil {
		return err
	}
	if err := json.Unmarshal(text, back); err != nil {
		return fmt.Errorf("mesos-go reads our JSON: %w\n%s", err, text)
	}
	if err := tw.same(back, want); err != nil {
		return fmt.Errorf("our JSON, read by mesos-go: %w\n%s", err, text)
	}

	back = tw.theirs()
	wire, err := proto.Marshal(want)
	if err != nil {
		return err
	}
	if err := back.Unmarshal(wire); err != nil {
		return fmt.Errorf("mesos-go reads our protobuf: %w", err)
	}
	if err := tw.same(back, want); err != nil {
		return fmt.Errorf("our protobuf, read by mesos-go: %w", err)
	}
	return nil
}

// both returns a random message of mesos-go and what we read of its protobuf.
func (tw twin) both(r *rand.Rand) (theirs, proto.Message, error) {
	original := tw.random(r)
	wire, err := original.Marshal()
	if err != nil {
		return nil, nil, fmt.Errorf("mesos-go writes protobuf: %w", err)
	}
	want, err := tw.decode(wire)
	if err != nil {
		return nil, nil, fmt.Errorf("we read protobuf: %w", err)
	}
	// mesos-go's JSON loses bytes that are required and empty.
	fillEmptyBytes(want.ProtoReflect())
	if wire, err = proto.Marshal(want); err != nil {
		return nil, nil, err
	}
	original = tw.theirs()
	return original, want, original.Unmarshal(wire)
}

func fillEmptyBytes(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Kind() == protoreflect.BytesKind && m.Has(fd) && len(m.Get(fd).Bytes()) == 0 {
			m.Set(fd, protoreflect.ValueOfBytes([]byte{1}))
		}
	}
	messages(m, fillEmptyBytes)
}

// decode reads protobuf that mesos-go wrote and finds nothing unknown in it.
func (tw twin) decode(wire []byte) (proto.Message, error) {
	m := tw.ours()
	if err := proto.Unmarshal(wire, m); err != nil {
		return nil, err
	}
	if err := mesos.CheckRequired(m); err != nil {
		return nil, err
	}
	return m, unknown(m.ProtoReflect())
}

func (tw twin) same(their theirs, want proto.Message) error {
	wire, err := their.Marshal()
	if err != nil {
		return err
	}
	got, err := tw.decode(wire)
	if err != nil {
		return err
	}
	return equal(want, got)
}

// equal compares two messages; explaining a difference is slow, so it is done
// only when there is one.
func equal(want, got proto.Message) error {
	want, got = normal(want), normal(got)
	if proto.Equal(want, got) {
		return nil
	}
	return fmt.Errorf("differs: %s", cmp.Diff(want, got, protocmp.Transform()))
}

// unknown says where a message holds fields that its type does not know.
func unknown(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s has unknown fields %x", m.Descriptor().FullName(), m.GetUnknown())
	}
	messages(m, func(inner protoreflect.Message) {
		if err == nil {
			err = unknown(inner)
		}
	})
	return err
}

// messages calls do for every message directly in m.
func messages(m protoreflect.Message, do func(protoreflect.Message)) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				do(v.Message())
				return true
			})
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				do(v.List().Get(i).Message())
			}
		case fd.Message() != nil && !fd.IsMap():
			do(v.Message())
		}
		return true
	})
}

// normal returns a copy of m that has every explicit default filled in: a
// reader of Mesos's JSON cannot tell a default that was set from one that was not.
func normal(m proto.Message) proto.Message {
	m = proto.Clone(m)
	fillDefaults(m.ProtoReflect())
	return m
}

func fillDefaults(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.HasDefault() && !m.Has(fd) {
			m.Set(fd, fd.Default())
		}
	}
	messages(m, fillDefaults)
}
