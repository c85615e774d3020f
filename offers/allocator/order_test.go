package allocator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"muster/offers/resource"
)

func TestOrderOfManyStaysSorted(t *testing.T) {
	total := quantities(t, "cpus:1000;mem:1000")
	rapid.Check(t, func(t *rapid.T) {
		a := New(Config{})
		a.setTotal(total)
		o := &order{}
		items := make([]*item, rapid.IntRange(1, 600).Draw(t, "items"))
		for i := range items {
			items[i] = &item{name: fmt.Sprint(i), weight: 1}
			o.insert(items[i])
		}
		check := func() {
			if err := o.verify(a); err != nil {
				t.Fatal(err)
			}
		}
		check()
		some := rapid.IntRange(0, len(items)-1)
		for range rapid.IntRange(0, 30).Draw(t, "rounds") {
			for range rapid.IntRange(0, 40).Draw(t, "changes") {
				it := items[some.Draw(t, "item")]
				switch {
				case it.in == nil:
					o.insert(it)
				case rapid.IntRange(0, 3).Draw(t, "what") == 0:
					o.remove(it)
				default:
					it.adjust(resource.Quantities{}, it.allocated)
					q, err := resource.ParseQuantities(fmt.Sprintf("cpus:%d", rapid.IntRange(0, 5).Draw(t, "cpus")))
					if err != nil {
						t.Fatal(err)
					}
					it.adjust(q, resource.Quantities{})
					it.count++
				}
			}
			check()
		}
	})
}

func quantities(t testing.TB, text string) resource.Quantities {
	q, err := resource.ParseQuantities(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestDroppedRefusalsDoNotPileUp(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	total, err := resource.Parse("cpus:1;mem:64")
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{})
	a.AddFramework(now, "f", FrameworkOptions{Roles: []string{"*"}, Active: true})
	for i := range 100 {
		a.AddAgent(now, fmt.Sprint(i), AgentOptions{Total: total}, nil)
	}
	for i := range 200 {
		now = now.Add(time.Millisecond)
		offers := a.Allocate(now)
		if len(offers) != 100 {
			t.Fatalf("%d offers in round %d", len(offers), i)
		}
		refuse := time.Hour + time.Duration(i%7)*time.Minute
		for _, o := range offers {
			a.Recover(now, o.Framework, o.Agent, o.Resources, &refuse)
		}
		a.Revive(now, "f", nil)
	}
	if n := len(a.expiries); n > 2000 {
		t.Errorf("%d ends of refusals are kept, none is in force", n)
	}
	offers := slices.Clone(a.Allocate(now))
	for i, o := range offers {
		refuse := time.Duration(len(offers)-i) * time.Minute
		a.Recover(now, o.Framework, o.Agent, o.Resources, &refuse)
	}
	for i := len(offers) - 1; i >= 0; i-- {
		now = now.Add(time.Minute)
		if got := a.Allocate(now); len(got) != 1 || got[0].Agent != offers[i].Agent {
			t.Fatalf("refusals do not end in order: %v", got)
		}
	}
}
