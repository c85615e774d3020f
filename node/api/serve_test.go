package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"muster/offers/mesos"
	"muster/offers/view"
)

// pipes is a listener of connections in memory, so that they live in virtual time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// dial opens a connection of a client.
func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// serving runs a server in virtual time.
func serving(t *testing.T, f func(t *testing.T, w *world, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newWorld(t).populate(), newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Serve(ctx, p, w.handler, 100, nil) }()
		f(t, w, p)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// ask writes a raw request and returns the answer; nil if the server hung up.
func ask(t *testing.T, c net.Conn, raw string) *http.Response {
	t.Helper()
	go io.WriteString(c, raw) // the server may answer before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	return resp
}

const health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

func TestClientThatSaysNothingIsLeft(t *testing.T) {
	for name, drip := range map[string]string{"nothing": "", "a header that never ends": "GET / HTTP/1.1\r\nX: "} {
		t.Run(name, func(t *testing.T) {
			serving(t, func(t *testing.T, w *world, p *pipes) {
				c := p.dial()
				began := time.Now()
				var dripping sync.WaitGroup
				defer dripping.Wait()
				defer c.Close()
				dripping.Go(func() {
					for _, err := io.WriteString(c, drip); err == nil && drip != ""; _, err = io.WriteString(c, "x") {
						time.Sleep(time.Second)
					}
				})
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > headerTimeout+time.Second {
					t.Fatalf("left after %s", took)
				}
			})
		})
	}
}

func TestRequestsThatAreTooLarge(t *testing.T) {
	deep := strings.Repeat(`{"accept":`, 200_000)
	for name, c := range map[string]struct {
		raw  string
		code int
	}{
		"a header bomb":        {"GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n", 431},
		"many headers":         {"GET /health HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 50_000) + "\r\n", 431},
		"a body that is named": {fmt.Sprintf("POST /api/v1 HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n", jsonType, maxBody+1) + strings.Repeat(" ", maxBody+1), 413},
		"a body without end": {"POST /api/v1 HTTP/1.1\r\nHost: x\r\n" + jsonType + "\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("100000\r\n"+strings.Repeat(" ", 1<<20)+"\r\n", 20), 413},
		"deep JSON":         {fmt.Sprintf("POST /api/v1 HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n%s", jsonType, len(deep), deep), 400},
		"a bad header":      {"GET /health HTTP/1.1\r\nHost: x\r\nX\x00: y\r\n\r\n", 400},
		"two lengths":       {"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		"what is no HTTP":   {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"a negative length": {"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			serving(t, func(t *testing.T, w *world, p *pipes) {
				conn := p.dial()
				resp := ask(t, conn, c.raw)
				if resp == nil || resp.StatusCode != c.code {
					t.Fatalf("%+v, want %d", resp, c.code)
				}
				conn.Close()
				other := p.dial()
				defer other.Close()
				if resp := ask(t, other, health); resp == nil || resp.StatusCode != 200 {
					t.Fatal("the next client got no answer")
				}
			})
		})
	}
}

func TestBodyThatIsCutShort(t *testing.T) {
	serving(t, func(t *testing.T, w *world, p *pipes) {
		c := p.dial()
		if _, err := io.WriteString(c, "POST /api/v1 HTTP/1.1\r\nHost: x\r\n"+jsonType+"\r\nContent-Length: 100\r\n\r\n{\"type\":"); err != nil {
			t.Fatal(err)
		}
		c.Close()
		c = p.dial() // and one that stays, with a body that never comes
		defer c.Close()
		began := time.Now()
		resp := ask(t, c, "POST /api/v1 HTTP/1.1\r\nHost: x\r\n"+jsonType+"\r\nContent-Length: 100\r\n\r\n{\"type\":")
		if resp == nil || resp.StatusCode != 400 || time.Since(began) > bodyTimeout+time.Second {
			t.Fatalf("%+v after %s", resp, time.Since(began))
		}
	})
}

func TestReaderThatDoesNotReadLosesItsConnection(t *testing.T) {
	serving(t, func(t *testing.T, w *world, p *pipes) {
		w.views.Apply(view.TaskEvent(taskFact("F1", strings.Repeat("x", 1<<20), mesos.TaskState_TASK_RUNNING, 1), nil, false))
		c := p.dial()
		defer c.Close()
		began := time.Now()
		if _, err := io.WriteString(c, "GET /state HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		other := p.dial()
		defer other.Close()
		if resp := ask(t, other, health); resp == nil {
			t.Fatal("another client got no answer")
		}
		pass(streamWrite + time.Second)
		if _, err := io.ReadAll(c); err == nil && time.Since(began) < streamWrite {
			t.Fatal("the reader was waited for")
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Fatal("the connection is still there")
		}
	})
}

func TestSlowEventReaderIsCutOff(t *testing.T) {
	serving(t, func(t *testing.T, w *world, p *pipes) {
		w.lead()
		c := p.dial()
		defer c.Close()
		resp := ask(t, c, fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n%s", jsonType, len(subscribeJSON), subscribeJSON))
		if resp == nil || resp.StatusCode != 200 {
			t.Fatalf("%+v", resp)
		}
		pass(heartbeatInterval + streamWrite + time.Second) // the first heartbeat waits for a reader
		if n := w.gateway.Counts().Sessions; n != 0 {
			t.Fatalf("%d sessions are open", n)
		}
	})
}

func TestStreamOutlivesTheTimesOfARequest(t *testing.T) {
	serving(t, func(t *testing.T, w *world, p *pipes) {
		w.lead()
		c := p.dial()
		defer c.Close()
		resp := ask(t, c, fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n%s", jsonType, len(subscribeJSON), subscribeJSON))
		beats := make(chan int, 1)
		go func() {
			b, _ := io.ReadAll(resp.Body) // ends with the server
			beats <- strings.Count(string(b), "HEARTBEAT")
		}()
		pass(time.Hour)
		if n := w.gateway.Counts().Sessions; n != 1 {
			t.Fatalf("%d sessions after an hour", n)
		}
		c.Close()
		if n := <-beats; n < 239 {
			t.Fatalf("%d heartbeats in an hour", n)
		}
	})
}

func TestListenerHoldsABoundedNumberOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l := newLimited(p, 2)
		accepted := make(chan net.Conn, 3)
		failed := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				accepted <- c
			}
		}()
		p.dial()
		p.dial()
		synctest.Wait()
		one := <-accepted
		go p.dial()
		synctest.Wait()
		if len(accepted) != 1 {
			t.Fatalf("%d connections beyond the bound", len(accepted)-1)
		}
		one.Close()
		one.Close() // frees its place once
		synctest.Wait()
		if len(accepted) != 2 {
			t.Fatal("a place that became free is not used")
		}
		l.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	})
}

func TestServeEndsWithItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := newWorld(t).lead(), newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Serve(ctx, p, w.handler, 100, nil) }()
		c := p.dial()
		defer c.Close()
		resp := ask(t, c, fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n%s", jsonType, len(subscribeJSON), subscribeJSON))
		if resp == nil {
			t.Fatal("no stream")
		}
		go io.Copy(io.Discard, resp.Body)
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(began) > 2*drainTimeout {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
	})
}
