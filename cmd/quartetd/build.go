package main

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"quartet/capture"
	"quartet/capture/mpegts"
	capsrt "quartet/capture/srt"
	"quartet/capture/tsfile"
	"quartet/capture/udp"
	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/uplink"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// The chain of the box, in the order a packet takes:
//
//	source → capture.Input → uplink.Sender → uplink.Path ×n
//
// This file alone turns the configuration's words into the parts' own types,
// and is the only switch on kinds of input and of path.

// buildSource makes the input. paced tells that its instants are already those
// of a paced source.
func buildSource(in config.Input, now func() time.Duration, log *slog.Logger) (src capture.Source, paced bool, err error) {
	u, err := config.ParseURL(in.URL)
	if err != nil {
		return nil, false, fmt.Errorf("input.url: %q %w", in.URL, err)
	}
	switch in.Type {
	case config.TypeUDP, config.TypeRTP:
		s, err := buildUDP(in, now, log)
		return s, false, err
	case config.TypeSRT:
		s, err := capsrt.New(capsrt.Config{URL: srtInput(in, u), Now: now, Log: log})
		return s, false, err
	case config.TypeFile:
		s, err := tsfile.New(tsfile.Config{Path: u.File, Loop: in.Loop, PCRPID: mpegts.PID(in.PCRPID), Now: now})
		return s, true, err
	}
	return nil, false, fmt.Errorf("input.type: %q is not built into this program", in.Type)
}

// srtInput is the far end or the port of an SRT input.
func srtInput(in config.Input, u config.URL) srt.URL {
	o := srtOptions(in.SRT)
	o.Passphrase, o.KeyLength, o.StreamID = in.Passphrase.Reveal(), in.KeyLength, in.StreamID
	if o.Passphrase == "" {
		o.KeyLength = 0
	}
	o.Latency, o.Interface, o.LocalAddr = in.LatencyMS.Duration(), in.Interface, in.Source
	mode := srt.Caller
	if in.Mode == config.ModeListener {
		mode = srt.Listening
	}
	return srt.URL{Mode: mode, Addr: u.Address(), Options: o}
}

// buildUDP makes a UDP or RTP input of one or two legs.
func buildUDP(in config.Input, now func() time.Duration, log *slog.Logger) (capture.Source, error) {
	legs := []config.Leg{{URL: in.URL, Interface: in.Interface, Source: in.Source}}
	if in.Second != nil {
		legs = append(legs, *in.Second)
	}
	cfg := udp.Config{Now: now, Log: log}
	for i, l := range legs {
		u, err := config.ParseURL(l.URL)
		if err != nil {
			return nil, fmt.Errorf("url of leg %d: %q %w", i+1, l.URL, err)
		}
		a := udp.Address{Port: uint16(u.Port), Interface: l.Interface, FEC: in.FEC == config.FECST20221}
		if in.Type == config.TypeRTP {
			a.Format = udp.FormatRTP
		}
		if u.Host != "" {
			ip, ok := u.IP()
			if !ok {
				return nil, fmt.Errorf("url of leg %d: %q: an input's address is an IP address, not a name", i+1, l.URL)
			}
			a.Host = ip
		}
		if l.Source != "" {
			if a.Source, err = netip.ParseAddr(l.Source); err != nil {
				return nil, fmt.Errorf("source of leg %d: %w", i+1, err)
			}
		}
		cfg.Legs = append(cfg.Legs, a)
	}
	return udp.New(cfg)
}

// buildPaths makes the dialer of each path.
func buildPaths(doc *config.Box, plan uplink.Plan) ([]uplink.PathConfig, error) {
	staggers := boxplan.Staggers(doc)
	paths := make([]uplink.PathConfig, len(doc.Paths))
	for i := range doc.Paths {
		p, err := buildPath(doc, i, plan, staggers[i])
		if err != nil {
			return nil, fmt.Errorf("paths[%d] (%s): %w", i, doc.Paths[i].Name, err)
		}
		paths[i] = p
	}
	return paths, nil
}

func buildPath(doc *config.Box, i int, plan uplink.Plan, stagger time.Duration) (uplink.PathConfig, error) {
	p := doc.Paths[i]
	pc := uplink.PathConfig{
		Name: p.Name, Leg: p.Leg, Stagger: stagger, PacketsPerMessage: p.TSPacketsPerMessage,
		MaxAge: max(plan.SRTLatency, 200*time.Millisecond), Queue: queueMessages(doc, plan, stagger),
	}
	u, err := config.ParseURL(p.URL)
	if err != nil {
		return pc, fmt.Errorf("url: %q %w", p.URL, err)
	}
	switch p.Profile {
	case config.ProfileRTPFEC, config.ProfileTS:
		pc.Profile = uplink.ProfileRTPFEC
		latency := plan.SRTLatency
		o := srtOptions(p.SRT)
		if p.Profile == config.ProfileTS {
			pc.Profile = uplink.ProfileTS
			o.PayloadSize = srt.TSPayload
			// No parity and no merge behind it: all of the latency is SRT's.
			latency = doc.Output.LatencyMS.Duration()
		}
		o.Latency = latency
		if p.LatencyMS > 0 {
			o.Latency = p.LatencyMS.Duration()
		}
		pc.SRTLatency = o.Latency
		o.Passphrase, o.KeyLength, o.StreamID = p.Passphrase.Reveal(), p.KeyLength, p.StreamID
		if o.Passphrase == "" {
			o.KeyLength = 0
		}
		o.Interface, o.LocalAddr = p.Interface, p.Source
		if capped := p.MaxBitrateKbps; capped > 0 {
			limitTo(&o, p, plan)
		}
		o = o.Sized(plan.WireBPS, doc.Output.RTTMS.Duration())
		if err := o.Check(plan.WireBPS, doc.Output.RTTMS.Duration()); err != nil {
			return pc, fmt.Errorf("srt: %w", err)
		}
		if p.Mode == config.ModeListener {
			pc.Dialer, err = uplink.NewSRTListener(u.Address(), o)
		} else {
			pc.Dialer = uplink.NewSRTCaller(u.Address(), o)
		}
	case config.ProfileRTP:
		pc.Profile = uplink.ProfileRTP
		uc := uplink.UDPConfig{Addr: u.Address(), Interface: p.Interface, LocalAddr: p.Source, TTL: p.TTL, TOS: p.SRT.IPTOS}
		if f := p.ST20221; f != nil {
			pc.Columns, pc.Rows, pc.RowFEC, uc.FEC = f.Columns, f.Rows, f.RowFEC, true
		}
		pc.Dialer = uplink.NewUDPDialer(uc)
	default:
		return pc, fmt.Errorf("profile: %q is not built into this program", p.Profile)
	}
	return pc, err
}

// limitTo sets a path of limited capacity up: libsrt measures its input and
// keeps retransmissions within what the path carries beyond it.
func limitTo(o *srt.Options, p config.Path, plan uplink.Plan) {
	if p.SRT.RetransmitAlgo == nil {
		o.RetransmitAlgo = 1
	}
	if o.MaxBW == 0 && o.InputBW == 0 && o.MinInputBW == 0 {
		o.MaxBW = p.MaxBitrateKbps.BytesPerSecond()
	}
	_ = plan
}

// queueMessages sizes a path's queue: what its stagger holds back and a quarter
// of a second of stall, at the highest rate, parity included.
func queueMessages(doc *config.Box, plan uplink.Plan, stagger time.Duration) int {
	perSecond := float64(doc.Output.MaxBitrateKbps.BitsPerSecond()) / 8 / mpegts.PacketSize / float64(doc.Output.TSPacketsPerMessage)
	n := int(perSecond * (1 + plan.Overhead) * (stagger + 250*time.Millisecond).Seconds())
	return min(max(n, 256), 8192)
}

// srtOptions copies the knobs; zero means the socket's own default throughout.
func srtOptions(c config.SRT) srt.Options {
	o := srt.Options{
		MaxBW: c.MaxBWKbps.BytesPerSecond(), InputBW: c.InputBWKbps.BytesPerSecond(), MinInputBW: c.MinInputBWKbps.BytesPerSecond(),
		OverheadBW: c.OverheadBWPercent, FC: c.FC, SndBuf: c.SndBuf, RcvBuf: c.RcvBuf, UDPSndBuf: c.UDPSndBuf, UDPRcvBuf: c.UDPRcvBuf,
		LossMaxTTL: orMinus(c.LossMaxTTL), SndDropDelay: int(c.SndDropDelayMS),
		ConnectTimeout: c.ConnectTimeoutMS.Duration(), PeerIdleTimeout: c.PeerIdleTimeoutMS.Duration(),
		IPTOS: orMinus(c.IPTOS), IPTTL: c.IPTTL, MSS: c.MSS, PacketFilter: c.PacketFilter,
	}
	if c.RetransmitAlgo != nil {
		o.RetransmitAlgo = *c.RetransmitAlgo
	}
	return o
}

// orMinus turns the configuration's 0, which is a value, into what the socket's
// options take for it.
func orMinus(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// keysOf derives the tag keys: the one to send with, and those accepted in
// reports during a change.
func keysOf(out config.Output) (key rtp.TagKey, accept []rtp.TagKey, err error) {
	for _, f := range []struct {
		name string
		key  config.Secret
	}{{"key", out.Key}, {"next_key", out.NextKey}, {"previous_key", out.PreviousKey}} {
		if f.key == "" {
			continue
		}
		raw, err := hex.DecodeString(f.key.Reveal())
		if err != nil {
			return key, nil, fmt.Errorf("output.%s: not hexadecimal", f.name)
		}
		k, err := rtp.DeriveTagKey(raw)
		if err != nil {
			return key, nil, fmt.Errorf("output.%s: %w", f.name, err)
		}
		if f.name == "key" {
			key = k
		} else {
			accept = append(accept, k)
		}
	}
	return key, accept, nil
}

// guardConfig is what watches the input.
func guardConfig(in config.Input) capture.GuardConfig {
	return capture.GuardConfig{LostAfter: in.LossAfterMS.Duration(), OnLoss: capture.LossAction(in.OnInputLoss), StopAfter: in.StopAfterMS.Duration()}
}

// pacerConfig is what smooths the input.
func pacerConfig(in config.Input, out config.Output) *mpegts.PacerConfig {
	hold := in.JitterMS.Duration()
	return &mpegts.PacerConfig{
		Latency: hold, MaxLatency: max(4*hold, 200*time.Millisecond), PCRPID: mpegts.PID(in.PCRPID),
		MaxRateBPS: 2 * float64(out.MaxBitrateKbps.BitsPerSecond()),
	}
}
