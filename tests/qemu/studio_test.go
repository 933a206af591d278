//go:build qemu

package qemu

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/tests/chain"
	"quartet/tests/freeport"
	"quartet/tests/tsgen"
	"quartet/uplink/gateway"
	"quartet/uplink/rtp"
)

// studio is the other side of the box's four paths on this machine: a real
// quartet-gateway for each, and receivers of what they put out. QEMU's network
// shows it to the box as 10.0.2.2.
type studio struct {
	t         testing.TB
	dir       string
	key       config.Secret
	doc       config.Box
	rate      int // bit/s
	configs   []string
	gateways  []*chain.Process
	http      []string
	receivers []*receiver
}

const (
	pathBPS  = 125_000 // for each path, of four; their packets take half of the emulated processors or more
	leastBPS = 250_000
	loopTS   = "/var/lib/quartetd/loop.ts"
)

func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// newStudio is for four paths, two per leg, or for those that are named.
func newStudio(t testing.TB, paths ...string) *studio {
	t.Helper()
	if len(paths) == 0 {
		paths = []string{"1a", "1b", "2a", "2b"}
	}
	s := &studio{t: t, dir: t.TempDir(), key: config.Secret(secret(32)), rate: max(pathBPS*len(paths), leastBPS)}
	box := config.Default[config.Box]()
	box.Version, box.Name = config.SchemaVersion, "lab"
	box.Input.Type, box.Input.URL = config.TypeFile, "file://"+loopTS
	box.Confidence.Enabled = false
	box.Output.Key = s.key
	// The emulated box, on a machine that does other things, may be late by a lot.
	box.Output.LatencyMS, box.Output.MaxBitrateKbps = 3000, config.Kbps(s.rate/1000*5/4)
	box.Output.OverheadPercent, box.Output.RTTMS = 20, 100
	for i, name := range paths {
		port := freeport.UDP(t)
		p := config.Default[config.Path]()
		p.Name, p.Leg = name, 1+i/2
		p.URL = fmt.Sprintf("srt://10.0.2.2:%d", port)
		p.StreamID, p.Passphrase = secret(8), config.Secret(secret(16))
		box.Paths = append(box.Paths, p)

		r := newReceiver(t)
		s.receivers = append(s.receivers, r)
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.http = append(s.http, l.Addr().String())
		l.Close()
		g := config.Default[config.Gateway]()
		g.Version, g.Name, g.HTTP.Listen = config.SchemaVersion, "gateway-"+name, s.http[i]
		li := config.Default[config.Listener]()
		li.Name, li.Address = "srt", fmt.Sprintf("127.0.0.1:%d", port)
		g.Listeners = []config.Listener{li}
		c := config.Default[config.Contribution]()
		c.Name, c.Key, c.LatencyMS = "lab", s.key, box.Output.LatencyMS
		in := config.Default[config.GatewayInput]()
		in.Name, in.Listener, in.StreamID, in.Passphrase = "box-"+name, "srt", p.StreamID, p.Passphrase
		c.Inputs = []config.GatewayInput{in}
		out := config.Default[config.GatewayOutput]()
		out.Name, out.Type, out.URL = "receiver", config.TypeRTP, "rtp://"+r.conn.LocalAddr().String()
		c.Outputs = []config.GatewayOutput{out}
		g.Contributions = []config.Contribution{c}
		file := filepath.Join(s.dir, g.Name+".json")
		if err := os.WriteFile(file, config.Encode(&g), 0o600); err != nil {
			t.Fatal(err)
		}
		s.configs = append(s.configs, file)
	}
	s.doc = box
	s.open()
	return s
}

// open starts the gateways.
func (s *studio) open() {
	s.t.Helper()
	s.gateways = nil
	for _, file := range s.configs {
		s.gateways = append(s.gateways, chain.StartProcess(s.t, file+".log", program("quartet-gateway"), "run", "--config", file))
	}
}

// loop is the input of the box: some seconds of noise with exact clocks.
func (s *studio) loop() []byte {
	g := tsgen.New(int64(s.rate), 7)
	return g.Next(nil, s.rate/8/tsgen.PacketSize*4)
}

// status asks gateway i.
func (s *studio) status(i int) (gateway.ContributionStatus, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.http[i]+"/status", nil)
	if err != nil {
		return gateway.ContributionStatus{}, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return gateway.ContributionStatus{}, err
	}
	defer a.Body.Close()
	var v gateway.Status
	if err := json.NewDecoder(a.Body).Decode(&v); err != nil {
		return gateway.ContributionStatus{}, err
	}
	if len(v.Contributions) != 1 {
		return gateway.ContributionStatus{}, fmt.Errorf("gateway %d has %d contributions", i, len(v.Contributions))
	}
	return v.Contributions[0], nil
}

// flowing waits until every receiver gets packets.
func (s *studio) flowing(limit time.Duration) {
	s.t.Helper()
	before := make([]int, len(s.receivers))
	for i, r := range s.receivers {
		before[i] = r.look().packets
	}
	eventually(s.t, limit, "packets from every gateway", func() bool {
		for i, r := range s.receivers {
			if r.look().packets < before[i]+50 {
				return false
			}
		}
		return true
	})
}

// pause is what is no stream any more: a restart is longer.
const pause = 2 * time.Second

// since is when the last of the receivers began to get what it gets now.
func (s *studio) since() time.Time {
	var last time.Time
	for _, r := range s.receivers {
		r.mu.Lock()
		if r.since.After(last) {
			last = r.since
		}
		r.mu.Unlock()
	}
	return last
}

// receiver takes the RTP of one gateway, as MediaConnect would.
type receiver struct {
	conn *net.UDPConn
	done chan struct{}

	mu    sync.Mutex
	last  uint16
	at    time.Time // of the last packet
	since time.Time // of the first after a pause
	seen  seen
	sums  map[place]uint64 // hash of each packet
	tape  *tape
}

// tape is a receiver's transport stream, and when each piece of it came.
type tape struct {
	ts    []byte
	ends  []int // of the pieces, in ts
	times []time.Time
}

// at is when the byte came.
func (a *tape) at(offset int) time.Time {
	i, _ := slices.BinarySearch(a.ends, offset+1)
	return a.times[min(i, len(a.times)-1)]
}

// record begins a tape; the function ends it.
func (r *receiver) record() (stop func() *tape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &tape{}
	r.tape = a
	return func() *tape {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tape = nil
		return a
	}
}

// place of a packet in the stream. The timestamp tells packets of different
// turns of the number apart.
type place struct {
	timestamp uint32
	sequence  uint16
}

// seen is what a receiver has counted since it was last forgotten.
type seen struct {
	packets int
	gaps    int // packets that are missing by their sequence numbers
	wrong   int // no RTP, or no whole TS packets
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(4 << 20)
	r := &receiver{conn: c, done: make(chan struct{}), sums: map[place]uint64{}}
	go r.run()
	t.Cleanup(func() { c.Close(); <-r.done })
	return r
}

func (r *receiver) run() {
	defer close(r.done)
	buf := make([]byte, 2048)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return
		}
		p := buf[:n]
		r.mu.Lock()
		if n <= rtp.HeaderSize || p[0]>>6 != 2 || (n-rtp.HeaderSize)%tsgen.PacketSize != 0 || p[rtp.HeaderSize] != 0x47 {
			r.seen.wrong++
			r.mu.Unlock()
			continue
		}
		seq := binary.BigEndian.Uint16(p[2:])
		if r.seen.packets > 0 {
			r.seen.gaps += int(seq - r.last - 1)
		}
		r.last = seq
		r.seen.packets++
		now := time.Now()
		if now.Sub(r.at) > pause {
			r.since = now
		}
		r.at = now
		if a := r.tape; a != nil {
			a.ts = append(a.ts, p[rtp.HeaderSize:]...)
			a.ends, a.times = append(a.ends, len(a.ts)), append(a.times, time.Now())
		}
		h := fnv.New64a()
		h.Write(p[rtp.HeaderSize:])
		r.sums[place{binary.BigEndian.Uint32(p[4:]), seq}] = h.Sum64()
		r.mu.Unlock()
	}
}

func (r *receiver) look() seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// forget begins a new count.
func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, r.sums = seen{}, map[place]uint64{}
}

// same counts the packets that two different receivers have in common, and how many of
// them differ.
func same(a, b *receiver) (common, differ int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, h := range a.sums {
		if other, ok := b.sums[k]; ok {
			common++
			if other != h {
				differ++
			}
		}
	}
	return common, differ
}
