package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/capture/engine"
	"quartet/capture/genlock"
	"quartet/capture/mpegts"
)

// bridged runs a bridge in front of an encode pipeline that writes into a file,
// with captures that the test describes, and returns what was written.
func bridged(t *testing.T, c *engine.Config, length time.Duration, captures func(t *testing.T, b *bridge)) []byte {
	t.Helper()
	x, err := choose(c, exists)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "out.ts")
	text := strings.Replace(encodeText(c, x), fmt.Sprintf("fdsink name=out fd=%d", engine.FDStream), "filesink name=out location="+quote(file), 1)
	text = strings.Replace(text, fmt.Sprintf("fdsink name=pictures fd=%d", engine.FDPicture), "fakesink name=pictures", 1)
	p, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBridge(c, p)
	if err != nil {
		t.Fatal(err)
	}
	p.play()
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.run(quit) }()
	captures(t, b)
	time.Sleep(length)
	close(quit)
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.vin.end()
	if !b.silent {
		b.ain.end()
	}
	for m := p.next(10 * time.Second); m.kind != ended; m = p.next(10 * time.Second) {
		if m.kind == nothing || m.kind == failure {
			t.Fatalf("%+v", m)
		}
	}
	p.close()
	b.close()
	ts, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// capture plays a capture's description for the rest of the test.
func capture(t *testing.T, b *bridge, k kind, id int, text, end string) *pipeline {
	t.Helper()
	p, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.mail.tap(p, end, k, id); err != nil {
		t.Fatal(err)
	}
	b.use(k, id, genlock.Rate{})
	return p
}

// Frames of the input are on an exact grid of PTS behind the bridge, those of the
// slate before and after as well.
func TestBridge(t *testing.T) {
	c := config(func(c *engine.Config) {})
	ts := bridged(t, c, 600*time.Millisecond, func(t *testing.T, b *bridge) {
		text, _ := captureText(c, engine.Format{Width: 720, Height: 576, RateNum: 25, RateDen: 1, Interlaced: true})
		p := capture(t, b, video, 1, text, "video")
		s := capture(t, b, audio, 2, soundText(c), "sound")
		time.Sleep(300 * time.Millisecond)
		p.play()
		s.play()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if st := b.state(); st.Present && st.Sound && st.Frames > 30 {
				break
			} else if time.Now().After(end) {
				t.Errorf("no picture: %+v %+v", st, st.Lock)
				break
			}
		}
		b.use(video, 0, genlock.Rate{})
		b.use(audio, 0, genlock.Rate{})
		p.close()
		s.close()
	})
	var pts []mpegts.Timestamp
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		if p := mpegts.Packet(ts[:mpegts.PacketSize]); p.PID() == c.Mux.VideoPID && p.PUSI() {
			if v, ok := p.PTS(); ok {
				pts = append(pts, v)
			}
		}
	}
	odd := 0
	for i := 1; i < len(pts); i++ {
		d := pts[i].Diff(pts[i-1])
		if d < 1800 || d > 5400 {
			t.Errorf("frame %d: PTS %d after the one before", i, d)
		}
		if d < 3599 || d > 3601 {
			odd++
		}
	}
	// The grid begins anew with the input, and where this machine stood still.
	if odd > 4 || len(pts) < 40 {
		t.Errorf("%d of %d frames are off the grid", odd, len(pts))
	}
}

// Captions that a capture attaches to its frames are in the encoded stream: the
// bridge and the conversions let them pass. cccombiner stands for the capture.
func TestCaptionsPass(t *testing.T) {
	if !exists("cccombiner") {
		t.Skip("GStreamer's closedcaption elements are not installed: nothing here can attach captions")
	}
	c := config(func(c *engine.Config) { c.Audio = nil })
	// CTA-708: two bytes of CEA-608 of field 1 and a marker of the test's own.
	captions := []byte{0xFC, 0x94, 0x2C, 0xFD, 0x80, 0x80}
	ts := bridged(t, c, 300*time.Millisecond, func(t *testing.T, b *bridge) {
		form, _ := formText(c, engine.Format{Width: 640, Height: 360, RateNum: 25, RateDen: 1})
		p := capture(t, b, video, 1, "appsrc name=cc format=time is-live=false caps=\"closedcaption/x-cea-708,format=(string)cc_data,framerate=25/1\" ! comb.caption "+
			"videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=640,height=360,framerate=25/1,pixel-aspect-ratio=1/1 ! comb.sink cccombiner name=comb ! identity sync=true"+
			form+" ! fakesink name=video sync=false async=false", "video")
		defer p.close()
		cc, err := p.appsrc("cc")
		if err != nil {
			t.Fatal(err)
		}
		defer cc.close()
		p.play()
		for i := range 50 {
			if err := cc.bytes(captions, time.Duration(i)*40*time.Millisecond, 40*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		cc.end()
		for m := p.next(20 * time.Second); m.kind != ended; m = p.next(20 * time.Second) {
			if m.kind == nothing || m.kind == failure {
				t.Fatalf("%+v", m)
			}
		}
	})
	// Packet headers may cut the message: look at the payload of the picture alone.
	var es []byte
	for ; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
		if p := mpegts.Packet(ts[:mpegts.PacketSize]); p.PID() == c.Mux.VideoPID && p.HasPayload() {
			es = append(es, p.Payload()...)
		}
	}
	if n := bytes.Count(es, []byte("GA94\x03")); n < 10 {
		t.Errorf("%d frames carry captions (ATSC A/53 user data), want nearly 50", n)
	}
	if !bytes.Contains(es, []byte{0xFC, 0x94, 0x2C}) {
		t.Error("the captions are not those that were attached")
	}
}
