package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/uplink/srt"
)

// tsReceiver is an SRT receiver of plain transport stream.
type tsReceiver struct {
	mu   sync.Mutex
	got  []byte
	stop chan struct{}
	done chan struct{}
}

func receiveTS(t testing.TB, c *srt.Conn) *tsReceiver {
	r := &tsReceiver{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer func() { _ = c.Close() }()
		b := srt.NewBatch(64)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-tick.C:
			}
			n, err := c.Recv(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			for i := range n {
				r.got = append(r.got, b.Msg(i)...)
			}
			r.mu.Unlock()
		}
	}()
	t.Cleanup(r.close)
	return r
}

func (r *tsReceiver) close() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	<-r.done
}

func (r *tsReceiver) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.got)
}

func outputOf(g *Gateway, name string) OutputStats {
	for _, o := range g.Status(context.Background()).Contributions[0].Outputs {
		if o.Name == name {
			return o
		}
	}
	return OutputStats{}
}

// SRT outputs hand on the plain transport stream: as listener to several, as
// caller to one that may come late and go.
func TestSRTOutputs(t *testing.T) {
	far := freePort(t)
	g, out, key := solo(t, func(c *Config) {
		c.Contributions[0].Outputs = append(c.Contributions[0].Outputs,
			&SRTOutput{Name: "listens", Listen: loopback, SRT: srt.Options{Passphrase: pass, Latency: pathLatency}},
			&SRTOutput{Name: "calls", Call: far, SRT: srt.Options{Latency: pathLatency}})
	})
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 50 })
	addr := outputOf(g, "listens").Destination

	if _, err := srt.Dial(context.Background(), addr, srt.Options{Passphrase: "wrong passphrase"}); err == nil {
		t.Error("a wrong passphrase gets the stream")
	}
	first := receiveTS(t, dial(t, addr, srt.Options{Passphrase: pass, PayloadSize: 1316}))
	second := receiveTS(t, dial(t, addr, srt.Options{Passphrase: pass, PayloadSize: 1316}))
	l, err := srt.Listen(far, srt.Options{PayloadSize: 1316}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := l.Accept(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	third := receiveTS(t, conn)
	for _, r := range []*tsReceiver{first, second, third} {
		eventually(t, 10*time.Second, "the receiver has a second of it", func() bool { return len(r.bytes()) > 400_000 })
	}
	if st := outputOf(g, "listens"); st.Connections != 2 || st.State != "connected" || st.DroppedPackets != 0 {
		t.Errorf("%+v", st)
	}
	// One receiver goes: the others do not notice.
	second.close()
	third.close()
	eventually(t, 10*time.Second, "its end is noticed", func() bool { return outputOf(g, "listens").Connections == 1 })
	conn, err = l.Accept(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	again := receiveTS(t, conn)
	eventually(t, 10*time.Second, "the caller is back", func() bool { return len(again.bytes()) > 100_000 })
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	for i, r := range []*tsReceiver{first, second, third, again} {
		if b := r.bytes(); len(b)%tsPacket != 0 || !bytes.Contains(box.ts, b) {
			t.Errorf("receiver %d: %d bytes that are no run of what was sent", i, len(b))
		}
	}
	sameRun(t, out.packets(), box.packets())
}

// A receiver that does not read, and a pipe that nobody empties, cost only
// themselves.
func TestSlowOutputs(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	g, out, key := solo(t, func(c *Config) {
		c.Contributions[0].Outputs = append(c.Contributions[0].Outputs,
			&SRTOutput{Name: "slow", Listen: loopback, SRT: srt.Options{
				Latency: pathLatency, FC: 64, SndBuf: 64 * 1472, RcvBuf: 64 * 1472,
			}},
			&FileOutput{Name: "pipe", Path: pipe})
	})
	fd, err := syscall.Open(pipe, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 50 })
	eventually(t, 10*time.Second, "the pipe is open", func() bool { return outputOf(g, "pipe").State == "open" })
	conn := dial(t, outputOf(g, "slow").Destination, srt.Options{FC: 64, RcvBuf: 64 * 1472, SndBuf: 64 * 1472})
	defer func() { _ = conn.Close() }()
	eventually(t, 20*time.Second, "the pipe's packets are dropped", func() bool { return outputOf(g, "pipe").DroppedPackets > 100 })
	eventually(t, 20*time.Second, "the receiver's packets are dropped", func() bool { return outputOf(g, "slow").DroppedPackets > 100 })
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
}

// While the feed is lost, an output with null sends null packets at the last
// rate, and one with stop is silent; when it returns, both carry it.
func TestInputLoss(t *testing.T) {
	plain := newReceiver(t)
	g, out, key := solo(t, func(c *Config) {
		c.Contributions[0].Outputs = append(c.Contributions[0].Outputs,
			&UDPOutput{Name: "udp", Destination: Destination{Address: plain.addr()}, OnLoss: Null})
	})
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 20*time.Second, "packets come out", func() bool { return out.count() > 700 })
	box.pause()
	state := func() FeedState { return g.Status(context.Background()).Contributions[0].State }
	eventually(t, 10*time.Second, "the loss is noticed", func() bool { return state() == Lost })
	at, began := plain.count(), time.Now()
	silent := out.count()
	lasts(t, 2*time.Second, "the RTP output is silent", func() bool { return out.count() == silent })
	fill := plain.packets()[at:]
	rate := float64(len(fill)*1316*8) / time.Since(began).Seconds()
	if rate < 3_000_000 || rate > 4_500_000 {
		t.Errorf("filled at %.0f bit/s", rate)
	}
	for _, m := range fill {
		if m[1] != 0x1F || m[2] != 0xFF {
			t.Fatal("the filling is no null packets")
		}
	}
	if st := outputOf(g, "udp"); st.NullPackets == 0 {
		t.Errorf("%+v", st)
	}
	box.with(func() { box.paused = false })
	eventually(t, 10*time.Second, "the feed is back", func() bool { return state() == Streaming && out.count() > silent+100 })
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
	// Without its null packets the plain output is the feed.
	var feed []byte
	for _, m := range plain.packets() {
		if m[1] != 0x1F || m[2] != 0xFF {
			feed = append(feed, m...)
		}
	}
	if !bytes.Contains(box.ts, feed) {
		t.Error("the feed beside the null packets differs from what was sent")
	}
}

// Filling ends after NullFor.
func TestInputLossEnds(t *testing.T) {
	plain := newReceiver(t)
	g, _, key := solo(t, func(c *Config) {
		c.Contributions[0].NullFor = 500 * time.Millisecond
		c.Contributions[0].Outputs = []OutputConfig{&UDPOutput{Name: "udp", Destination: Destination{Address: plain.addr()}, OnLoss: Null}}
	})
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 20*time.Second, "packets come out", func() bool { return plain.count() > 400 })
	box.pause()
	eventually(t, 10*time.Second, "null packets come out", func() bool { return outputOf(g, "udp").NullPackets > 0 })
	n := uint64(0)
	eventually(t, 10*time.Second, "they end", func() bool {
		was := n
		n = outputOf(g, "udp").NullPackets
		select {
		case <-time.After(300 * time.Millisecond):
		case <-t.Context().Done():
		}
		return n == was
	})
}

// What was received is released before a gateway ends, and it ends in time.
func TestDrain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.ts")
	out, key := newReceiver(t), newKey(t)
	g, stop := startGateway(t, Config{
		Listeners: oneListener(20 * time.Millisecond),
		Contributions: []Contribution{{
			Name: "a", Keys: [][]byte{key}, Latency: 800 * time.Millisecond, Inputs: []Input{listening("one", pass)},
			Outputs: []OutputConfig{
				&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: out.addr()}}},
				&FileOutput{Name: "file", Path: file},
			},
		}},
	})
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 100 })
	held := g.Status(context.Background()).Contributions[0].Merged.Buffered
	was, began := out.count(), time.Now()
	stop()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("stopped after %v", d)
	}
	eventually(t, time.Second, "what was held came out", func() bool { return out.count() >= was+int(held)*9/10 })
	box.close()
	sameRun(t, out.packets(), box.packets())
}

// The HTTP server shows status, metrics and health, and no secret.
func TestHTTP(t *testing.T) {
	g, out, key := solo(t, func(c *Config) {
		c.HTTP = "127.0.0.1:0"
		c.Contributions[0].Monitor = true
		c.Contributions[0].Peers = []Peer{{Name: "away", Call: freePort(t), SRT: srt.Options{Passphrase: "peer passphrase", StreamID: "x"}}}
	})
	startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 500 })
	get := func(path string, code int) string {
		t.Helper()
		r, err := http.Get("http://" + g.HTTPAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != code {
			t.Errorf("%s: %d %v", path, r.StatusCode, err)
		}
		for _, secret := range []string{pass, "peer passphrase", string(key)} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s shows a secret", path)
			}
		}
		return string(b)
	}
	var st Status
	if err := json.Unmarshal([]byte(get("/status", 200)), &st); err != nil {
		t.Fatal(err)
	}
	if len(st.Contributions) != 1 || st.Contributions[0].Merged.Delivered == 0 || st.Contributions[0].Inputs[0].Connection[0].SRT.PktRecvTotal == 0 {
		t.Errorf("%+v", st)
	}
	if p := st.Contributions[0].Peers[0]; p.State != "connecting" {
		t.Errorf("%+v", p)
	}
	metrics := get("/metrics", 200)
	for _, want := range []string{
		`quartet_gateway_packets_delivered_total{contribution="a"} `,
		`quartet_gateway_input_packets_received_total{contribution="a",from="box",input="one"} `,
		`quartet_gateway_input_srt_ms_rtt{contribution="a",from="box",input="one"} `,
		`quartet_gateway_output_packets_sent_total{contribution="a",output="rtp",type="rtp"} `,
		`quartet_gateway_peer_connected{contribution="a",peer="away"} 0`,
		`quartet_gateway_ts_continuity_counter_errors_total{contribution="a"} 0`,
		`quartet_gateway_ts_pat_errors_total{contribution="a"} 0`, `quartet_gateway_ts_cat_errors_total{contribution="a"} 0`,
		`quartet_gateway_ready 1`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}
	get("/healthz", 200)
	get("/readyz", 200)
	get("/", 404)
	r, err := http.Post("http://"+g.HTTPAddr()+"/status", "text/plain", strings.NewReader("x"))
	if err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", r, err)
	}
	_ = r.Body.Close()
	// A contribution that hangs is not healthy.
	block := make(chan struct{})
	g.running["a"].c.post(func() { <-block })
	get("/healthz", 503)
	if err := json.Unmarshal([]byte(get("/status", 200)), &st); err != nil || st.Contributions[0].Responding {
		t.Errorf("a hanging contribution responds: %v", err)
	}
	close(block)
	http.DefaultClient.CloseIdleConnections()
}
