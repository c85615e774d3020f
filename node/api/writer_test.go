package api

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"testing"
)

// TestLongAnswersAreWhole reads an answer of several chunks, with the length that it
// says it has and in JSONP.
func TestLongAnswersAreWhole(t *testing.T) {
	const n = 200_000
	var out writer
	out.array(func() {
		for i := range n {
			out.object(func() { out.key("number").int(i) })
		}
	})
	if len(out.chunks()) < 3 {
		t.Fatal(len(out.chunks()), "chunks")
	}
	for query, around := range map[string][2]string{"": {}, "?jsonp=f": {"f(", ");"}} {
		w := httptest.NewRecorder()
		if err := writeEncoded(w, httptest.NewRequest("GET", "/state"+query, nil), out.chunks()...); err != nil {
			t.Fatal(err)
		}
		body := w.Body.String()
		if got := w.Header().Get("Content-Length"); got != strconv.Itoa(len(body)) {
			t.Errorf("%q: %d bytes, said to be %s", query, len(body), got)
		}
		var list []struct{ Number int }
		if err := json.Unmarshal([]byte(body[len(around[0]):len(body)-len(around[1])]), &list); err != nil || len(list) != n {
			t.Fatalf("%q: %d elements, %v", query, len(list), err)
		}
		for i, e := range list {
			if e.Number != i {
				t.Fatalf("%q: element %d is %d", query, i, e.Number)
			}
		}
	}
}
