package recording

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"muster/offers"
	"muster/offers/record"
	"muster/offers/registry"
)

// Config of recordings. The zero value records nothing.
type Config struct {
	Dir      string // where the files go; made if absent
	Effects  bool   // keep the effects too, not only their hash
	Limit    int64  // bytes of all recordings in Dir together [1 GiB]
	PartSize int64  // bytes after which a recording goes on in another file [64 MiB]
	Queue    int    // steps that may wait to be written [8192]
	Version  string // of this muster
}

func (c Config) withDefaults() Config {
	c.Limit = cmp.Or(c.Limit, 1<<30)
	c.PartSize = cmp.Or(c.PartSize, min(64<<20, c.Limit/4))
	c.Queue = cmp.Or(c.Queue, 8192)
	return c
}

var (
	errOverflow = errors.New("steps come faster than they can be written")
	errLimit    = errors.New("the recording alone has reached the limit of all recordings")
)

// Recorder records one leadership. A nil one records nothing.
type Recorder struct {
	cfg      Config
	core     offers.Config
	facts    *registry.State
	log      *slog.Logger
	queue    chan step
	number   uint64      // of the last step; Step's alone
	overflow atomic.Bool // a step found the queue full
	deaf     atomic.Bool // no more steps are taken
	redact   *record.Redactor
	files    *files // Run's alone
}

type step struct {
	number  uint64
	now     time.Time
	in      offers.Input
	effects []offers.Effect
	failed  bool
}

// New returns the recorder of a core that is made of cfg and facts; facts are its
// own. Run does the work.
func New(cfg Config, core offers.Config, facts *registry.State, log *slog.Logger) *Recorder {
	cfg = cfg.withDefaults()
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // it never fails
	return &Recorder{
		cfg: cfg, core: core, facts: facts, log: log,
		queue: make(chan step, cfg.Queue), redact: record.NewRedactor(salt),
	}
}

// Step records what the core did; it never waits. Only the core's goroutine calls it.
func (r *Recorder) Step(now time.Time, in offers.Input, effects []offers.Effect, failed bool) {
	if r == nil || r.deaf.Load() {
		return
	}
	r.number++
	select {
	case r.queue <- step{r.number, now, in, effects, failed}:
	default:
		r.overflow.Store(true)
		r.deaf.Store(true)
	}
}

// Close ends the recording; Run writes what it was given and returns.
func (r *Recorder) Close() {
	if r != nil {
		close(r.queue)
	}
}

// Run writes until Close, or until something hinders it.
func (r *Recorder) Run() {
	if r == nil {
		return
	}
	err := r.record()
	if err != nil {
		r.log.Warn("recording ended early", "dir", r.cfg.Dir, "steps", r.files.steps, "err", err)
	} else {
		r.log.Info("recording ended", "dir", r.cfg.Dir, "steps", r.files.steps)
	}
	r.deaf.Store(true)
	for range r.queue { // nothing is kept for nobody
	}
}

// record writes steps until the queue is closed. A panic of what it calls must not
// end the daemon.
func (r *Recorder) record() (err error) {
	r.files = &files{cfg: r.cfg}
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic: %v", p), r.files.close())
		}
	}()
	if err := r.begin(); err != nil {
		return errors.Join(err, r.files.close())
	}
	r.log.Info("recording", "file", r.files.name(0))
	for {
		s, more, err := r.next()
		switch {
		case err != nil:
		case !more && r.overflow.Load():
			return errors.Join(errOverflow, r.files.end(errOverflow.Error()))
		case !more:
			return r.files.end("the leadership ended")
		default:
			err = r.write(s)
		}
		if errors.Is(err, errLimit) {
			return errors.Join(err, r.files.end(err.Error()))
		}
		if err != nil {
			return errors.Join(err, r.files.close())
		}
	}
}

// next waits for a step; with none waiting, what was written goes to the file first.
func (r *Recorder) next() (s step, more bool, err error) {
	select {
	case s, more = <-r.queue:
		return s, more, nil
	default:
	}
	if err := r.files.flush(); err != nil || r.overflow.Load() {
		return step{}, false, err
	}
	s, more = <-r.queue
	return s, more, nil
}

func (r *Recorder) begin() error {
	h, err := offers.RecordHeader(r.core, r.facts)
	if err != nil {
		return err
	}
	r.facts = nil
	h.Version = proto.String(r.cfg.Version)
	return r.files.begin(r.redact.Redact(h).(*record.Header), r.core.Term, r.core.Elected)
}

// write writes one step. Inputs come first: while many steps wait, there is no time
// to hash the effects.
func (r *Recorder) write(s step) error {
	e := offers.RecordStep(s.now, s.in)
	e.Number = proto.Uint64(s.number)
	e = r.redact.Redact(e).(*record.Step)
	if s.failed {
		e.Failed = proto.Bool(true)
	} else if len(r.queue) <= cap(r.queue)/2 {
		if err := r.addEffects(e, s.effects); err != nil {
			return err
		}
	}
	return r.files.step(e)
}

func (r *Recorder) addEffects(e *record.Step, effects []offers.Effect) error {
	list := offers.RecordEffects(effects)
	for i, f := range list {
		list[i] = r.redact.Redact(f).(*record.Effect)
	}
	b, err := record.AppendEffects(nil, list...)
	if err != nil {
		return err
	}
	e.EffectCount, e.EffectsHash = proto.Uint32(uint32(len(list))), proto.Uint64(record.Hash(b))
	if r.cfg.Effects {
		e.Effects = list
	}
	return nil
}
