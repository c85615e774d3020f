package bpf

import (
	"errors"
	"testing"
)

func TestMountThatShowsMostIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		text        string
		mount, root string
	}{
		"unified": {"24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "/sys/fs/cgroup", "/"},
		"hybrid": {"30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
			"31 1 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified", "/"},
		"bind mount first": {"31 1 0:27 /a/b /mnt rw - cgroup2 none rw\n32 1 0:27 /a /cg rw - cgroup2 none rw\n", "/cg", "/a"},
	} {
		h, err := parseMounts(c.text)
		if err != nil || h.mount != c.mount || h.root != c.root {
			t.Errorf("%s: %+v %v", name, h, err)
		}
	}
	for _, text := range []string{"", "cgroup2", "1 2 3 - cgroup2 x", "30 1 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"} {
		if h, err := parseMounts(text); err == nil {
			t.Errorf("%q gave %+v", text, h)
		}
	}
}

func TestLevelOfADirectory(t *testing.T) {
	host := hierarchy{mount: "/sys/fs/cgroup/unified", root: "/"}
	inside := hierarchy{mount: "/sys/fs/cgroup", root: "/", above: 3} // in a cgroup namespace
	outside := hierarchy{mount: "/cg", root: "/../..", above: 3}      // mounted in another one
	for _, c := range []struct {
		h    hierarchy
		dir  string
		want int
	}{
		{host, "/sys/fs/cgroup/unified/muster/a", 2},
		{host, "/sys/fs/cgroup/unified/muster/../x/", 1},
		{inside, "/sys/fs/cgroup/muster/a", 5},
		{inside, "/sys/fs/cgroup", 3},
		{outside, "/cg/a", 2},
	} {
		if got, err := c.h.level(c.dir); err != nil || got != c.want {
			t.Errorf("%s is at %d, not %d: %v", c.dir, got, c.want, err)
		}
	}
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpu/a", "relative"} {
		if got, err := host.level(dir); err == nil {
			t.Errorf("%s is at %d", dir, got)
		}
	}
}

func TestDeepestLevelsComeFirst(t *testing.T) {
	l := levels{2: 5, 4: 1, 3: 1}
	if got, err := l.deepestFirst(); err != nil || got != [maxLevels]uint32{4, 3, 2} {
		t.Errorf("%v %v", got, err)
	}
	l.remove(4)
	l.remove(2)
	if got, err := l.deepestFirst(); err != nil || got != [maxLevels]uint32{3, 2} {
		t.Errorf("%v %v", got, err)
	}
	l[7], l[8], l[9] = 1, 1, 1
	if _, err := l.deepestFirst(); !errors.Is(err, ErrLevels) {
		t.Errorf("got %v", err)
	}
}
