package consensus

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLog hands raft's log to slog. What raft calls an error is mostly a peer
// that does not answer, so all goes down a level, and a message that repeats is
// told once in a while.
type raftLog struct {
	log     *slog.Logger
	name    string
	implied []any
	repeats *repeats
}

var _ hclog.Logger = (*raftLog)(nil)

const repeatAfter = 10 * time.Second

// repeats remembers when each message was last told. Raft's messages are
// constants, so there are few.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (r *repeats) fresh(msg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if t, ok := r.last[msg]; ok && now.Sub(t) < repeatAfter {
		return false
	}
	r.last[msg] = now
	return true
}

func newRaftLog(log *slog.Logger) *raftLog {
	return &raftLog{log: log.With("part", "raft"), repeats: &repeats{last: map[string]time.Time{}}}
}

func (l *raftLog) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Error:
		to = slog.LevelWarn
	}
	if !l.log.Enabled(context.Background(), to) || to > slog.LevelDebug && !l.repeats.fresh(msg) {
		return
	}
	attrs := make([]any, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		attrs = append(attrs, fmt.Sprint(args[i]), plain(args[i+1]))
	}
	l.log.Log(context.Background(), to, msg, attrs...)
}

// plain makes hclog's own value types readable.
func plain(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if len(v) == 0 {
			return ""
		}
		return fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	default:
		return v
	}
}

func (l *raftLog) Trace(msg string, args ...any) {}
func (l *raftLog) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *raftLog) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *raftLog) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLog) IsTrace() bool { return false }
func (l *raftLog) IsDebug() bool { return l.log.Enabled(context.Background(), slog.LevelDebug) }
func (l *raftLog) IsInfo() bool  { return l.IsDebug() }
func (l *raftLog) IsWarn() bool  { return true }
func (l *raftLog) IsError() bool { return true }

func (l *raftLog) ImpliedArgs() []any { return l.implied }

func (l *raftLog) With(args ...any) hclog.Logger {
	c := *l
	c.implied = append(append([]any{}, l.implied...), args...)
	c.log = l.log.With(args...)
	return &c
}

func (l *raftLog) Name() string { return l.name }

func (l *raftLog) Named(name string) hclog.Logger {
	if l.name != "" {
		name = l.name + "." + name
	}
	return l.ResetNamed(name)
}

func (l *raftLog) ResetNamed(name string) hclog.Logger {
	c := *l
	c.name = name
	return &c
}

func (l *raftLog) SetLevel(hclog.Level) {} // slog's handler decides

func (l *raftLog) GetLevel() hclog.Level {
	if l.IsDebug() {
		return hclog.Debug
	}
	return hclog.Warn
}

func (l *raftLog) StandardLogger(o *hclog.StandardLoggerOptions) *stdlog.Logger {
	return stdlog.New(l.StandardWriter(o), "", 0)
}

func (l *raftLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return slog.NewLogLogger(l.log.Handler(), slog.LevelDebug).Writer()
}
