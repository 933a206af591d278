package main

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"quartet/cmd/internal/socket"
	"quartet/device/config"
	"quartet/uplink/gateway"
	"quartet/uplink/srt"
)

// A contribution's chain, in the order a packet takes:
//
//	listener or caller → Verifier → fec.Decoder → outputs
//	                         └────────────────────→ peers
//
// This file alone turns the configuration's words into the parts' own types,
// and is the only switch on kinds of output.

// minLatency is the SRT latency of a listener that leaves it to the caller:
// the larger side wins, so ours must be smaller than any that makes sense.
const minLatency = 20 * time.Millisecond

// build turns a document into what gateway.New takes.
func build(doc *config.Gateway) (gateway.Config, error) {
	cfg := gateway.Config{Name: doc.Name, HTTP: doc.HTTP.Listen}
	addresses := map[string]string{}
	for _, l := range doc.Listeners {
		o := socket.Options(l.SRT)
		o.Latency = minLatency
		addresses[l.Name] = l.Address
		cfg.Listeners = append(cfg.Listeners, gateway.Listener{Address: l.Address, SRT: o})
	}
	for i := range doc.Contributions {
		k, err := buildContribution(&doc.Contributions[i], addresses)
		if err != nil {
			return cfg, fmt.Errorf("contributions[%d] (%s): %w", i, doc.Contributions[i].Name, err)
		}
		cfg.Contributions = append(cfg.Contributions, k)
	}
	return cfg, nil
}

func buildContribution(c *config.Contribution, addresses map[string]string) (gateway.Contribution, error) {
	k := gateway.Contribution{
		Name: c.Name, Latency: c.LatencyMS.Duration(), MaxBitrate: c.MaxBitrateKbps.BitsPerSecond(),
		LossAfter: c.LossAfterMS.Duration(), Monitor: c.Monitor,
	}
	// The key that is about to come is first: it is the newer one.
	for _, f := range []struct {
		name string
		key  config.Secret
	}{{"next_key", c.NextKey}, {"key", c.Key}} {
		if f.key == "" {
			continue
		}
		raw, err := hex.DecodeString(f.key.Reveal())
		if err != nil {
			return k, fmt.Errorf("%s: not hexadecimal", f.name)
		}
		k.Keys = append(k.Keys, raw)
	}
	for i := range c.Inputs {
		in, err := buildInput(&c.Inputs[i], addresses)
		if err != nil {
			return k, fmt.Errorf("inputs[%d] (%s): %w", i, c.Inputs[i].Name, err)
		}
		k.Inputs = append(k.Inputs, in)
	}
	for i := range c.Peers {
		p := &c.Peers[i]
		u, err := config.ParseURL(p.URL)
		if err != nil {
			return k, fmt.Errorf("peers[%d] (%s): url: %q %w", i, p.Name, config.RedactURL(p.URL), err)
		}
		o := socket.Options(p.SRT)
		secure(&o, p.StreamID, p.Passphrase, p.KeyLength, p.LatencyMS, p.Interface, p.Source)
		k.Peers = append(k.Peers, gateway.Peer{Name: p.Name, Call: u.Address(), SRT: o})
	}
	loss := gateway.Stop
	if c.OnInputLoss == config.LossNull || c.StopAfterMS > 0 {
		loss = gateway.Null
	}
	if c.OnInputLoss == config.LossStop {
		k.NullFor = c.StopAfterMS.Duration()
	}
	for i := range c.Outputs {
		o, err := buildOutput(&c.Outputs[i], loss, c.OnInputLoss)
		if err != nil {
			return k, fmt.Errorf("outputs[%d] (%s): %w", i, c.Outputs[i].Name, err)
		}
		k.Outputs = append(k.Outputs, o)
	}
	return k, nil
}

func buildInput(c *config.GatewayInput, addresses map[string]string) (gateway.Input, error) {
	in := gateway.Input{Name: c.Name, FromPeer: c.From == config.FromPeer, Offset: -1}
	if c.OffsetMS != nil {
		in.Offset = c.OffsetMS.Duration()
	}
	if c.Mode == config.ModeListener {
		in.Listen = addresses[c.Listener]
	} else {
		u, err := config.ParseURL(c.URL)
		if err != nil {
			return in, fmt.Errorf("url: %q %w", config.RedactURL(c.URL), err)
		}
		in.Call = u.Address()
		in.SRT = socket.Options(c.SRT)
	}
	secure(&in.SRT, c.StreamID, c.Passphrase, c.KeyLength, c.LatencyMS, c.Interface, c.Source)
	if in.Call != "" && in.SRT.Latency == 0 {
		in.SRT.Latency = minLatency
	}
	return in, nil
}

func buildOutput(c *config.GatewayOutput, loss gateway.OnLoss, word string) (gateway.OutputConfig, error) {
	u, err := config.ParseURL(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %q %w", config.RedactURL(c.URL), err)
	}
	switch c.Type {
	case config.TypeRTP:
		o := &gateway.RTPOutput{Name: c.Name}
		if word == config.LossNull {
			o.OnLoss = gateway.Null // refused by Check, which says why
		}
		first, err := destination(u, c.Interface, c.Source, c.TTL)
		if err != nil {
			return nil, err
		}
		o.Destinations = []gateway.Destination{first}
		if s := c.Second; s != nil {
			v, err := config.ParseURL(s.URL)
			if err != nil {
				return nil, fmt.Errorf("second.url: %q %w", config.RedactURL(s.URL), err)
			}
			second, err := destination(v, s.Interface, s.Source, c.TTL)
			if err != nil {
				return nil, fmt.Errorf("second: %w", err)
			}
			o.Destinations = append(o.Destinations, second)
		}
		return o, nil
	case config.TypeUDP:
		d, err := destination(u, c.Interface, c.Source, c.TTL)
		return &gateway.UDPOutput{Name: c.Name, Destination: d, OnLoss: loss}, err
	case config.TypeSRT:
		o := socket.Options(c.SRT)
		secure(&o, c.StreamID, c.Passphrase, c.KeyLength, c.LatencyMS, c.Interface, c.Source)
		out := &gateway.SRTOutput{Name: c.Name, SRT: o, OnLoss: loss}
		if c.Mode == config.ModeListener {
			out.Listen = u.Address()
		} else {
			out.Call = u.Address()
		}
		return out, nil
	case config.TypeFile:
		return &gateway.FileOutput{Name: c.Name, Path: u.File, OnLoss: loss}, nil
	}
	return nil, fmt.Errorf("type: %q is not built into this program", c.Type)
}

func destination(u config.URL, iface, source string, ttl int) (gateway.Destination, error) {
	d := gateway.Destination{Address: u.Address(), Interface: iface, TTL: ttl}
	if source != "" {
		ip, err := netip.ParseAddr(source)
		if err != nil {
			return d, fmt.Errorf("source: %q is not an IP address", source)
		}
		d.Source = netip.AddrPortFrom(ip.Unmap(), 0)
	}
	return d, nil
}

// secure sets what the documents keep beside the socket's settings.
func secure(o *srt.Options, streamID string, passphrase config.Secret, keyLength int, latency config.Milliseconds, iface, source string) {
	socket.Secure(o, passphrase, keyLength)
	o.StreamID, o.Latency, o.Interface, o.LocalAddr = streamID, latency.Duration(), iface, source
}
