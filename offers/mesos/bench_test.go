package mesos_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/scheduler"
)

// offers returns an OFFERS event as a framework gets it from n agents.
func offers(n int) *scheduler.Event {
	event := &scheduler.Event{Type: scheduler.Event_OFFERS.Enum(), Offers: &scheduler.Event_Offers{}}
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{
			Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(value)},
			Role: proto.String("*"), AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("web")},
		}
	}
	for i := range n {
		id := fmt.Sprintf("6b3a1f60-5b0c-4f2e-9f4c-0d9b6a1d7c11-%d", i)
		host := fmt.Sprintf("node%d.example.org", i)
		event.Offers.Offers = append(event.Offers.Offers, &mesos.Offer{
			Id: &mesos.OfferID{Value: &id}, FrameworkId: &mesos.FrameworkID{Value: proto.String("6b3a1f60-5b0c-4f2e-9f4c-0d9b6a1d7c11-0000")},
			AgentId: &mesos.AgentID{Value: &id}, Hostname: &host,
			Url: &mesos.URL{Scheme: proto.String("http"), Path: proto.String("/slave(1)"),
				Address: &mesos.Address{Hostname: &host, Ip: proto.String("10.0.0.1"), Port: proto.Int32(5051)}},
			AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("web")},
			Attributes:     []*mesos.Attribute{{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String("r1")}}},
			Resources: []*mesos.Resource{scalar("cpus", 7.5), scalar("mem", 30720), scalar("disk", 102400.125), {
				Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(),
				Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: proto.Uint64(31000), End: proto.Uint64(32000)}}},
			}},
		})
	}
	return event
}

// BenchmarkMarshalJSON1000Offers is to take 5 ms at most.
func BenchmarkMarshalJSON1000Offers(b *testing.B) {
	event := offers(1000)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = mesos.AppendJSON(buf[:0], event); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkUnmarshalJSON1000Offers(b *testing.B) {
	text, err := mesos.MarshalJSON(offers(1000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := mesos.UnmarshalJSON(text, &scheduler.Event{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal1000Offers(b *testing.B) {
	wire, err := proto.Marshal(offers(1000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		if err := mesos.Unmarshal(wire, &scheduler.Event{}); err != nil {
			b.Fatal(err)
		}
	}
}
