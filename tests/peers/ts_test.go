package peers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/tests/freeport"
	"quartet/uplink"
	"quartet/uplink/srt"
)

// sender runs an uplink.Sender until the test ends.
type sender struct {
	*uplink.Sender
	now func() time.Duration
}

func run(t testing.TB, cfg uplink.SenderConfig) *sender {
	t.Helper()
	begin := time.Now()
	cfg.Now = func() time.Duration { return time.Since(begin) }
	cfg.PacketsPerMessage = cmp.Or(cfg.PacketsPerMessage, 7)
	s, err := uplink.NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &sender{s, cfg.Now}
}

// up waits until every path has its far end.
func (s *sender) up(t testing.TB) {
	t.Helper()
	until(t, 15*time.Second, "every path is up", func() bool {
		return !slices.ContainsFunc(s.Paths(), func(p *uplink.Path) bool { return p.Stats().State != uplink.StateUp })
	})
}

// pour feeds the sender beside the test, which ends only after it.
func (s *sender) pour(t testing.TB, rate int64, ts []byte) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := pour(t.Context(), s, s.now, rate, ts); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	return wg.Wait
}

// A tsPath is a way for an SRT receiver to get the profile ts: we call it, or
// it calls us. keys are AES-128 and AES-256.
var tsPaths = []struct {
	name, mode string // of the receiver
	key        int
}{
	{"receiver listens", "listener", 32},
	{"receiver calls", "caller", 16},
}

const tsLatency = 500 * time.Millisecond

// tsSender sends the profile ts from or to a port; url is what the receiver is
// given, without its latency, whose unit the programs do not agree on.
func tsSender(t testing.TB, mode string, key int, receiver func(url string)) *sender {
	t.Helper()
	port := freeport.UDP(t)
	o := srt.Options{PayloadSize: srt.TSPayload, Passphrase: passphrase, KeyLength: key, Latency: tsLatency, ConnectTimeout: 500 * ms}
	url := fmt.Sprintf("srt://%s?mode=%s&passphrase=%s", local(port), mode, passphrase)
	if mode == "listener" {
		receiver(url)
		until(t, 10*time.Second, "the receiver listens", func() bool { return bound(port) })
	}
	var d uplink.Dialer = uplink.NewSRTCaller(local(port), o)
	if mode == "caller" {
		l, err := uplink.NewSRTListener(local(port), o)
		if err != nil {
			t.Fatal(err)
		}
		d = l
	}
	s := run(t, uplink.SenderConfig{Paths: []uplink.PathConfig{{Name: "ts", Profile: uplink.ProfileTS, Dialer: d}}})
	if mode == "caller" {
		receiver(url + "&pbkeylen=" + fmt.Sprint(key))
	}
	return s
}

// checkSent demands that the path took everything, at the first attempt, and
// that it was encrypted on the way.
func (s *sender) checkSent(t testing.TB, bytes int) {
	t.Helper()
	st := s.Paths()[0].Stats()
	if st.Connects != 1 || st.Dropped+st.Stale+st.Unsent != 0 || st.SentBytes != uint64(bytes) {
		t.Errorf("the path: %+v", st)
	}
}

// srt-live-transmit gets the transport stream byte for byte.
func TestTSProfileToSRTLiveTransmit(t *testing.T) {
	t.Parallel()
	for _, c := range tsPaths {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB) {
				_, content := encoded(t)
				var tool *child
				s := tsSender(t, c.mode, c.key, func(url string) {
					tool = start(t, true, "srt-live-transmit", "-q", "-a:no", "-loglevel:error", url+fmt.Sprintf("&latency=%d", tsLatency/ms), "file://con")
				})
				s.up(t)
				// The program keeps the last few messages in its output's buffer:
				// null packets push them out.
				all := append(slices.Clone(content), nulls(7*80)...)
				poured := s.pour(t, 2*feedRate, all)
				got := make([]byte, len(content))
				if n, err := io.ReadFull(tool.out, got); err != nil {
					t.Fatalf("after %d of %d bytes: %v", n, len(got), err)
				}
				if !bytes.Equal(got, content) {
					t.Errorf("the stream differs from byte %d of %d", same(got, content), len(got))
				}
				poured()
				until(t, 5*time.Second, "everything is sent", func() bool { return s.Paths()[0].Stats().SentBytes == uint64(len(all)) })
				s.checkSent(t, len(all))
				tool.end(syscall.SIGTERM)
				if said := tool.said(); said != "" {
					t.Errorf("srt-live-transmit said: %s", said)
				}
			})
		})
	}
}

// ffmpeg decodes the very pictures that were encoded, and says nothing.
func TestTSProfileToFFmpeg(t *testing.T) {
	t.Parallel()
	for _, c := range tsPaths {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB) {
				path, content := encoded(t)
				want := frames(t, path)
				const n = 80 // the stream has 100
				if len(want) < n {
					t.Fatalf("only %d pictures in the feed", len(want))
				}
				var tool *child
				s := tsSender(t, c.mode, c.key, func(url string) {
					tool = start(t, true, "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-analyzeduration", "1000000", "-i", url+fmt.Sprintf("&latency=%d", tsLatency/time.Microsecond),
						"-map", "0:v", "-fps_mode", "passthrough", "-frames:v", fmt.Sprint(n), "-f", "framehash", "-hash", "crc32", "-")
				})
				s.up(t)
				s.pour(t, feedRate, append(slices.Clone(content), nulls(7*200)...))
				out, err := io.ReadAll(tool.out)
				if err != nil {
					t.Fatal(err)
				}
				tool.wait(5 * time.Second)
				if got := hashes(out); !slices.Equal(got, want[:n]) {
					t.Errorf("%d pictures, want %d, or not the same", len(got), n)
				}
			})
		})
	}
}

// ffprobe finds the programme and its streams, and says nothing.
func TestTSProfileToFFprobe(t *testing.T) {
	t.Parallel()
	timed(t, tsProfileToFFprobe)
}

func tsProfileToFFprobe(t testing.TB) {
	_, content := encoded(t)
	var tool *child
	s := tsSender(t, "listener", 24, func(url string) {
		tool = start(t, true, "ffprobe", "-hide_banner", "-loglevel", "error", "-analyzeduration", "2000000", "-show_programs", "-show_streams", "-of", "json",
			url+fmt.Sprintf("&latency=%d", tsLatency/time.Microsecond))
	})
	s.up(t)
	s.pour(t, feedRate, content)
	out, err := io.ReadAll(tool.out)
	if err != nil {
		t.Fatal(err)
	}
	tool.wait(10 * time.Second)
	var found struct {
		Programs []struct {
			ID   int `json:"program_id"`
			Tags map[string]string
		}
		Streams []struct {
			Codec string `json:"codec_name"`
			Width int
			Rate  string `json:"sample_rate"`
		}
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, st := found.Programs, found.Streams
	if len(p) != 1 || p[0].ID != 1 || p[0].Tags["service_name"] != "Interop" {
		t.Errorf("programmes %+v", p)
	}
	if len(st) != 2 || st[0].Codec != "h264" || st[0].Width != 480 || st[1].Codec != "aac" || st[1].Rate != "48000" {
		t.Errorf("streams %+v", st)
	}
}
