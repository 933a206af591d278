package engine

import (
	"os"
	"sync"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// recorder keeps what a Source sends and judges it.
type recorder struct {
	pull float64 // how much faster or slower than ours the clock may run; 0: not at all

	mu  sync.Mutex
	ts  []byte
	at  []time.Duration
	pic []time.Duration // instants at which pictures begin
}

func (r *recorder) WriteTS(at time.Duration, ts []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 0; i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
		r.at = append(r.at, at)
		if p := mpegts.Packet(ts[i : i+mpegts.PacketSize]); p.PID() == 257 && p.PUSI() {
			r.pic = append(r.pic, at)
		}
	}
	r.ts = append(r.ts, ts...)
	return nil
}

// sound requires a stream that a receiver takes without a hiccup: counters in
// order, PIDs that stay, a clock that is where its packets are, tables that
// come, DTS that rise on every PID and are ahead of the clock.
func (r *recorder) sound(t testing.TB, rate int64, pids int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var cc mpegts.Continuity
	var lastPCR mpegts.PCR
	var lastAt, lastPAT, stood time.Duration
	seen := false
	var from mpegts.PCR // of a second
	var fromAt time.Duration
	pulled := 0.0
	last := map[mpegts.PID]mpegts.Timestamp{}
	for i := range r.at {
		p := mpegts.Packet(r.ts[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize])
		if v := cc.Check(p); v == mpegts.Broken || v == mpegts.Duplicate {
			t.Errorf("packet %d at %v, PID %d: continuity", i, r.at[i], p.PID())
		}
		if v, ok := p.PCR(); ok {
			if seen && !p.Discontinuity() {
				d := mpegts.TicksToDuration(v.Diff(lastPCR)) - (r.at[i] - lastAt)
				slack := time.Microsecond + time.Duration(r.pull*float64(r.at[i]-lastAt))
				if d < -slack || d > slack || r.at[i]-lastAt > 40*time.Millisecond {
					t.Errorf("packet %d at %v: PCR off by %v, %v after the last", i, r.at[i], d, r.at[i]-lastAt)
				}
			}
			switch took := r.at[i] - fromAt; {
			case !seen || p.Discontinuity():
				from, fromAt = v, r.at[i]
			case took >= time.Second:
				off := float64(mpegts.TicksToDuration(v.Diff(from))-took) / float64(took)
				pulled = max(pulled, off, -off)
				from, fromAt = v, r.at[i]
			}
			seen, lastPCR, lastAt = true, v, r.at[i]
		}
		if i > 0 && r.at[i]-r.at[i-1] > 150*time.Millisecond && lastPAT > 0 { // this machine stood still
			lastPAT += r.at[i] - r.at[i-1]
			stood = r.at[i]
		}
		if p.PID() == mpegts.PATPID {
			if gap := r.at[i] - lastPAT; lastPAT > 0 && gap > 600*time.Millisecond {
				t.Errorf("at %v: no PAT for %v", r.at[i], gap)
			}
			lastPAT = r.at[i]
		}
		ts, ok := p.DTS()
		if !ok {
			ts, ok = p.PTS()
		}
		if !ok {
			continue
		}
		if before, ok := last[p.PID()]; ok && ts.Diff(before) <= 0 {
			t.Errorf("at %v, PID %d: DTS goes back by %d ticks", r.at[i], p.PID(), before.Diff(ts))
		}
		last[p.PID()] = ts
		if stood > 0 && r.at[i]-stood < time.Second {
			continue // what was on its way meanwhile comes late
		}
		if ahead := ts.Diff(lastPCR.Timestamp()); ahead < 0 || ahead > mpegts.PTSHz {
			t.Errorf("at %v, PID %d: DTS %d ms ahead of the clock", r.at[i], p.PID(), ahead/90)
		}
	}
	if r.pull > 0 {
		t.Logf("over a second, the clock runs off by %.2f ppm at most", pulled*1e6)
	}
	if pulled > r.pull+1e-6 {
		t.Errorf("over a second, the clock runs off by %.1f ppm, want %.0f", pulled*1e6, r.pull*1e6)
	}
	if st := cc.Stats(); st.PIDs != pids {
		t.Errorf("%d PIDs, want %d: %+v", st.PIDs, pids, st)
	}
	n := len(r.at)
	if n < 2 {
		t.Fatal("nothing was sent")
	}
	took := r.at[n-1] - r.at[0]
	for i := 1; i < n; i++ {
		if gap := r.at[i] - r.at[i-1]; gap > 150*time.Millisecond { // skipped, as the next PCR says
			t.Logf("this machine stood still for %v", gap)
			took -= gap
		}
	}
	got := float64(n-1) * mpegts.PacketSize * 8 / took.Seconds()
	if got < float64(rate)*0.999 || got > float64(rate)*1.001 {
		t.Errorf("%.0f bit/s, want %d", got, rate)
	}
	if t.Failed() {
		if f, err := os.CreateTemp("", "engine-*.ts"); err == nil {
			_, _ = f.Write(r.ts)
			f.Close()
			t.Logf("kept as %s", f.Name())
		}
	}
}

// longestGap is the longest time between two pictures since an instant.
func (r *recorder) longestGap(since time.Duration) (gap time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.pic); i++ {
		if r.pic[i] >= since {
			gap = max(gap, r.pic[i]-r.pic[i-1])
		}
	}
	return gap
}
