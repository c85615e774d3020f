package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
)

const (
	callers = 64  // of the noisy framework, each of which calls again at once
	asked   = 100 // calls of the quiet one, one after the other
)

// A framework that calls as fast as it can is told to slow down; one that does not is
// served as if it were alone, whichever node both of them call.
func TestNoisyFrameworkIsThrottledAndAQuietOneIsServed(t *testing.T) {
	t.Setenv("MUSTER_FRAMEWORK_QPS", "50")
	t.Setenv("MUSTER_FRAMEWORK_CAPACITY", "200")
	c := newCluster(t, 2)
	leader := c.settled()
	for _, d := range []*daemon{leader, c.other(leader)} {
		named := func(name string) func(*mesos.FrameworkInfo) {
			return func(info *mesos.FrameworkInfo) { info.Name, info.Principal = proto.String(name), proto.String(name) }
		}
		noisy, quiet := subscribe(t, d, client.Protobuf, named("noisy")), subscribe(t, d, client.JSON, named("quiet"))
		flood := make(chan struct{})
		var taken, refused atomic.Int64
		var flooding sync.WaitGroup
		for range callers {
			flooding.Go(func() {
				h := &http.Client{Timeout: patience, Transport: &http.Transport{}}
				defer h.CloseIdleConnections()
				for {
					select {
					case <-flood:
						return
					default:
					}
					switch code, again, text := revived(h, d, noisy); {
					case code == http.StatusAccepted:
						taken.Add(1)
					case code == http.StatusTooManyRequests && again > 0:
						refused.Add(1)
					default:
						t.Errorf("the noisy framework: %d, again in %d s: %s", code, again, text)
						return
					}
				}
			})
		}
		await(t, "a refusal", func() bool { return refused.Load() > 0 })
		before := taken.Load() + refused.Load()
		h := &http.Client{Timeout: patience, Transport: &http.Transport{}}
		for range asked {
			if code, _, text := revived(h, d, quiet); code != http.StatusAccepted {
				t.Fatalf("the quiet framework: %d %s", code, text)
			}
		}
		during := taken.Load() + refused.Load() - before
		close(flood)
		flooding.Wait()
		h.CloseIdleConnections()
		// Each of the noisy framework's connections gets about as much as the quiet one's only one;
		// behind a queue of theirs it would get a part of that.
		if share := float64(during) / asked; share > 4*callers {
			t.Errorf("%.0f calls of the noisy framework were answered for each of the quiet one", share)
		} else {
			t.Logf("at %s: %d taken, %d refused; %.0f answered for each call of the quiet framework", d.Name, taken.Load(), refused.Load(), share)
		}
		for name, want := range map[string]bool{
			"master/frameworks/noisy." + noisy.id() + "/calls_throttled": true,
			"master/frameworks/quiet." + quiet.id() + "/calls_throttled": false,
		} {
			if n, err := leader.Metric(t.Context(), name); err != nil || n > 0 != want {
				t.Errorf("%s is %g (%v)", name, n, err)
			}
		}
		if n, err := leader.Metric(t.Context(), "frameworks/quiet/messages_processed"); err != nil || n < asked {
			t.Errorf("%g messages of the quiet framework were processed (%v)", n, err)
		}
		if n, err := d.Metric(t.Context(), "gateway/calls_throttled"); err != nil || n < float64(refused.Load()) {
			t.Errorf("%s refused %g calls (%v)", d.Name, n, err)
		}
	}
}

// revived makes one call of a framework and returns the answer, with the seconds after
// which it may be made again.
func revived(h *http.Client, d *daemon, f *framework) (code, again int, text string) {
	body := fmt.Sprintf(`{"type":"REVIVE","framework_id":{"value":"%s"}}`, f.id())
	r, err := http.NewRequest(http.MethodPost, "http://"+d.API()+"/api/v1/scheduler", strings.NewReader(body))
	if err != nil {
		return 0, 0, err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(streamHeader, f.session.ID())
	resp, err := h.Do(r)
	if err != nil {
		return 0, 0, err.Error()
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, err.Error()
	}
	again, _ = strconv.Atoi(resp.Header.Get("Retry-After")) // none: 0
	return resp.StatusCode, again, string(said)
}
