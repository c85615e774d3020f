package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"muster/isolate"
	"muster/offers/mesos"
)

func TestOneUpdateAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.leader.acks = false
		r.launch(frameworkInfo(), command("t1"))
		r.exit("t1", isolate.Exit{})
		r.wantStates("t1", begins)
		want := []mesos.TaskState{begins, runs, finished}
		for i := range want {
			us := r.leader.updates("t1")
			r.wantStates("t1", want[:i+1]...)
			r.say(ack(us[0])) // an old acknowledgement changes nothing
			if i > 0 {
				r.settle()
				r.wantStates("t1", want[:i+1]...)
			}
			r.say(ack(us[len(us)-1]))
			r.settle()
		}
		if n := len(r.agent.State().Tasks); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

func TestLatestStateIsToldWithEveryUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.leader.acks = false
		r.launch(frameworkInfo(), command("t1"))
		r.exit("t1", isolate.Exit{Code: 1})
		time.Sleep(r.agent.cfg.RetryMin)
		r.settle()
		us := r.leader.updates("t1")
		if u := us[len(us)-1]; u.GetStatus().GetState() != begins || u.GetLatestState() != failed {
			t.Errorf("told %v, latest %v", u.GetStatus().GetState(), u.GetLatestState())
		}
	})
}

func TestUnacknowledgedUpdateIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil).ready()
		defer r.end()
		r.leader.acks = false
		r.launch(frameworkInfo(), command("t1"))
		var gaps []time.Duration
		last := time.Now()
		for n := len(r.leader.updates("t1")); len(gaps) < 9; {
			time.Sleep(time.Second)
			r.settle()
			if now := len(r.leader.updates("t1")); now > n {
				n = now
				gaps = append(gaps, time.Since(last))
				last = time.Now()
			}
		}
		want := []time.Duration{10, 20, 40, 80, 160, 320, 600, 600, 600}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(gaps, want) {
			t.Errorf("sent again after %v, want %v", gaps, want)
		}
		n := len(r.leader.updates("t1"))
		r.agent.Disconnected()
		time.Sleep(time.Hour)
		r.settle()
		if now := len(r.leader.updates("t1")); now != n {
			t.Errorf("%d updates were sent without a link", now-n)
		}
		r.connect()
		if now := len(r.leader.updates("t1")); now != n+1 {
			t.Errorf("%d updates were sent on the new link, want 1", now-n)
		}
		time.Sleep(10 * time.Second)
		r.settle()
		if now := len(r.leader.updates("t1")); now != n+2 {
			t.Errorf("%d updates were sent in ten seconds of the new link, want 2", now-n)
		}
	})
}
