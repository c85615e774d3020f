package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/node/client"
	"muster/offers/mesos"
)

const (
	idlers  = 10_000
	readers = 4
	bound   = 512 << 20 // bytes of a daemon that bears all of it
)

// Whatever others do, a framework at work goes on, and the daemon stays small.
func flood(t *testing.T, d *daemon) {
	f := subscribe(t, d, client.Protobuf, nil)
	before := d.rss()
	var slow []*http.Response
	for range readers {
		conn := dial(t, d)
		slow = append(slow, slowReader(t, d, conn))
	}
	f.launchOne("among readers", "true", rename("among-readers"))
	f.in(mesos.TaskState_TASK_FINISHED, "among-readers")
	full := d.rss()

	idle(t, d)
	f.launchOne("among idlers", "true", rename("among-idlers"))
	f.in(mesos.TaskState_TASK_FINISHED, "among-idlers")
	crowded := d.rss()
	t.Logf("resident: %d MB before, %d MB with slow readers, %d MB with %d connections too", before>>20, full>>20, crowded>>20, idlers)
	if max(crowded, full) > bound {
		t.Errorf("the daemon takes %d MB", max(crowded, full)>>20)
	}
	for _, r := range slow { // one that reads again is told what waited, and comes to an end
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("the stream of a slow reader: %v", err)
		}
	}
	if n, err := d.Metric(t.Context(), "master/frameworks_connected"); err != nil || n != 1 {
		t.Errorf("%v frameworks are connected (%v)", n, err)
	}
}

// neverRead opens streams that are full and will not be read.
func neverRead(t *testing.T, d *daemon) (list []net.Conn) {
	t.Helper()
	for range readers {
		conn := dial(t, d)
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		slowReader(t, d, conn)
		list = append(list, conn)
	}
	return list
}

func dial(t *testing.T, d *daemon) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", d.API(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// established reports whether the other side of a connection, on this machine,
// has not closed it. A peer that does not read cannot be told.
func established(t *testing.T, conn net.Conn) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const state = "01"
	local := fmt.Sprintf(":%04X", conn.LocalAddr().(*net.TCPAddr).Port)
	remote := fmt.Sprintf(":%04X", conn.RemoteAddr().(*net.TCPAddr).Port)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // its local address is our remote one
		if len(f) > 3 && strings.HasSuffix(f[1], remote) && strings.HasSuffix(f[2], local) && f[3] == state {
			return true
		}
	}
	return false
}

func rename(id string) func(*mesos.TaskInfo) {
	return func(info *mesos.TaskInfo) { info.TaskId = &mesos.TaskID{Value: &id} }
}

// idle opens connections that say nothing, or nothing more after a request.
func idle(t *testing.T, d *daemon) {
	t.Helper()
	for i := range idlers {
		conn := dial(t, d)
		switch i % 3 {
		case 0:
		case 1: // half a request
			_, _ = conn.Write([]byte("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"))
		case 2:
			_, _ = conn.Write([]byte("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"))
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
	}
}

// slowReader subscribes, reads until it knows who it is, asks for far more events
// than may wait, and never reads again.
func slowReader(t *testing.T, d *daemon, conn net.Conn) *http.Response {
	t.Helper()
	body := `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"slow","role":"slow","capabilities":[{"type":"PARTITION_AWARE"}]},"suppressed_roles":["slow"]}}`
	if _, err := io.WriteString(conn, "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(3 * patience))
	r, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("subscribe: %v", err)
	}
	head := make([]byte, 300)
	if _, err := io.ReadFull(r.Body, head); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(head), `"framework_id":{"value":"`)
	framework, _, _ := strings.Cut(rest, `"`)
	flooded(t, d, framework, r.Header.Get(streamHeader))
	return r
}

// flooded has events sent to a framework until its stream is dropped.
func flooded(t *testing.T, d *daemon, framework, stream string) {
	t.Helper()
	call := unknownTasks(5000)
	call.FrameworkId = &mesos.FrameworkID{Value: &framework}
	body, err := proto.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the end of a stream that is not read", func() bool {
		code, _, text := send(t, http.MethodPost, "http://"+d.API()+"/api/v1/scheduler",
			map[string]string{"Content-Type": mediaProtobuf, streamHeader: stream}, strings.NewReader(string(body)))
		if code != http.StatusAccepted && code != http.StatusForbidden && !strings.Contains(text, "cannot be found") {
			t.Fatalf("%d %s", code, text)
		}
		return code != http.StatusAccepted
	})
}

// rss is the daemon's resident memory in bytes.
func (d *daemon) rss() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.PID()))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
