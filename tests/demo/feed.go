package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"quartet/capture/engine"
	"quartet/capture/udp"
	"quartet/tests/ledger"
)

// feed sends a transport stream to the box and enters it in the ledger.
type feed struct {
	cancel  context.CancelFunc
	flowing chan struct{} // closed at the first packet
	done    chan struct{}
	err     error // valid after done
	log     string
	engine  atomic.Pointer[engine.Source] // nil: none makes this feed
}

// pictureRate is the constant rate of the test picture's transport stream.
const pictureRate = 6_000_000

// pictureConfig is a 720p25 picture with a burnt-in clock and frame counter, a
// tone, and a constant rate; device is a V4L2 device in its place, "" for none.
func pictureConfig(device string) engine.Config {
	c := engine.Config{
		Input: engine.Input{Kind: engine.InputTest},
		Video: engine.Video{Codec: engine.CodecH264, Profile: engine.ProfileLowLatency, Width: 1280, Height: 720,
			RateNum: 25, RateDen: 1, Chroma: "4:2:0", BitDepth: 8, Preset: "ultrafast"},
		Audio: []engine.Audio{{Codec: engine.CodecAAC, BitrateKbps: 192, Pair: 1, PID: 258}},
		Mux:   engine.Mux{RateBPS: pictureRate, PMTPID: 256, VideoPID: 257, ServiceID: 1, ServiceName: "Quartet demo", Provider: "Quartet"},
		Slate: engine.Picture{Kind: engine.SlateBars},
	}
	if device != "" {
		c.Input = engine.Input{Kind: engine.InputV4L2, Device: device}
	}
	return c
}

// startFeed starts the test picture or a device's, or listens to the user's own
// feed.
func startFeed(ctx context.Context, o *Options, to netip.AddrPort, l *ledger.Ledger, now func() time.Duration, log string) (*feed, error) {
	input := o.Input
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{cancel: cancel, flowing: make(chan struct{}), done: make(chan struct{}), log: log}
	send := &sender{conn: conn, ledger: l, now: now, first: func() { close(f.flowing) }}
	var run func(context.Context, *sender) error
	if input == "" || strings.HasPrefix(input, "/dev/") {
		run = func(ctx context.Context, w *sender) error { return f.picture(ctx, o, input, w) }
	} else {
		src, err := openInput(input, now)
		if err != nil {
			cancel()
			conn.Close()
			return nil, fmt.Errorf("INPUT %q: %w", input, err)
		}
		run = func(ctx context.Context, w *sender) error { return src.Run(ctx, w) }
	}
	go func() {
		defer close(f.done)
		defer conn.Close()
		f.err = run(ctx, send)
		if f.err == nil {
			f.err = errors.New("no more packets")
		}
	}()
	return f, nil
}

func openInput(url string, now func() time.Duration) (*udp.Source, error) {
	a, err := udp.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return udp.New(udp.Config{Legs: []udp.Address{a}, Now: now})
}

func (f *feed) stop() {
	f.cancel()
	<-f.done
}

// picture runs the media engine, supervised as in the box, and sends what it
// makes. Slate or stuffing come before the first picture.
func (f *feed) picture(ctx context.Context, o *Options, device string, w *sender) error {
	log, err := os.Create(f.log)
	if err != nil {
		return err
	}
	defer log.Close()
	data := filepath.Join(o.Dir, "engine")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	src, err := engine.New(engine.SourceConfig{
		Config: pictureConfig(device), Program: filepath.Join(o.Bin, "quartet-engine"), Data: data, Now: w.now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return err
	}
	f.engine.Store(src)
	return src.Run(ctx, w)
}

// trouble says why there is no picture of the device that was asked for; "" if
// there is.
func (f *feed) trouble() string {
	src := f.engine.Load()
	if src == nil {
		return ""
	}
	s := src.Stats()
	switch {
	case s.Present:
		return ""
	case s.Signal.Is != "" && !s.Signal.Good:
		return strings.Join(slices.DeleteFunc([]string{s.Signal.Text, s.Signal.Remedy}, func(t string) bool { return t == "" }), ": ")
	}
	return cmp.Or(s.Capture, s.Failure)
}

// datagram is seven TS packets.
const datagram = 7 * ledger.PacketSize

// sender is the mpegts.Writer that sends to the box, a full datagram at a time.
type sender struct {
	conn   *net.UDPConn
	ledger *ledger.Ledger
	now    func() time.Duration
	first  func() // called once
	buf    []byte
}

func (s *sender) WriteTS(_ time.Duration, ts []byte) error {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	s.buf = append(s.buf, ts...)
	for len(s.buf) >= datagram {
		// Entered before it is sent, so that it cannot come out sooner.
		s.ledger.WriteTS(s.now(), s.buf[:datagram])
		if _, err := s.conn.Write(s.buf[:datagram]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		s.buf = append(s.buf[:0], s.buf[datagram:]...)
	}
	return nil
}
