package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the module's directory, seen from this one.
const root = "../.."

// topLevel names everything that may stand at the top, dot-files aside.
var topLevel = []string{
	"offers", "consensus", "p2p", "isolate", "telemetry", "node", "cmd", "deploy",
	"README.md", "Makefile", "go.mod", "go.sum", "LICENSE",
}

// mayImport gives for each folder the folders of ours that it may import, tests
// included. A folder may always import itself and what lies below it. The
// longest matching name counts.
var mayImport = map[string][]string{
	"offers":           {"offers/allocator", "offers/record", "offers/registry", "offers/view", "offers/protocol", "offers/resource", "offers/mesos"},
	"offers/mesos":     {},
	"offers/resource":  {"offers/mesos"},
	"offers/protocol":  {"offers/mesos"},
	"offers/registry":  {"offers/mesos", "offers/resource"},
	"offers/record":    {"offers/mesos", "offers/protocol", "offers/registry"},
	"offers/allocator": {"offers/mesos", "offers/resource"},
	"offers/view":      {"offers/mesos", "offers/resource", "offers/protocol"},

	"p2p":                {},
	"consensus":          {"offers/registry", "offers/mesos"},
	"consensus/elect":    {},
	"isolate":            {"offers/mesos", "offers/resource"},
	"telemetry":          {"offers/resource", "isolate/isolatetest"},
	"telemetry/estimate": {},

	"node":            {"offers", "consensus", "p2p", "isolate", "telemetry", "node"},
	"node/agent":      {"isolate", "telemetry", "offers/mesos", "offers/protocol", "offers/resource"},
	"node/master":     {"offers", "node/link", "node/recording"},
	"node/recording":  {"offers"},
	"node/link":       {"p2p", "offers/protocol", "offers/view", "offers/mesos"},
	"node/api":        {"offers", "node", "telemetry", "isolate"},
	"node/recordio":   {},
	"node/client":     {"node/recordio", "offers/mesos"},
	"node/sim":        {"offers", "node", "consensus", "telemetry/metrics", "telemetry/estimate"},
	"cmd":             {"node", "p2p", "consensus", "isolate", "telemetry", "offers"},
	"cmd/muster-shim": {"isolate"},
	"deploy/bench":    {"node/client", "node/sim", "offers/mesos", "deploy/e2e/cluster"},
	"deploy":          {"node/client", "node/recordio", "offers/mesos", "isolate/isolatetest"},
}

// onlyIn gives for a library the one folder that may import it.
var onlyIn = map[string]string{
	"github.com/opencontainers/runc": "isolate/runc",
	"github.com/cilium/ebpf":         "telemetry/bpf",
	"github.com/hashicorp/raft":      "consensus",
	"github.com/libp2p":              "p2p",
	"github.com/mesos/mesos-go":      "offers/mesos", // a comparison, in tests
}

// pureFolders decide without doing; offers with all that is below it.
var pureFolders = []string{"offers", "telemetry/estimate"}

// pure lists the packages that pureFolders may use: none of them does I/O, reads a
// clock or starts a goroutine. Generated code may use what it needs.
var pure = []string{
	"bytes", "cmp", "container/heap", "container/list", "embed", "encoding", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt",
	"hash/crc32", "hash/fnv", "hash/maphash", "iter", "maps", "math", "math/bits", "math/rand/v2", "net/netip", "net/url", "path", "reflect", "regexp", "regexp/syntax", "slices",
	"sort", "strconv", "strings", "time", "unicode", "unicode/utf8", "unicode/utf16", "crypto/sha256", "crypto/subtle",
}

type source struct {
	dir, file string
	imports   []string
	test      bool
	generated bool
	uses      []string // selectors on package time
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || hasOwnModule(p)) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		out = append(out, parse(t, p, filepath.ToSlash(rel)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d source files found below %s", len(out), root)
	}
	return out
}

func hasOwnModule(dir string) bool {
	if dir == root {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(t *testing.T, file, rel string) source {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	s := source{dir: path.Dir(rel), file: rel, test: strings.HasSuffix(rel, "_test.go")}
	s.generated = ast.IsGenerated(f)
	for _, i := range f.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		s.imports = append(s.imports, name)
	}
	for _, banned := range []string{"time.Now(", "time.Sleep(", "time.After(", "time.NewTimer(", "time.NewTicker(", "\tgo func"} {
		if strings.Contains(string(text), banned) {
			s.uses = append(s.uses, banned)
		}
	}
	return s
}

// longest returns the key of rules that names dir or the nearest folder above it.
func longest(rules map[string][]string, dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := rules[d]; ok {
			return d
		}
	}
	return ""
}

func below(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

func TestNothingUnknownAtTheTop(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || name == "bin" || name == "bench.json" {
			continue
		}
		if !slices.Contains(topLevel, name) {
			t.Errorf("%s: the top level holds only %s", name, strings.Join(topLevel, " "))
		}
	}
}

func TestFoldersImportOnlyWhatTheyMay(t *testing.T) {
	for _, s := range sources(t) {
		rule := longest(mayImport, s.dir)
		if rule == "" {
			t.Errorf("%s: no rule for folder %s", s.file, s.dir)
			continue
		}
		for _, i := range s.imports {
			ours, ok := strings.CutPrefix(i, "muster/")
			if !ok || below(ours, rule) || below(s.dir, ours) {
				continue
			}
			if !slices.ContainsFunc(mayImport[rule], func(f string) bool { return below(ours, f) }) {
				t.Errorf("%s imports %s: %s may import %v", s.file, i, rule, mayImport[rule])
			}
		}
	}
}

func TestLargeLibrariesHaveOneImporter(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.imports {
			for lib, folder := range onlyIn {
				if below(i, lib) && !below(s.dir, folder) {
					t.Errorf("%s imports %s, which only %s may", s.file, i, folder)
				}
			}
		}
	}
}

func TestTheCoreIsPure(t *testing.T) {
	for _, s := range sources(t) {
		folder := s.dir
		if below(s.dir, "offers") {
			folder = "offers"
		}
		if !slices.Contains(pureFolders, folder) || s.test || s.generated {
			continue
		}
		for _, i := range s.imports {
			if i == "sync/atomic" && below(s.dir, "offers/mesos") {
				continue // its table of plans for JSON: computed once, the same whoever computes it
			}
			if !below(i, "muster/offers") && !below(i, "google.golang.org/protobuf") && !slices.Contains(pure, i) {
				t.Errorf("%s imports %s: %s is pure", s.file, i, folder)
			}
		}
		for _, u := range s.uses {
			t.Errorf("%s uses %q: %s is pure", s.file, u, folder)
		}
	}
}

func TestEachPackageSaysWhatItIsFor(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test && !s.generated {
			seen[s.dir] = true
		}
	}
	for dir := range seen {
		if _, err := os.Stat(filepath.Join(root, dir, "doc.go")); err != nil {
			t.Errorf("%s: no doc.go", dir)
		}
	}
	for _, top := range []string{"offers", "consensus", "p2p", "isolate", "telemetry", "node", "cmd", "deploy"} {
		if _, err := os.Stat(filepath.Join(root, top, "DESIGN.md")); err != nil {
			t.Errorf("%s: no DESIGN.md", top)
		}
	}
}
