package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/tsgen"
	"quartet/uplink/gateway"
	"quartet/uplink/srt"
)

// bed is a box that runs in this process, and what is around it.
type bed struct {
	testing.TB
	doc    *config.Box
	file   string // of its configuration
	box    *box
	client *control.Client
	hup    chan os.Signal
	log    *logBuffer
	stop   func() (time.Duration, error) // ends the box; tells how long it took
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startBox runs a document until the test's end.
func startBox(t testing.TB, doc *config.Box, change ...func(*boxOptions)) *bed {
	t.Helper()
	b := &bed{TB: t, doc: doc, hup: make(chan os.Signal, 1), log: &logBuffer{}}
	doc.Control.Socket = filepath.Join(t.TempDir(), "s")
	b.file = write(t, doc)
	l, _, err := load(b.file, "")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	o := boxOptions{
		file: b.file, socket: doc.Control.Socket, start: start, now: func() time.Duration { return time.Since(start) },
		log: slog.New(slog.NewTextHandler(b.log, nil)), data: t.TempDir(),
	}
	for _, c := range change {
		c(&o)
	}
	b.box, err = newBox(l.doc, l.set, o)
	if err != nil {
		t.Fatal(err)
	}
	server, err := b.box.listenControl()
	if err != nil {
		b.box.close()
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.box.serve(ctx, server, b.hup) }()
	b.client = control.NewClient(doc.Control.Socket)
	var once sync.Once
	b.stop = func() (took time.Duration, err error) {
		once.Do(func() {
			b.client.Close()
			begun := time.Now()
			cancel()
			err = <-ended
			took = time.Since(begun)
		})
		return took, err
	}
	t.Cleanup(func() {
		if _, err := b.stop(); err != nil {
			t.Errorf("the box ends: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the box:\n%s", b.log)
		}
	})
	return b
}

// eventually polls until ok. Machines are slow at times; nothing here measures.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("did not come: %s", what)
		}
	}
}

func (b *bed) status() control.Status {
	b.Helper()
	s, err := b.client.Status(context.Background())
	if err != nil {
		b.Fatalf("status: %v", err)
	}
	return s
}

// change writes a changed document and has it read.
func (b *bed) change(change func(*config.Box)) ([]string, error) {
	b.Helper()
	change(b.doc)
	writeTo(b, b.file, config.Encode(b.doc))
	r, err := b.client.Reload(context.Background())
	return r.Changed, err
}

// mustChange is change without an error.
func (b *bed) mustChange(change func(*config.Box)) []string {
	b.Helper()
	changed, err := b.change(change)
	if err != nil {
		b.Fatalf("reload: %v", err)
	}
	return changed
}

// streamFile is two seconds of a generated transport stream of 1 Mbit/s.
func streamFile(t testing.TB) string {
	t.Helper()
	const rate = 1_000_000
	f := filepath.Join(t.TempDir(), "feed.ts")
	writeTo(t, f, tsgen.New(rate, 1).Next(nil, 2*rate/8/tsgen.PacketSize))
	return f
}

const passphrase = "correct-horse-battery"

// far is a gateway in this process with one contribution, and two ports, each
// with an input for two paths.
type far struct {
	testing.TB
	g   *gateway.Gateway
	cfg gateway.Config
}

func startGateway(t testing.TB) *far {
	t.Helper()
	key, err := hex.DecodeString(testKey)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	f := &far{TB: t, cfg: gateway.Config{
		Name: "far", Now: func() time.Duration { return time.Since(start) },
		Listeners:     []gateway.Listener{{Address: "127.0.0.1:0"}, {Address: "127.0.0.2:0"}},
		Contributions: []gateway.Contribution{{Name: "test", Keys: [][]byte{key}}},
	}}
	k := &f.cfg.Contributions[0]
	for _, l := range f.cfg.Listeners {
		for _, id := range []string{"a", "b"} {
			k.Inputs = append(k.Inputs, gateway.Input{Name: id + "-" + l.Address[:9], Listen: l.Address, Offset: -1, SRT: srt.Options{StreamID: id, Passphrase: passphrase}})
		}
	}
	k.Outputs = []gateway.OutputConfig{&gateway.FileOutput{Name: "out", Path: os.DevNull}}
	if f.g, err = gateway.New(f.cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	select {
	case <-f.g.Up():
	case <-time.After(20 * time.Second):
		t.Fatal("the gateway does not come up")
	}
	return f
}

// url of a port.
func (f *far) url(listener int) string {
	return "srt://" + f.g.Addr(f.cfg.Listeners[listener].Address).String()
}

// apply changes the contribution.
func (f *far) apply(change func(*gateway.Contribution)) {
	f.Helper()
	k := f.cfg.Contributions[0]
	k.Inputs = append([]gateway.Input(nil), k.Inputs...)
	change(&k)
	f.cfg.Contributions = []gateway.Contribution{k}
	if err := f.g.Apply(f.cfg); err != nil {
		f.Fatal(err)
	}
}

func (f *far) status() gateway.ContributionStatus {
	return f.g.Status(context.Background()).Contributions[0]
}

// sending is a box with a looped file that sends two streams to a gateway.
func (f *far) sending() *config.Box {
	d := config.Default[config.Box]()
	d.Version, d.Name = config.SchemaVersion, "box"
	d.Input.Type, d.Input.URL = config.TypeFile, "file://"+streamFile(f)
	d.Output.Key, d.Output.MaxBitrateKbps = testKey, 2000
	for _, id := range []string{"a", "b"} {
		p := config.Default[config.Path]()
		p.Name, p.StreamID, p.URL, p.Passphrase = id, id, f.url(0), passphrase
		d.Paths = append(d.Paths, p)
	}
	return &d
}

// waitUp waits until every path is up and reported.
func (b *bed) waitUp() {
	b.Helper()
	eventually(b, "every path is up and reported", func() bool {
		for _, p := range b.status().Paths {
			if p.State != control.PathUp || p.Arrival == nil || p.Arrival.Received == 0 {
				return false
			}
		}
		return true
	})
}

// flows waits until another hundred packets have arrived and no path is behind.
func (b *bed) flows(f *far) {
	b.Helper()
	before := f.status().Merged.Delivered
	eventually(b, "the feed flows on", func() bool {
		for _, p := range b.status().Paths {
			if p.State != control.PathUp || p.Arrival == nil || p.Arrival.AgeMS > 1000 {
				return false
			}
		}
		return f.status().Merged.Delivered >= before+100
	})
}
