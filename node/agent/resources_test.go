package agent

import (
	"strings"
	"testing"

	"muster/offers/mesos"
)

func TestResourcesAreDetectedUnlessNamed(t *testing.T) {
	dir := t.TempDir()
	set, err := totalResources("cpus:7;gpus:1;mem(prod):100", dir)
	if err != nil {
		t.Fatal(err)
	}
	if set.Scalar("cpus") != 7000 || set.Scalar("gpus") != 1000 || set.Scalar("mem") != 100_000 || set.Scalar("disk") <= 0 {
		t.Errorf("resources %v", set)
	}
	if ports := set.Ranges("ports"); len(ports) != 1 || ports[0].Begin != 31000 || ports[0].End != 32000 {
		t.Errorf("ports %v", ports)
	}
	all, err := totalResources("", dir)
	if err != nil || all.Scalar("cpus") < 1000 || all.Scalar("mem") <= 0 {
		t.Errorf("resources %v, %v", all, err)
	}
	none, err := totalResources("cpus:1;mem:10;disk:0;ports:[1-2]", dir)
	if err != nil || none.Scalar("disk") != 0 {
		t.Errorf("resources %v, %v", none, err)
	}
	if _, err := totalResources("cpus:x", dir); err == nil {
		t.Error("bad text was taken")
	}
}

func TestWhatTheSystemKeeps(t *testing.T) {
	for _, c := range []struct{ total, kept, want uint64 }{{1500, 1024, 750}, {2048, 1024, 1024}, {8192, 1024, 7168}} {
		if got := leave(c.total, c.kept); got != c.want {
			t.Errorf("leave(%d, %d) is %d, want %d", c.total, c.kept, got, c.want)
		}
	}
}

func TestAttributes(t *testing.T) {
	as, err := parseAttributes("rack:abc; level:10;ports:[1-9,20-30];kinds:{a,b};url:http://x:1")
	if err != nil {
		t.Fatal(err)
	}
	want := []mesos.Value_Type{mesos.Value_TEXT, mesos.Value_SCALAR, mesos.Value_RANGES, mesos.Value_SET, mesos.Value_TEXT}
	if len(as) != len(want) {
		t.Fatalf("attributes %v", as)
	}
	for i, a := range as {
		if a.GetType() != want[i] {
			t.Errorf("%s is %v", a.GetName(), a.GetType())
		}
	}
	if as[2].GetRanges().GetRange()[1].GetEnd() != 30 || strings.Join(as[3].GetSet().GetItem(), "+") != "a+b" || as[4].GetText().GetValue() != "http://x:1" {
		t.Errorf("attributes %v", as)
	}
	one, err := parseAttributes(`[{"name":"rack","type":"TEXT","text":{"value":"a"}}]`)
	if err != nil || len(one) != 1 || one[0].GetText().GetValue() != "a" {
		t.Errorf("from JSON: %v, %v", one, err)
	}
	for _, bad := range []string{"rack", "rack:", ":a", "r:[1-]", "r:[1-2", "s:{a", `[{"name":"x"}]`, "[1"} {
		if _, err := parseAttributes(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
