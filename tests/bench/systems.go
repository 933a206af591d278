package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quartet/device/config"
	"quartet/tests/relay"
)

// Families of systems.
const (
	familyQuartet = "quartet"
	familySRT     = "srt"
	familyRIST    = "rist"
)

// system is one thing that carries the stream.
type system struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Family string `json:"family"`
	Paths  int    `json:"paths"`
	Parity bool   `json:"parity"`           // Quartet's Reed-Solomon parity
	Query  string `json:"query,omitempty"`  // of the peers' URLs, both ends
	Caller string `json:"caller,omitempty"` // of the sending end alone
	// Stagger of each path in ms; nil: quartetd's own choice. What a path does
	// not wait for its stagger, SRT gets for retransmission.
	Stagger []int `json:"stagger_ms,omitempty"`
}

// srtFilter is SRT's own XOR FEC, columns and rows as in FACTS.
const srtFilter = "packetfilter=fec,cols:10,rows:5,arq:"

// allSystems in the order of the report. librist takes as many peers as it is
// given and sends a copy to each (weight 0); srt-live-transmit of Debian is
// built without bonding and has one path.
func allSystems() []system {
	var all []system
	for _, n := range []int{1, 2, 4} {
		paths := plural(n, "path")
		all = append(all,
			system{ID: fmt.Sprintf("quartet-%d", n), Title: "Quartet, " + paths + ", parity", Family: familyQuartet, Paths: n, Parity: true},
			system{ID: fmt.Sprintf("quartet-%d-r0", n), Title: "Quartet, " + paths + ", r = 0", Family: familyQuartet, Paths: n})
	}
	all = append(all,
		system{ID: "srt-default", Title: "srt-live-transmit, default", Family: familySRT, Paths: 1},
		system{ID: "srt-algo0", Title: "srt-live-transmit, RETRANSMITALGO 0", Family: familySRT, Paths: 1, Caller: "retransmitalgo=0"},
		system{ID: "srt-fec-onreq", Title: "srt-live-transmit, XOR FEC 10×5 onreq", Family: familySRT, Paths: 1, Query: srtFilter + "onreq"},
		system{ID: "srt-fec-always", Title: "srt-live-transmit, XOR FEC 10×5 always", Family: familySRT, Paths: 1, Query: srtFilter + "always"})
	for _, n := range []int{1, 2, 4} {
		all = append(all, system{ID: fmt.Sprintf("rist-%d", n), Title: "librist, " + plural(n, "path"), Family: familyRIST, Paths: n, Caller: "weight=0"})
	}
	return all
}

// moreSystems are measured only when they are named: Quartet without parity
// and with staggers so wide that an outage common to all paths ends between two
// copies of a packet.
func moreSystems() []system {
	return []system{
		{ID: "quartet-2-wide", Title: "Quartet, 2 paths, r = 0, stagger 0/120 ms", Family: familyQuartet, Paths: 2, Stagger: []int{0, 120}},
		{ID: "quartet-4-wide", Title: "Quartet, 4 paths, r = 0, stagger 0/100/0/200 ms", Family: familyQuartet, Paths: 4, Stagger: []int{0, 100, 0, 200}},
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// chosen picks systems by id, comma separated; a prefix of ids counts for all
// of them, "all" for everything.
func chosen(ids string) ([]system, error) {
	var picked []system
	taken := map[string]bool{}
	for id := range strings.SplitSeq(ids, ",") {
		found := false
		for _, s := range allSystems() {
			if id == "all" || s.ID == id || s.Family == id {
				found = true
				if !taken[s.ID] {
					taken[s.ID] = true
					picked = append(picked, s)
				}
			}
		}
		for _, s := range moreSystems() {
			if s.ID == id && !taken[id] {
				found, taken[id] = true, true
				picked = append(picked, s)
			}
		}
		if !found {
			return nil, fmt.Errorf("--systems: there is no %q: use all, a family (quartet, srt, rist) or ids such as quartet-2-r0, srt-algo0, rist-4; besides all: quartet-2-wide, quartet-4-wide", id)
		}
	}
	return picked, nil
}

// link is a kind of bad network.
type link struct {
	ID    string
	Title string
	// impair gives the losses; packet is the spacing of the stream's packets.
	impair func(packet time.Duration) relay.Impairment
}

// burstPackets is the mean length of a burst, in packets of the stream.
const burstPackets = 25

// commonShare is the part of correlated losses that strikes all paths at once.
const commonShare = 0.3

func allLinks() []link {
	burst := func(packet time.Duration, common float64) relay.Impairment {
		return relay.Impairment{Burst: relay.Burst{Loss: 0.05, MeanMS: burstPackets * packet.Seconds() * 1000, Common: common}}
	}
	return []link{
		{"loss5", "5 % independent", func(time.Duration) relay.Impairment { return relay.Impairment{Loss: 0.05} }},
		{"loss10", "10 % independent", func(time.Duration) relay.Impairment { return relay.Impairment{Loss: 0.10} }},
		{"burst", "bursts 5 %, mean 25 packets", func(p time.Duration) relay.Impairment { return burst(p, 0) }},
		{"common", "bursts 5 %, 0.3 of it common to all paths", func(p time.Duration) relay.Impairment { return burst(p, commonShare) }},
	}
}

// cell is one network condition.
type cell struct {
	RTT  time.Duration
	Link link
}

func (c cell) id() string { return fmt.Sprintf("rtt%d-%s", c.RTT.Milliseconds(), c.Link.ID) }

// impairment of both directions.
func (c cell) impairment(rateBPS int64) relay.Impairment {
	i := c.Link.impair(packetTime(rateBPS))
	i.DelayMS = c.RTT.Seconds() * 1000 / 2
	return i
}

// packetTime is the spacing of the stream's packets of 1316 bytes.
func packetTime(rateBPS int64) time.Duration {
	return time.Duration(float64(datagramBytes*8) / float64(rateBPS) * float64(time.Second))
}

// slot is a system of a run, with its addresses and programs.
type slot struct {
	sys    system
	dir    string           // for files
	in     netip.AddrPort   // the feed
	near   []netip.AddrPort // where each path begins: its relay
	far    []netip.AddrPort // where each path ends
	out    netip.AddrPort   // the sink
	http   netip.AddrPort   // Quartet's gateway
	relays []*relay.Relay
	progs  []*program
}

// control is Quartet's socket.
func (s *slot) control() string { return filepath.Join(s.dir, s.sys.ID+".sock") }

// pacerHold is how long quartetd holds its input against jitter. It is part of
// Quartet's total latency here: what is left of it goes into latency_ms.
const pacerHold = 5 * time.Millisecond

// planMargin is what the planner keeps for pacing and ticks, ms.
const planMargin = 8

// commands are the receiving and the sending program. Nothing is encrypted
// here: it would cost the same processor time everywhere.
func (s *slot) commands(o options, rtt time.Duration) (receive, send []string, err error) {
	switch s.sys.Family {
	case familyQuartet:
		return s.quartet(o, rtt)
	case familySRT:
		latency := fmt.Sprintf("latency=%d", o.latency.Milliseconds())
		return srtProgram(
				query("srt://"+s.far[0].String(), "mode=listener", latency, s.sys.Query),
				"udp://"+s.out.String()),
			srtProgram(
				fmt.Sprintf("udp://:%d", s.in.Port()),
				query("srt://"+s.near[0].String(), "mode=caller", latency, s.sys.Query, s.sys.Caller)), nil
	case familyRIST:
		buffer := fmt.Sprintf("buffer=%d", o.latency.Milliseconds())
		var from, to []string
		for i := range s.sys.Paths {
			from = append(from, query("rist://@"+s.far[i].String(), buffer, s.sys.Query))
			to = append(to, query("rist://"+s.near[i].String(), buffer, s.sys.Query, s.sys.Caller))
		}
		return []string{"ristreceiver", "-p", "1", "-S", "0", "-v", "4", "-i", strings.Join(from, ","), "-o", "udp://" + s.out.String()},
			[]string{"ristsender", "-p", "1", "-S", "0", "-v", "4", "-i", "udp://@" + s.in.String(), "-o", strings.Join(to, ",")}, nil
	}
	return nil, nil, fmt.Errorf("system %s: unknown family %q", s.sys.ID, s.sys.Family)
}

func srtProgram(from, to string) []string {
	return []string{"srt-live-transmit", "-q", "-chunk:1316", from, to}
}

// query appends parameters, leaving out empty ones.
func query(url string, params ...string) string {
	sep := "?"
	for _, p := range params {
		if p != "" {
			url, sep = url+sep+p, "&"
		}
	}
	return url
}

// farPorts is how many ports the receiving end has: Quartet's gateway tells
// its paths apart by stream id, on one port.
func (s system) farPorts() int {
	if s.Family == familyRIST {
		return s.Paths
	}
	return 1
}

// quartet writes the documents of a box and of the one gateway in which all
// its paths end, and gives their commands.
func (s *slot) quartet(o options, rtt time.Duration) (receive, send []string, err error) {
	const key = config.Secret("5151515151515151515151515151515151515151515151515151515151515151")
	b := config.Default[config.Box]()
	b.Confidence.Enabled = false // nobody else decodes
	b.Version, b.Name = config.SchemaVersion, s.sys.ID
	b.Input.Type, b.Input.URL = config.TypeUDP, "udp://"+s.in.String()
	b.Input.JitterMS = config.Milliseconds(pacerHold.Milliseconds())
	b.Output.Key = key
	b.Output.LatencyMS = config.Milliseconds((o.latency - pacerHold).Milliseconds())
	b.Output.MaxBitrateKbps = config.Kbps(o.rateBPS / 1000)
	b.Output.RTTMS = config.Milliseconds(rtt.Milliseconds())
	// All paths are alike and end in one gateway.
	b.Output.SkewMS, b.Output.PeerHopMS = 0, 0
	b.Output.OverheadPercent = 0
	if s.sys.Parity {
		b.Output.OverheadPercent = o.overhead
	}
	b.Control.Socket = s.control()
	b.Log.Level = "warn"

	g := config.Default[config.Gateway]()
	g.Version, g.Name, g.HTTP.Listen = config.SchemaVersion, s.sys.ID, s.http.String()
	g.Log.Level = "warn"
	l := config.Default[config.Listener]()
	l.Name, l.Address = "srt", s.far[0].String()
	g.Listeners = []config.Listener{l}
	c := config.Default[config.Contribution]()
	c.Name, c.Key, c.LatencyMS, c.MaxBitrateKbps = "bench", key, b.Output.LatencyMS, b.Output.MaxBitrateKbps
	for i := range s.sys.Paths {
		p := config.Default[config.Path]()
		p.Name, p.URL, p.StreamID = fmt.Sprint(i+1), "srt://"+s.near[i].String(), fmt.Sprintf("%s-%d", s.sys.ID, i+1)
		if s.sys.Stagger != nil {
			by := config.Milliseconds(s.sys.Stagger[i])
			p.StaggerMS, p.LatencyMS = &by, b.Output.LatencyMS-planMargin-by
		}
		b.Paths = append(b.Paths, p)
		in := config.Default[config.GatewayInput]()
		in.Name, in.Listener, in.StreamID = p.Name, "srt", p.StreamID
		c.Inputs = append(c.Inputs, in)
	}
	out := config.Default[config.GatewayOutput]()
	out.Name, out.Type, out.URL = "out", config.TypeUDP, "udp://"+s.out.String()
	c.Outputs = []config.GatewayOutput{out}
	g.Contributions = []config.Contribution{c}

	box, gate := filepath.Join(s.dir, s.sys.ID+"-box.json"), filepath.Join(s.dir, s.sys.ID+"-gateway.json")
	if err := os.WriteFile(box, config.Encode(&b), 0o600); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(gate, config.Encode(&g), 0o600); err != nil {
		return nil, nil, err
	}
	return []string{filepath.Join(o.bin, "quartet-gateway"), "run", "--config", gate},
		[]string{filepath.Join(o.bin, "quartetd"), "run", "--config", box, "--data", filepath.Join(s.dir, s.sys.ID+"-data")}, nil
}
