package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// A framework says which hosts it wants, changes its mind, and people ask why it
// hears of nothing: all by hand, as curl would.
func TestConstraintsAndExplanations(t *testing.T) {
	c := newCluster(t, 2)
	near := c.other(c.settled())
	wanted, other := c.Daemons[0], c.Daemons[1]
	url := "http://" + near.API() + "/api/v1/scheduler"
	host := func(predicate string) string {
		return `"offer_constraints":{"role_constraints":{"*":{"groups":[{"attribute_constraints":[
		 {"selector":{"pseudoattribute_type":"HOSTNAME"},"predicate":` + predicate + `}]}]}}}`
	}
	info := `"framework_info":{"user":"root","name":"picky","failover_timeout":600`

	stream, id := subscribeByHand(t, url, `{"type":"SUBSCRIBE","subscribe":{`+info+`},`+host(`{"text_equals":{"value":"`+wanted.IP+`"}}`)+`}}`)
	framework := value(until(stream, "SUBSCRIBED")["framework_id"])
	first := offersOf(until(stream, "OFFERS"))
	if len(first) != 1 || first[0]["hostname"] != wanted.IP {
		t.Fatalf("offered %v", first)
	}
	explain := func(args ...string) string {
		return string(near.muster(append([]string{"explain", "picky", "--api", near.API()}, args...)...))
	}
	if text := explain(); !strings.Contains(text, "has not answered 1 offer") || !strings.Contains(text, `HOSTNAME is "`+wanted.IP+`"`) {
		t.Errorf("muster explain: %s", text)
	}
	if code, text := get(t, "http://"+near.API()+"/muster/v1/explain?framework=picky&agent="+other.IP); code != http.StatusOK ||
		!strings.Contains(text, `"reason":"constraint"`) || !strings.Contains(text, `"hostname":"`+other.IP+`"`) {
		t.Errorf("explain of one agent: %d %s", code, text)
	}
	if _, text := get(t, "http://"+near.API()+"/hierarchical-allocator(1)/offer_constraints_debug"); !strings.Contains(text, `"excluded_by_attribute_constraints":{"*":["`) {
		t.Errorf("offer_constraints_debug: %s", text)
	}
	if code, text := post(t, "http://"+near.API()+"/api/v1", "", `{"type":"GET_FRAMEWORKS"}`); code != http.StatusOK || !strings.Contains(text, `"offer_constraints":{"role_constraints"`) {
		t.Errorf("GET_FRAMEWORKS: %d %s", code, text)
	}

	call := func(want int, said, body string) {
		t.Helper()
		if code, text := post(t, url, id, `{"framework_id":{"value":"`+framework+`"},`+body+`}`); code != want || !strings.Contains(text, said) {
			t.Fatalf("%s: %d %s", body, code, text)
		}
	}
	same := info + `,"id":{"value":"` + framework + `"}}`
	call(http.StatusBadRequest, "Regex '(a+){50}' is too complex", `"type":"UPDATE_FRAMEWORK","update_framework":{`+same+`,`+host(`{"text_matches":{"regex":"(a+){50}"}}`)+`}`)
	call(http.StatusOK, "", `"type":"UPDATE_FRAMEWORK","update_framework":{`+same+`}`)
	second := offersOf(until(stream, "OFFERS"))
	if len(second) != 1 || second[0]["hostname"] != other.IP {
		t.Fatalf("offered %v", second)
	}
	call(http.StatusAccepted, "", `"type":"DECLINE","decline":{"offer_ids":[{"value":"`+value(first[0]["id"])+`"},{"value":"`+value(second[0]["id"])+`"}],"filters":{"refuse_seconds":1000}}`)
	if text := explain("-o", "json"); !strings.Contains(text, `"reason": "refused"`) || !strings.Contains(text, `"ends_seconds": 9`) {
		t.Errorf("after declining: %s", text)
	}
	call(http.StatusBadRequest, "'request.requests[0]'", `"type":"REQUEST","request":{"requests":[{}]}`)
	call(http.StatusAccepted, "", `"type":"REQUEST","request":{"requests":[{"agent_id":`+`{"value":"`+value(second[0]["agent_id"])+`"}}]}`)
	call(http.StatusAccepted, "", `"type":"REVIVE"`)
	if again := offersOf(until(stream, "OFFERS")); len(again) != 1 || again[0]["hostname"] != other.IP {
		t.Fatalf("offered %v", again)
	}
	if text := explain("--agent", wanted.IP); !strings.Contains(text, "not_requested") || !strings.Contains(text, "It asked for anything on agent") {
		t.Errorf("after REQUEST: %s", text)
	}
	call(http.StatusAccepted, "", `"type":"TEARDOWN"`)

	bad, _ := subscribeByHand(t, url, `{"type":"SUBSCRIBE","subscribe":{`+info+`},`+host(`{}`)+`}}`)
	if e := until(bad, "ERROR"); !strings.Contains(e["message"].(string), "Offer constraints are not valid") {
		t.Errorf("a SUBSCRIBE with bad constraints: %v", e)
	}
}

// until reads events up to one of the kind and returns what it carries.
func until(next func() map[string]any, kind string) map[string]any {
	for {
		if e := next(); e["type"] == kind {
			return e[strings.ToLower(kind)].(map[string]any)
		}
	}
}

func offersOf(event map[string]any) []map[string]any {
	var out []map[string]any
	for _, o := range event["offers"].([]any) {
		out = append(out, o.(map[string]any))
	}
	return out
}
