package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/updater/sibling"
	"quartet/updater/trust"
)

// pairOf joins two rigs by leases; each side's lease is opened anew with each
// start, as in the real process.
func pairOf(a, b *rig, cut func() bool) {
	var pairs [2]*sibling.Pair
	rigs := [2]*rig{a, b}
	for i, r := range rigs {
		role := []sibling.Role{sibling.RoleA, sibling.RoleB}[i]
		peer := rigs[1-i]
		r.sibling = func() Sibling {
			started := time.Now()
			var p *sibling.Pair
			p, err := sibling.Open(sibling.Config{
				Serial: r.serial, Role: role, Peer: peer.serial, Folder: metered{r.state, r.power, nil},
				Ask: func(_ context.Context, q sibling.Request) (sibling.Answer, error) {
					other := pairs[1-i]
					if other == nil || peer.down() || cut != nil && cut() {
						return sibling.Answer{}, errors.New("no route to host")
					}
					return other.Answer(q), nil
				},
				Streaming: func() bool { m, err := r.Media(context.Background()); return err == nil && m.Streaming() },
				Busy:      func() bool { return r.u != nil && r.u.Busy() },
				Now:       func() time.Duration { return time.Since(started) },
			})
			if err != nil {
				r.t.Fatal(err)
			}
			pairs[i] = p
			return p
		}
	}
}

// down tells whether a box is restarting.
func (r *rig) down() bool { return r.isDown.Load() }

// F28 with two whole updaters: both want to update in the same window. One goes
// first, is confirmed and gives the lease back; then the other. Never are both
// away, and never is one away or on trial while the other is.
func TestF28TwoBoxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, dir := newHome(t)
		a, b := newRig(t, "Q4-0001", home, dir), newRig(t, "Q4-0002", home, dir)
		pairOf(a, b, nil)
		a.publish("1.1.0", trust.Custom{})
		a.start()
		b.start()
		both := 0
		end := time.Now().Add(30 * time.Hour)
		var order []string
		for time.Now().Before(end) {
			synctest.Wait()
			away := 0
			for _, r := range []*rig{a, b} {
				select {
				case <-r.wanted:
					// The other one must be up, and not on trial.
					if o := map[*rig]*rig{a: b, b: a}[r]; o.down() || o.u.Busy() {
						t.Fatalf("%s restarts while %s is away or busy", r.serial, o.serial)
					}
					order = append(order, r.serial)
					r.isDown.Store(true)
					r.stop()
					// The restart takes its time while the other goes on.
					r.back = time.Now().Add(90 * time.Second)
				default:
				}
				if r.down() {
					away++
					if time.Now().After(r.back) {
						r.boot()
						r.isDown.Store(false)
					}
				}
			}
			if away > 1 {
				both++
			}
			if runsNow(a, "1.1.0") && runsNow(b, "1.1.0") {
				break
			}
			time.Sleep(time.Second)
		}
		if both > 0 || a.rauc.Running() != "1.1.0" || b.rauc.Running() != "1.1.0" {
			t.Errorf("both away %d times; A runs %s, B %s", both, a.rauc.Running(), b.rauc.Running())
		}
		if len(order) != 2 || order[0] == order[1] {
			t.Errorf("restarts: %v", order)
		}
		a.stop()
		b.stop()
	})
}

func runsNow(r *rig, version string) bool {
	if r.down() {
		return false
	}
	st, err := r.u.Status(context.Background())
	return err == nil && runs(version)(st)
}

// The sibling does not answer, or is not on the air: no update, an alarm after
// seven days, and only an operator with a reason goes without it.
func TestSiblingSilent(t *testing.T) {
	for name, why := range map[string]string{"no answer": "does not answer", "not streaming": "not on the air"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				home, dir := newHome(t)
				a, b := newRig(t, "Q4-0001", home, dir), newRig(t, "Q4-0002", home, dir)
				pairOf(a, b, func() bool { return name == "no answer" })
				b.media = func(string) Media { return Media{Answers: true, Management: true} }
				b.policy.Mode = Manual
				a.publish("1.1.0", trust.Custom{})
				a.start()
				b.start()
				defer func() { a.stop(); b.stop() }()
				st := a.pass(6*24*time.Hour + 12*time.Hour)
				if st.Version != "1.0.0" || alarm(st, alarmSibling) != nil || !strings.Contains(st.Sibling.Denied, why) {
					t.Errorf("%+v %+v", st, st.Sibling)
				}
				st = a.pass(24 * time.Hour)
				al := alarm(st, alarmSibling)
				if st.Version != "1.0.0" || al == nil || al.Severity != Major || !strings.Contains(al.Text, why) {
					t.Errorf("after a week: %+v", st.Alarms)
				}
				if n := strings.Count(a.events(), "waits"); n > 2 {
					t.Errorf("%d lines of the same in the history", n)
				}
				if _, err := a.u.Now(context.Background(), NowRequest{Actor: "ann"}); err != nil {
					t.Fatal(err)
				}
				if st = a.pass(time.Hour); st.Version != "1.0.0" {
					t.Error("now alone has overruled the sibling")
				}
				if _, err := a.u.Now(context.Background(), NowRequest{Actor: "ann", OverrideSibling: true, Reason: "it is in repair"}); err != nil {
					t.Fatal(err)
				}
				a.until(time.Hour, "at 1.1.0", runs("1.1.0"))
				if !strings.Contains(fmt.Sprint(a.u.state.History), "without the sibling's lease: it is in repair") ||
					!slices.ContainsFunc(a.audits, func(r Record) bool { return r.Actor == "ann" && strings.Contains(r.Detail, "in repair") }) {
					t.Errorf("history %v\naudit %+v", a.u.state.History, a.audits)
				}
			})
		})
	}
}

// Both ask in the same instant, each while its own request is under way, again
// and again: A gets it at the first try, and nobody waits for the other for ever.
func TestF28SameInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, dir := newHome(t)
		a, b := newRig(t, "Q4-0001", home, dir), newRig(t, "Q4-0002", home, dir)
		// Every request takes a second, so that those of the same instant meet.
		pairOf(a, b, func() bool { time.Sleep(time.Second); return false })
		a.publish("1.1.0", trust.Custom{})
		a.start()
		b.start()
		defer func() { a.stop(); b.stop() }()
		begins := time.Now().Add(2 * time.Hour)
		a.until(3*time.Hour, "restarting", func(s Status) bool { return s.Phase == Restarting })
		if d := time.Since(begins.Truncate(time.Hour)); d > 5*time.Minute {
			t.Errorf("A restarts %v after the window's begin", d)
		}
		if b.u.Busy() {
			t.Error("B is busy, too")
		}
	})
}
