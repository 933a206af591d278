package gateway

import (
	"log/slog"
	"testing"
	"time"

	"quartet/uplink/rtp"
)

// D follows the newest word of the box, whichever connection brings it last; a
// shorter one waits until what was sent over the connections of before is out.
func TestToldLatency(t *testing.T) {
	now := 10 * time.Second
	c, err := newContribution(Contribution{Name: "c", Keys: [][]byte{newKey(t)}, Inputs: []Input{{Name: "a"}}},
		func() time.Duration { return now }, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	says := func(ssrc uint32, at, latency time.Duration) {
		t.Helper()
		r := rtp.Report{SSRC: ssrc, Sender: &rtp.SenderInfo{NTP: rtp.NTP(at)}, Settings: &rtp.Settings{TotalLatency: latency, PacketsPerMessage: 7}}
		b, err := r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.control(c.paths[0], nil, b, now)
	}
	want := func(what string, latency time.Duration) {
		t.Helper()
		if c.latency != latency {
			t.Errorf("%s: D is %v, want %v", what, c.latency, latency)
		}
	}
	says(1, time.Second, 300*time.Millisecond)
	want("nothing is streaming yet: at once", 300*time.Millisecond)
	c.state = Streaming
	says(1, 2*time.Second, 600*time.Millisecond)
	want("longer: at once", 600*time.Millisecond)
	says(1, 3*time.Second, 400*time.Millisecond)
	want("shorter: later", 600*time.Millisecond)
	now += time.Second
	says(1, 2900*time.Millisecond, 600*time.Millisecond)
	says(1, 4*time.Second, 400*time.Millisecond)
	want("not all is out", 600*time.Millisecond)
	now += 700 * time.Millisecond
	says(1, 4200*time.Millisecond, 400*time.Millisecond)
	want("all is out", 400*time.Millisecond)
	says(1, 2900*time.Millisecond, 600*time.Millisecond)
	want("an old word over a slow connection", 400*time.Millisecond)
	says(2, time.Second, 500*time.Millisecond)
	want("another box", 500*time.Millisecond)
}
