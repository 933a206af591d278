package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

// What an idle box shows: everything is there, nothing is made up, and no
// secret.
func TestStatusIdle(t *testing.T) {
	d := document()
	for i := range d.Paths {
		d.Paths[i].URL = strings.NewReplacer("192.0.2.1", "127.0.0.1", "192.0.2.2", "127.0.0.1", "192.0.2.3", "127.0.0.1", "192.0.2.4", "127.0.0.1",
			":9000", ":1", ":9001", ":"+freePort(t)).Replace(d.Paths[i].URL)
		if d.Paths[i].Profile != config.ProfileRTP {
			d.Paths[i].StreamID = d.Paths[i].Name
		}
	}
	d.Input.URL = "udp://127.0.0.1:" + freePort(t)
	b := startBox(t, d)
	var s control.Status
	eventually(t, "the watcher has looked", func() bool { s = b.status(); return len(s.Active) > 0 })

	if s.Name != "box" || s.UptimeS <= 0 || s.UptimeS > 60 || math.Abs(time.Since(s.Time).Seconds()) > 60 {
		t.Errorf("head: %+v", s)
	}
	if in := s.Input; in.State != control.InputWaiting || in.BitrateBPS != 0 || in.JitterMS != 0 || in.Packets != 0 || in.Filling || in.Losses > 1 || in.Type != "udp" {
		t.Errorf("input: %+v", in)
	}
	if p := s.Plan; p.K == 0 || p.Streams != 3 || p.LatencyMS != 500 || p.SRTLatencyMS+p.FECBoundMS+p.StaggerMS > p.LatencyMS || p.WireBPS < 20_000_000 {
		t.Errorf("plan: %+v", p)
	}
	if len(s.Paths) != 5 || s.Worst != "critical" {
		t.Fatalf("%d paths, worst %s", len(s.Paths), s.Worst)
	}
	for i, want := range []struct{ state, group, unknown string }{
		{control.PathConnecting, "leg-1", "no report yet"}, {control.PathConnecting, "leg-1", "no report yet"}, {control.PathListening, "leg-1", "no report yet"},
		{control.PathConnecting, "", "does not report"}, {control.PathUp, "", "no way back"},
	} {
		p := s.Paths[i]
		if p.Name != d.Paths[i].Name || p.State != want.state || p.Group != want.group || !strings.Contains(p.ArrivalUnknown, want.unknown) || p.Arrival != nil ||
			p.Encrypted != (i < 4) || p.BitrateBPS != 0 || p.Sent != 0 || p.Leg != 1 {
			t.Errorf("path %d: %+v", i, p)
		}
	}

	// As JSON it is complete, small and without secrets.
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.Control.Socket)
	}}}
	defer c.CloseIdleConnections()
	r, err := c.Get("http://box/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil || r.StatusCode != http.StatusOK || !json.Valid(body.Bytes()) {
		t.Fatalf("%d %v: %s", r.StatusCode, err, body.Bytes())
	}
	if text := body.String(); len(text) > 20_000 || strings.Contains(text, testKey) || strings.Contains(text, passphrase) || strings.Contains(text, "null,") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// A feed is shown with what is wrong with it.
func TestStatusOfTheInput(t *testing.T) {
	d := document()
	d.Paths = d.Paths[4:]
	d.Paths[0].URL = "rtp://127.0.0.1:" + freePort(t)
	one, two := freePort(t), freePort(t)
	d.Input.Type, d.Input.URL = config.TypeRTP, "rtp://127.0.0.1:"+one
	d.Input.Second = &config.Leg{URL: "rtp://127.0.0.1:" + two}
	d.Input.MergeWindowMS, d.Input.LossAfterMS = 450, 2000
	b := startBox(t, d)

	var legs [2]net.Conn
	for i, port := range []string{one, two} {
		c, err := net.Dial("udp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		legs[i] = c
	}
	gen := tsgen.New(1_000_000, 7)
	now := time.Duration(0)
	n := 0
	p, err := rtp.NewPacketizer(rtp.PacketizerConfig{SSRC: 1, PacketsPerMessage: 7, Emit: func(_ time.Duration, pkt []byte) {
		n++
		for i, l := range legs {
			if n%20 != 0 && (i == 0 || n < 150) { // every twentieth is missing on both, later the second copy
				_, _ = l.Write(pkt) // nobody may listen yet
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		if err := p.WriteTS(now, gen.Next(nil, 7)); err != nil {
			t.Fatal(err)
		}
		now = gen.At(gen.Count())
	}
	var in control.Input
	eventually(t, "the status shows two copies and continuity errors", func() bool {
		send()
		in = b.status().Input
		return len(in.Legs) == 2 && in.Legs[0].Received > 30 && in.Legs[0].Missing > 0 && in.Legs[1].Received > 30 && in.ContinuityErrors > 0 && in.State == control.InputOK
	})
	if in.Legs[0].State != control.InputOK || in.Legs[0].URL != d.Input.URL || in.Reason != "" {
		t.Errorf("%+v", in)
	}
	eventually(t, "an alarm of the copy that is missing", func() bool {
		send()
		for _, a := range b.status().Active {
			if a.Code == "input-unprotected" && strings.Contains(a.Text, d.Input.Second.URL) {
				return true
			}
		}
		return false
	})
}

// Garbage is counted, before a feed comes and beside one, and said as long as
// nothing else comes.
func TestStatusOfGarbage(t *testing.T) {
	d := document()
	d.Paths = d.Paths[4:]
	d.Paths[0].URL = "rtp://127.0.0.1:" + freePort(t)
	d.Input.URL = "udp://127.0.0.1:" + freePort(t)
	b := startBox(t, d)
	dial := func() net.Conn {
		c, err := net.Dial("udp4", strings.TrimPrefix(d.Input.URL, "udp://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	feed, noise := dial(), dial()
	garbage := func() { _, _ = noise.Write(bytes.Repeat([]byte{0x5a, 0xa5, 0x11}, 300)) }
	var in control.Input
	eventually(t, "garbage is counted and said", func() bool {
		garbage()
		in = b.status().Input
		return in.Malformed > 3 && in.SyncLosses >= in.Malformed && in.State == control.InputWaiting && strings.Contains(in.Reason, "none of them is transport stream")
	})
	gen := tsgen.New(1_000_000, 7)
	eventually(t, "the feed is there", func() bool {
		_, _ = feed.Write(gen.Next(nil, 7))
		in = b.status().Input
		return in.State == control.InputOK && in.Reason == ""
	})
	was := in
	eventually(t, "garbage beside it is counted", func() bool {
		_, _ = feed.Write(gen.Next(nil, 7))
		garbage()
		in = b.status().Input
		return in.Malformed > was.Malformed+3 && in.SyncLosses >= was.SyncLosses+3
	})
}

// The counter hands everything on, counts, and allocates nothing.
func TestCounter(t *testing.T) {
	got := 0
	m := &counter{next: mpegts.WriterFunc(func(_ time.Duration, ts []byte) error { got += len(ts); return nil })}
	ts := tsgen.New(1_000_000, 1).Next(nil, 700)
	if n := testing.AllocsPerRun(50, func() {
		if err := m.WriteTS(0, ts[:7*tsgen.PacketSize]); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	m = &counter{next: m.next}
	got = 0
	for _, part := range [][]byte{ts[:350*188], ts[357*188:]} { // seven are missing
		if err := m.WriteTS(0, part); err != nil {
			t.Fatal(err)
		}
	}
	if got != len(ts)-7*188 || m.errors.Load() == 0 {
		t.Errorf("%d bytes, %d errors", got, m.errors.Load())
	}
	ts[1] |= 0x80 // transport_error_indicator
	if err := m.WriteTS(0, ts[:188]); err != nil || m.transport.Load() != 1 {
		t.Errorf("%v, %d transport errors", err, m.transport.Load())
	}
}
