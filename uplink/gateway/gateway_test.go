package gateway

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quartet/uplink/srt"
)

const pass = "correct horse battery"

// Two paths, each losing every fifth packet (at different places), merge into
// what was sent: on both RTP destinations byte for byte, as plain TS, and in a
// file.
func TestMerge(t *testing.T) {
	rtp1, rtp2, udp := newReceiver(t), newReceiver(t), newReceiver(t)
	file := filepath.Join(t.TempDir(), "out.ts")
	key := newKey(t)
	g, stop := startGateway(t, Config{
		Listeners: oneListener(20 * time.Millisecond),
		Contributions: []Contribution{{
			Name: "a", Keys: [][]byte{key}, Latency: 800 * time.Millisecond,
			Inputs: []Input{listening("one", pass), listening("two", "")},
			Outputs: []OutputConfig{
				&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: rtp1.addr()}, {Address: rtp2.addr()}}},
				&UDPOutput{Name: "udp", Destination: Destination{Address: udp.addr()}},
				&FileOutput{Name: "file", Path: file},
			},
		}},
	})
	one := calling(g, loopback, "one", pass, pathLatency)
	two := calling(g, loopback, "two", "", pathLatency)
	two.stagger = 15 * time.Millisecond
	one.drop = func(n int, repair bool) bool { return !repair && n%5 == 1 }
	two.drop = func(n int, repair bool) bool { return !repair && n%5 == 3 }
	box := startBox(t, boxConfig{key: key}, one, two)

	eventually(t, 20*time.Second, "1500 packets come out", func() bool { return rtp1.count() >= 1500 })
	eventually(t, 5*time.Second, "a report tells of the digest", func() bool {
		ok := false
		box.with(func() { ok = one.report != nil && one.report.Merged != nil && len(one.report.Merged.Windows) > 0 })
		return ok
	})
	st := g.Status(context.Background()).Contributions[0]
	box.pause()
	var last []byte
	eventually(t, 5*time.Second, "the rest comes out", func() bool {
		sent := box.packets()
		last = sent[len(sent)-1]
		return bytes.Equal(rtp1.last(), last) && bytes.Equal(rtp2.last(), last) && bytes.Equal(udp.last(), last[12:])
	})
	stop()
	box.close()
	sent := box.packets()

	sameRun(t, rtp1.packets(), sent)
	sameRun(t, rtp2.packets(), sent)
	got := bytes.Join(udp.packets(), nil)
	if !bytes.Contains(box.ts, got) {
		t.Error("the plain transport stream differs from what was sent")
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Contains(box.ts, b) || len(b) != len(got) {
		t.Errorf("the file differs: %d bytes, want %d: %v", len(b), len(got), err)
	}
	if st.State != Streaming || st.Merged.Lost != 0 || st.LatencyNote != "" {
		t.Errorf("%+v", st)
	}
	if st.RateBPS < 2_000_000 || st.RateBPS > 4_500_000 {
		t.Errorf("rate %d", st.RateBPS)
	}
	for i, in := range st.Inputs {
		if in.State != "receiving" || in.PathIndex != i || in.Path.ByOtherPath+in.Path.ByParity < 100 || in.BadTag != 0 {
			t.Errorf("input %d: %+v", i, in)
		}
	}
	if want := ms(pathLatency + two.stagger); st.Inputs[1].OffsetMS != want {
		t.Errorf("offset of the staggered path %v ms, want %v", st.Inputs[1].OffsetMS, want)
	}
	r := one.report
	if r.Path == nil || r.Path.Received < 1000 || r.Path.LostHere < 200 || r.Merged.Lost != 0 || r.Merged.Paths != 3 {
		t.Errorf("report %+v %+v", r.Path, r.Merged)
	}
	for _, w := range r.Merged.Windows {
		if v := box.digest.Windows().Compare(w); v.String() != "equal" {
			t.Errorf("digest window %+v: %v", w, v)
		}
	}
	if len(r.Blocks) != 1 || r.Blocks[0].SSRC != box.ssrc {
		t.Errorf("reception report %+v", r.Blocks)
	}
}

// A caller with a wrong passphrase or an unknown stream id is refused, in
// words.
func TestRefusals(t *testing.T) {
	g, _ := startGateway(t, Config{
		Listeners: oneListener(0),
		Contributions: []Contribution{{
			Name: "a", Keys: [][]byte{newKey(t)}, Inputs: []Input{listening("one", pass)},
		}},
	})
	for _, c := range []struct {
		id, pass string
		code     int
	}{
		{"one", "wrong passphrase", srt.RejectBadSecret},
		{"one", "", srt.RejectUnsecure},
		{"other", pass, srt.RejectNotFound},
	} {
		_, err := srt.Dial(context.Background(), g.Addr(loopback).String(), srt.Options{StreamID: c.id, Passphrase: c.pass})
		var r *srt.RejectError
		if !asError(err, &r) || r.Code != c.code {
			t.Errorf("%s/%q: %v, want code %d", c.id, c.pass, err, c.code)
		}
	}
	eventually(t, 10*time.Second, "the callers with another passphrase are counted", func() bool {
		in := g.Status(context.Background()).Contributions[0].Inputs[0]
		return in.Refused == 2 && in.RefusedLast == "127.0.0.1"
	})
	if st := g.Status(context.Background()); st.Ports[0].Refused == 0 || st.Contributions[0].State != Waiting {
		t.Errorf("%+v", st)
	}
}

// While another process has a port, nothing works: no output is opened, and no
// far end called. Then all is as ever; or the gateway stops at once when told.
func TestPortTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	peer, err := net.ListenPacket("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	called := make(chan struct{}, 1)
	go func() {
		if n, _, _ := peer.ReadFrom(make([]byte, 2000)); n > 0 {
			called <- struct{}{}
		}
	}()
	file := filepath.Join(t.TempDir(), "out.ts")
	cfg := Config{
		Name: "gw", Now: clock, Log: testLog(t, "gw"), Listeners: []Listener{{Address: taken.LocalAddr().String()}},
		Contributions: []Contribution{{
			Name: "a", Keys: [][]byte{newKey(t)}, Latency: 200 * time.Millisecond,
			Inputs:  []Input{{Name: "one", Listen: taken.LocalAddr().String(), Offset: -1, SRT: srt.Options{StreamID: "one"}}},
			Peers:   []Peer{{Name: "p", Call: peer.LocalAddr().String()}},
			Outputs: []OutputConfig{&FileOutput{Name: "file", Path: file}},
		}},
	}
	idle := func(g *Gateway) {
		t.Helper()
		time.Sleep(500 * time.Millisecond)
		if _, err := os.Stat(file); err == nil || len(called) > 0 {
			t.Errorf("it works without its port: file %v, %d calls", err, len(called))
		}
		if hung := g.hung(t.Context()); len(hung) > 0 || len(g.Status(t.Context()).Contributions) > 0 {
			t.Errorf("hung: %v", hung)
		}
	}
	start := func() (*Gateway, context.CancelFunc, chan error) {
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		return g, cancel, ended
	}
	end := func(ended chan error, what string) error {
		t.Helper()
		select {
		case err := <-ended:
			return err
		case <-time.After(3 * time.Second):
			t.Fatal("it does not end: " + what)
			return nil
		}
	}
	g, cancel, ended := start()
	idle(g)
	cancel()
	if err := end(ended, "stopped while it waits"); err == nil {
		t.Error("no error although the port was taken")
	}

	g, cancel, ended = start()
	defer cancel()
	idle(g)
	taken.Close()
	select {
	case <-g.Up():
	case <-time.After(5 * time.Second):
		t.Fatal("it does not come up")
	}
	eventually(t, 5*time.Second, "the file is open and the peer called", func() bool {
		_, err := os.Stat(file)
		return err == nil && len(called) > 0
	})
	cancel()
	if err := end(ended, "stopped"); err != nil {
		t.Error(err)
	}
}
