package main

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	"quartet/capture"
	"quartet/capture/engine"
	"quartet/capture/mpegts"
	capsrt "quartet/capture/srt"
	"quartet/capture/tr101290"
	"quartet/capture/tsfile"
	"quartet/capture/udp"
	"quartet/cmd/internal/boxplan"
	"quartet/cmd/internal/socket"
	"quartet/device/config"
	"quartet/uplink"
	"quartet/uplink/adapt"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// The chain of the box, in the order a packet takes:
//
//	source → tap → capture.Input → uplink.Sender → uplink.Path ×n
//	                                └→ tap
//
// This file and build_engine.go alone turn the configuration's words into the
// parts' own settings; here is the only switch on kinds of input and of path. build only reckons;
// newChain and dialer open what is to be opened.

// parts are the settings that a document makes.
type parts struct {
	source     sourceParts
	watch      *engine.WatcherConfig // nil: nobody looks at a passed-through feed
	limits     limits                // of picture and sound
	adapt      *adapt.Config         // nil: the encoder's rate stays, or there is none
	guard      capture.GuardConfig
	monitor    *tr101290.Config    // nil: switched off
	pacer      *mpegts.PacerConfig // nil: the source paces itself
	plan       uplink.Plan
	perMessage int // TS packets
	key        rtp.TagKey
	accept     []rtp.TagKey
	paths      []pathParts
}

// sourceParts are the settings of the input; one of them is set, or engine and
// another, which is transcoded.
type sourceParts struct {
	udp    *udp.Config
	srt    *srt.URL
	file   *tsfile.Config
	engine *engine.SourceConfig
}

// pathParts are the settings of a path.
type pathParts struct {
	uplink.PathConfig // without its Dialer
	kind              pathKind
	addr              string
	srt               srt.Options
	least             srt.Options // with buffers that just hold the stream
	udp               uplink.UDPConfig
}

type pathKind uint8

const (
	calls   pathKind = iota // SRT caller
	listens                 // SRT listener
	sends                   // plain UDP
)

// build derives the settings of all parts from a document. Warnings and error
// name the document's fields; the error is of type config.Issues.
func build(doc *config.Box) (p parts, warnings config.Issues, err error) {
	if p.plan, warnings, err = boxplan.Check(doc); err != nil {
		return p, warnings, err
	}
	if p.source, err = buildSource(doc); err != nil {
		return p, warnings, wrong("input", err)
	}
	if err = buildConfidence(doc, &p); err != nil {
		return p, warnings, wrong("confidence", err)
	}
	in, out := &doc.Input, &doc.Output
	p.guard = capture.GuardConfig{LostAfter: in.LossAfterMS.Duration(), OnLoss: capture.LossAction(in.OnInputLoss), StopAfter: in.StopAfterMS.Duration()}
	if p.monitor, err = buildMonitor(in.Monitor); err != nil {
		return p, warnings, wrong("input.monitor", err)
	}
	switch {
	case p.source.engine != nil:
		// The source never ends and fills by itself.
		p.guard.OnLoss, p.guard.StopAfter = capture.LossPass, 0
	case in.Type != config.TypeFile:
		hold := in.JitterMS.Duration()
		p.pacer = &mpegts.PacerConfig{
			Latency: hold, MaxLatency: max(4*hold, 200*time.Millisecond), PCRPID: mpegts.PID(in.PCRPID),
			MaxRateBPS: 2 * float64(out.MaxBitrateKbps.BitsPerSecond()),
		}
	}
	p.perMessage = out.TSPacketsPerMessage
	if p.key, p.accept, err = buildKeys(out); err != nil {
		return p, warnings, err
	}
	p.adapt = buildAdapt(doc, &p)
	staggers := boxplan.Staggers(doc)
	for i := range doc.Paths {
		path, err := buildPath(doc, i, p.plan, staggers[i])
		if err != nil {
			return p, warnings, err
		}
		p.paths = append(p.paths, path)
	}
	return p, warnings, nil
}

// wrong is an error about a field in the form of the document's own.
func wrong(path string, err error) error {
	return config.Issues{{Path: path, Problem: "is refused: " + err.Error(), Remedy: "see `quartetctl config explain box " + path + "`"}}
}

func buildSource(doc *config.Box) (s sourceParts, err error) {
	in := doc.Input
	u, err := config.ParseURL(in.URL)
	if err != nil {
		return s, err
	}
	switch in.Type {
	case config.TypeUDP, config.TypeRTP:
		s.udp, err = buildUDP(in)
	case config.TypeSRT:
		s.srt = &srt.URL{Mode: srt.Caller, Addr: u.Address(), Options: socket.Options(in.SRT)}
		if in.Mode == config.ModeListener {
			s.srt.Mode = srt.Listening
		}
		o := &s.srt.Options
		socket.Secure(o, in.Passphrase, in.KeyLength)
		o.StreamID, o.Latency, o.Interface, o.LocalAddr = in.StreamID, in.LatencyMS.Duration(), in.Interface, in.Source
		err = o.Validate()
	case config.TypeFile:
		s.file = &tsfile.Config{Path: u.File, Loop: in.Loop, PCRPID: mpegts.PID(in.PCRPID)}
	case config.TypeTest, config.TypeSDI:
		s.engine, err = buildEngine(doc, u)
	default:
		err = fmt.Errorf("type %q is not built into this program", in.Type)
	}
	if err == nil && in.Transcode {
		s.engine, err = buildEngine(doc, u)
	}
	return s, err
}

// buildMonitor returns nil if monitoring is switched off.
func buildMonitor(m config.Monitor) (*tr101290.Config, error) {
	if !m.Enabled {
		return nil, nil
	}
	cfg := &tr101290.Config{PIDPeriod: m.PIDMissingMS.Duration(), Priority3: m.Priority3}
	private, err := config.ParsePIDs(m.PrivatePIDs)
	for _, pid := range private {
		cfg.PrivatePIDs = append(cfg.PrivatePIDs, mpegts.PID(pid))
	}
	return cfg, err
}

// buildUDP makes the settings of a UDP or RTP input of one or two legs.
func buildUDP(in config.Input) (*udp.Config, error) {
	legs := []config.Leg{{URL: in.URL, Interface: in.Interface, Source: in.Source}}
	if in.Second != nil {
		legs = append(legs, *in.Second)
	}
	cfg := &udp.Config{Window: in.MergeWindowMS.Duration(), FECWindow: in.FECWindowMS.Duration()}
	for i, l := range legs {
		u, err := config.ParseURL(l.URL)
		if err != nil {
			return nil, fmt.Errorf("url of leg %d: %w", i+1, err)
		}
		a := udp.Address{Port: uint16(u.Port), Interface: l.Interface, FEC: in.FEC == config.FECST20221}
		if in.Type == config.TypeRTP {
			a.Format = udp.FormatRTP
		}
		if u.Host != "" {
			ip, ok := u.IP()
			if !ok {
				return nil, fmt.Errorf("url of leg %d: %q is a name; write an IP address", i+1, u.Host)
			}
			a.Host = ip
		}
		if l.Source != "" {
			if a.Source, err = netip.ParseAddr(l.Source); err != nil {
				return nil, fmt.Errorf("source of leg %d: %w", i+1, err)
			}
		}
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("leg %d: %w", i+1, err)
		}
		cfg.Legs = append(cfg.Legs, a)
	}
	return cfg, nil
}

func buildPath(doc *config.Box, i int, plan uplink.Plan, stagger time.Duration) (pathParts, error) {
	d, at := &doc.Paths[i], fmt.Sprintf("paths[%d]", i)
	p := pathParts{PathConfig: uplink.PathConfig{
		Name: d.Name, Leg: d.Leg, Stagger: stagger, PacketsPerMessage: d.TSPacketsPerMessage,
		MaxAge: max(plan.SRTLatency, 200*time.Millisecond), Queue: queueMessages(doc, plan, stagger),
	}}
	u, err := config.ParseURL(d.URL)
	if err != nil {
		return p, wrong(at+".url", err)
	}
	p.addr = u.Address()
	switch d.Profile {
	case config.ProfileRTPFEC:
		p.Profile = uplink.ProfileRTPFEC
	case config.ProfileTS:
		p.Profile = uplink.ProfileTS
	case config.ProfileRTP:
		p.Profile, p.kind = uplink.ProfileRTP, sends
		p.udp = uplink.UDPConfig{Addr: p.addr, Interface: d.Interface, LocalAddr: d.Source, TTL: d.TTL, TOS: d.SRT.IPTOS}
		if f := d.ST20221; f != nil {
			p.Columns, p.Rows, p.RowFEC, p.udp.FEC = f.Columns, f.Rows, f.RowFEC, true
		}
		return p, nil
	default:
		return p, wrong(at+".profile", fmt.Errorf("%q is not built into this program", d.Profile))
	}
	if d.Mode == config.ModeListener {
		p.kind = listens
	}
	p.srt, p.least, err = boxplan.Socket(doc, i, plan)
	p.SRTLatency = p.srt.Latency
	return p, err
}

// queueMessages sizes a path's queue: what its stagger holds back and a quarter
// of a second of stall, at the highest rate, parity included.
func queueMessages(doc *config.Box, plan uplink.Plan, stagger time.Duration) int {
	perSecond := float64(doc.Output.MaxBitrateKbps.BitsPerSecond()) / 8 / mpegts.PacketSize / float64(doc.Output.TSPacketsPerMessage)
	n := int(perSecond * (1 + plan.Overhead) * (stagger + 250*time.Millisecond).Seconds())
	return min(max(n, 256), 8192)
}

// buildKeys derives the tag keys: the one to send with, and those accepted in
// reports during a change.
func buildKeys(out *config.Output) (key rtp.TagKey, accept []rtp.TagKey, err error) {
	for _, f := range []struct {
		name string
		key  config.Secret
	}{{"key", out.Key}, {"next_key", out.NextKey}, {"previous_key", out.PreviousKey}} {
		if f.key == "" {
			continue
		}
		raw, err := hex.DecodeString(f.key.Reveal())
		if err != nil {
			return key, nil, wrong("output."+f.name, fmt.Errorf("not hexadecimal"))
		}
		k, err := rtp.DeriveTagKey(raw)
		if err != nil {
			return key, nil, wrong("output."+f.name, err)
		}
		if f.name == "key" {
			key = k
		} else {
			accept = append(accept, k)
		}
	}
	return key, accept, nil
}

// open makes the source; data is a folder for what it keeps. feed is the source
// itself, or what it transcodes; the tap, if there is one, sees its packets.
func (s sourceParts) open(now func() time.Duration, log *slog.Logger, data string, in *tap) (source, feed capture.Source, err error) {
	if s.engine == nil {
		feed, err = s.openFeed(now, log)
		if source = feed; in != nil {
			source = watched{feed, in}
		}
		return source, feed, err
	}
	c := *s.engine
	c.Now, c.Log, c.Data, c.Program = now, log, data, engineProgram()
	if c.Input.Kind != engine.InputTS {
		e, err := engine.New(c)
		if err != nil {
			return nil, nil, err
		}
		if in != nil {
			return watched{e, in}, e, nil
		}
		return e, e, nil
	}
	if feed, err = s.openFeed(now, log); err != nil {
		return nil, nil, err
	}
	c.Feed = feed
	if in != nil {
		c.Feed = watched{feed, in}
	}
	source, err = engine.New(c)
	return source, feed, err
}

// openFeed makes what brings a transport stream from elsewhere.
func (s sourceParts) openFeed(now func() time.Duration, log *slog.Logger) (capture.Source, error) {
	switch {
	case s.udp != nil:
		c := *s.udp
		c.Now, c.Log = now, log
		return udp.New(c)
	case s.srt != nil:
		return capsrt.New(capsrt.Config{URL: *s.srt, Now: now, Log: log})
	default:
		c := *s.file
		c.Now = now
		return tsfile.New(c)
	}
}

// dialer makes what opens the path's connections. That of a listening path
// takes its port at once.
func (p *pathParts) dialer() (uplink.Dialer, error) {
	switch p.kind {
	case calls:
		return uplink.NewSRTCaller(p.addr, p.srt), nil
	case listens:
		d, err := uplink.NewSRTListener(p.addr, p.srt)
		if err != nil {
			return nil, fmt.Errorf("path %s: %w", p.Name, err)
		}
		return d, nil
	default:
		return uplink.NewUDPDialer(p.udp), nil
	}
}

// connects tells whether two settings of a path make the same connection, but
// for buffers that are larger than they need be: those of p may stay as they
// are when q is asked for.
func (p *pathParts) connects(q *pathParts, asked config.SRT) bool {
	o, least := q.srt, &q.least
	for _, b := range []struct{ have, asked, least int }{{p.srt.FC, asked.FC, least.FC}, {p.srt.SndBuf, asked.SndBuf, least.SndBuf},
		{p.srt.RcvBuf, asked.RcvBuf, least.RcvBuf}, {p.srt.UDPSndBuf, asked.UDPSndBuf, least.UDPSndBuf}, {p.srt.UDPRcvBuf, asked.UDPRcvBuf, least.UDPRcvBuf}} {
		if b.asked > 0 && b.have != b.asked || b.have < b.least {
			return false
		}
	}
	o.FC, o.SndBuf, o.RcvBuf, o.UDPSndBuf, o.UDPRcvBuf = p.srt.FC, p.srt.SndBuf, p.srt.RcvBuf, p.srt.UDPSndBuf, p.srt.UDPRcvBuf
	return p.kind == q.kind && p.addr == q.addr && reflect.DeepEqual(p.srt, o) && p.udp == q.udp
}

// newChain opens the parts and puts them together; nothing runs yet. What was
// opened is closed again if it fails.
func newChain(p parts, now func() time.Duration, log *slog.Logger, data string, events func(capture.Event)) (c chain, err error) {
	if c.in, err = newTap(p.monitor); err != nil {
		return c, fmt.Errorf("input.monitor: %w", err)
	}
	source, feed, err := p.source.open(now, log, data, c.in)
	if err != nil {
		return c, fmt.Errorf("input: %w", err)
	}
	c.source, c.feed = source, feed
	if w, ok := source.(watched); ok {
		c.source = w.Source // for those who ask what it is
	}
	if p.watch != nil {
		w := *p.watch
		w.Now, w.Log, w.Data, w.Program = now, log, data, engineProgram()
		if c.watcher, err = engine.NewWatcher(w); err != nil {
			return c, fmt.Errorf("confidence: %w", err)
		}
		source = looked{source, c.watcher}
	}
	guard := p.guard
	guard.OnEvent = events
	if c.input, err = capture.NewInput(capture.InputConfig{Source: source, Guard: guard, Now: now}); err != nil {
		return c, fmt.Errorf("input: %w", err)
	}
	sc := uplink.SenderConfig{
		Now: now, Plan: p.plan, Pacer: p.pacer, PacketsPerMessage: p.perMessage, Key: p.key, AcceptKeys: p.accept,
	}
	if c.out, err = newTap(p.monitor); err != nil {
		return c, fmt.Errorf("input.monitor: %w", err)
	}
	if c.out != nil {
		sc.Tap = c.out
	}
	defer func() {
		if err != nil {
			closeDialers(sc.Paths)
		}
	}()
	for i := range p.paths {
		pc := p.paths[i].PathConfig
		if pc.Dialer, err = p.paths[i].dialer(); err != nil {
			return c, err
		}
		sc.Paths = append(sc.Paths, pc)
	}
	if c.sender, err = uplink.NewSender(sc); err != nil {
		return c, err
	}
	if source, ok := c.source.(*engine.Source); ok && p.adapt != nil {
		if c.adapter, err = newAdapter(*p.adapt, c.sender, source); err != nil {
			return c, fmt.Errorf("encoder.adaptive: %w", err)
		}
	}
	c.entry = c.sender
	if c.in == nil {
		c.counter = &counter{next: c.sender}
		c.entry = c.counter
	}
	c.dialers = sc.Paths
	return c, nil
}

func closeDialers(paths []uplink.PathConfig) {
	for _, p := range paths {
		p.Dialer.Close()
	}
}
