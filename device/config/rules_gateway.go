package config

import (
	"fmt"
	"reflect"
	"strings"
)

func (g *Gateway) fold(n *node, r *report) {
	for i := range g.Contributions {
		c, cn, path := &g.Contributions[i], n.get("contributions").elem(i), fmt.Sprintf("contributions[%d]", i)
		for k := range c.Inputs {
			in := &c.Inputs[k]
			foldURL(r, cn.get("inputs").elem(k), reflect.TypeFor[GatewayInput](), fmt.Sprintf("%s.inputs[%d]", path, k), &in.URL,
				srtLine{streamID: &in.StreamID, passphrase: &in.Passphrase, keyLength: &in.KeyLength, latency: &in.LatencyMS})
			if in.Mode == ModeListener && in.Listener == "" && len(g.Listeners) == 1 {
				in.Listener = g.Listeners[0].Name
			}
		}
		for k := range c.Peers {
			p := &c.Peers[k]
			foldURL(r, cn.get("peers").elem(k), reflect.TypeFor[Peer](), fmt.Sprintf("%s.peers[%d]", path, k), &p.URL,
				srtLine{streamID: &p.StreamID, passphrase: &p.Passphrase, keyLength: &p.KeyLength, latency: &p.LatencyMS})
		}
		for k := range c.Outputs {
			o := &c.Outputs[k]
			foldURL(r, cn.get("outputs").elem(k), reflect.TypeFor[GatewayOutput](), fmt.Sprintf("%s.outputs[%d]", path, k), &o.URL,
				srtLine{mode: &o.Mode, streamID: &o.StreamID, passphrase: &o.Passphrase, keyLength: &o.KeyLength, latency: &o.LatencyMS})
		}
	}
}

func (g *Gateway) rules(r *report) {
	if host, _, err := splitHostPort(g.HTTP.Listen); err == nil && !(URL{Host: host}).loopback() {
		r.warnings.add("http.listen", fmt.Sprintf("%q", g.HTTP.Listen), "serves metrics and status to other machines without a login",
			"let a firewall or security group admit the monitoring only")
	}
	unique(r, "listeners", g.Listeners, func(l *Listener) string { return l.Name })
	unique(r, "contributions", g.Contributions, func(c *Contribution) string { return c.Name })
	for i := range g.Listeners {
		path := fmt.Sprintf("listeners[%d].srt", i)
		r.knobs(path, g.Listeners[i].SRT)
		r.unused(path, g.Listeners[i].SRT, "on a listener", "connect_timeout_ms")
	}
	ports := map[int]int{}
	for i := range g.Listeners {
		_, port, _ := splitHostPort(g.Listeners[i].Address)
		if first, ok := ports[port]; ok {
			r.errors.addf(fmt.Sprintf("listeners[%d].address", i), "use one listener for both, or another port", "has the port of listeners[%d]", first)
		}
		ports[port] = i
	}
	streams := map[string]string{} // listener and stream id → where
	for i := range g.Contributions {
		g.contribution(r, fmt.Sprintf("contributions[%d]", i), &g.Contributions[i], streams)
	}
	g.outputRules(r)
}

func (g *Gateway) contribution(r *report, path string, c *Contribution, streams map[string]string) {
	if c.NextKey != "" && strings.EqualFold(string(c.NextKey), string(c.Key)) {
		r.errors.addf(path+".next_key", "remove it, or write another key", "is the same as key")
	}
	if c.OnInputLoss != LossStop {
		r.unused(path, *c, "with on_input_loss "+c.OnInputLoss, "stop_after_ms")
	}
	unique(r, path+".inputs", c.Inputs, func(in *GatewayInput) string { return in.Name })
	unique(r, path+".peers", c.Peers, func(p *Peer) string { return p.Name })
	unique(r, path+".outputs", c.Outputs, func(o *GatewayOutput) string { return o.Name })
	c.lossRules(r, path)
	firstHand := false
	for k := range c.Inputs {
		in, where := &c.Inputs[k], fmt.Sprintf("%s.inputs[%d]", path, k)
		firstHand = firstHand || in.From == FromBox
		if c.LatencyMS > 0 && in.LatencyMS >= c.LatencyMS {
			r.errors.add(where+".latency_ms", fmt.Sprint(in.LatencyMS), fmt.Sprintf("is not less than the contribution's latency_ms %d", c.LatencyMS),
				"lower it, or raise the contribution's (and the box's output.latency_ms)")
		}
		g.input(r, where, in, streams)
	}
	if !firstHand {
		r.warnings.addf(path+".inputs", "let the box send a stream here too", "all come from peers: this gateway adds no redundancy")
	}
	for k := range c.Peers {
		p, where := &c.Peers[k], fmt.Sprintf("%s.peers[%d]", path, k)
		u, _ := ParseURL(p.URL)
		if u.Scheme != TypeSRT {
			r.errors.addf(where+".url", "write srt://host:port", "is not SRT")
			continue
		}
		r.socket(where, u, ModeCaller, p.Source, p.SRT)
		r.encryption(where, u, p.Passphrase)
		r.keyLength(where, *p, p.Passphrase)
		if c.LatencyMS > 0 && p.LatencyMS >= c.LatencyMS {
			r.errors.add(where+".latency_ms", fmt.Sprint(p.LatencyMS), fmt.Sprintf("is not less than the contribution's latency_ms %d", c.LatencyMS), "lower it")
		}
	}
	if len(c.Outputs) == 0 && len(c.Peers) == 0 {
		r.warnings.addf(path+".outputs", "add an output or a peer", "is empty: the feed goes nowhere")
	}
}

// lossRules checks what happens to the outputs while the feed is lost.
func (c *Contribution) lossRules(r *report, path string) {
	silent := len(c.Outputs) > 0
	for k := range c.Outputs {
		if c.Outputs[k].Type != TypeRTP {
			silent = false
			continue
		}
		if c.OnInputLoss == LossNull {
			r.errors.add(path+".on_input_loss", `"null"`, fmt.Sprintf("is not possible with outputs[%d], which is RTP: null packets would carry sequence numbers of this gateway's own, "+
				"so the two RTP streams of the leg would no longer be identical and their merge would break", k), "use stop, or an output of type udp, srt or file")
			return
		}
	}
	if silent {
		r.unused(path, *c, "where all outputs are RTP, which falls silent at once", "stop_after_ms")
	}
}

// input checks one stream. streams remembers which stream ids each listener
// has.
func (g *Gateway) input(r *report, where string, in *GatewayInput, streams map[string]string) {
	if in.Mode == ModeCaller {
		r.unused(where, *in, "with mode caller", "listener")
		u, _ := ParseURL(in.URL)
		switch {
		case in.URL == "":
			r.errors.addf(where+".url", "write srt://host:port", "is missing with mode caller")
		case u.Scheme != TypeSRT:
			r.errors.addf(where+".url", "write srt://host:port", "is not SRT")
		default:
			r.socket(where, u, in.Mode, in.Source, in.SRT)
			r.encryption(where, u, in.Passphrase)
			r.keyLength(where, *in, in.Passphrase)
		}
		return
	}
	r.unused(where, *in, "with mode listener", "url", "interface", "source", "srt")
	var l *Listener
	for i := range g.Listeners {
		if g.Listeners[i].Name == in.Listener {
			l = &g.Listeners[i]
		}
	}
	switch {
	case in.Listener == "":
		r.errors.addf(where+".listener", "write the name of one of listeners", "is missing with mode listener")
		return
	case l == nil:
		r.errors.add(where+".listener", fmt.Sprintf("%q", in.Listener), "is not the name of a listener", "add it to listeners, or write the name of one")
		return
	case in.StreamID == "":
		r.errors.addf(where+".stream_id", "write one; a random word does, such as `openssl rand -hex 8` prints",
			"is missing with mode listener, where it tells the streams of a port apart")
	}
	key := in.Listener + " " + in.StreamID
	if first, ok := streams[key]; ok && in.StreamID != "" {
		r.errors.addf(where+".stream_id", "give each stream its own", "is that of %s on the same listener", first)
	}
	streams[key] = where
	host, _, _ := splitHostPort(l.Address)
	r.encryption(where, URL{Host: host}, in.Passphrase)
	r.keyLength(where, *in, in.Passphrase)
}

// outputRules checks the outputs of all contributions, which share the
// machine's ports.
func (g *Gateway) outputRules(r *report) {
	taken := map[string]string{}
	take := func(key, where string) {
		if first, ok := taken[key]; ok {
			r.errors.addf(where, "give each its own", "is also the address of %s", first)
		}
		taken[key] = where
	}
	for i := range g.Listeners {
		if _, port, _ := splitHostPort(g.Listeners[i].Address); port != 0 {
			taken[fmt.Sprintf("listen %d", port)] = fmt.Sprintf("listeners[%d].address", i)
		}
	}
	for i := range g.Contributions {
		for k := range g.Contributions[i].Outputs {
			o, where := &g.Contributions[i].Outputs[k], fmt.Sprintf("contributions[%d].outputs[%d]", i, k)
			u, _ := ParseURL(o.URL)
			if u.Scheme != o.Type {
				r.errors.add(where+".url", fmt.Sprintf("%q", RedactURL(o.URL)), "does not fit type "+o.Type,
					fmt.Sprintf("write %s://…, or another type", o.Type))
				continue
			}
			o.rules(r, where, u)
			switch {
			case o.Type == TypeFile:
				take("file "+u.File, where+".url")
			case o.Mode == ModeListener:
				take(fmt.Sprintf("listen %d", u.Port), where+".url")
			case o.Type == TypeSRT:
				take(fmt.Sprintf("srt %s %s", u.Address(), o.StreamID), where+".url")
			default:
				take(o.Interface+" "+u.Address(), where+".url")
				if o.Second != nil {
					take(o.Second.Interface+" "+strings.TrimPrefix(o.Second.URL, "rtp://"), where+".second.url")
				}
			}
		}
	}
}

func (o *GatewayOutput) rules(r *report, where string, u URL) {
	with := "with type " + o.Type
	if o.Type != TypeSRT {
		r.unused(where, *o, with, "mode", "stream_id", "passphrase", "key_length", "latency_ms", "srt")
	}
	if o.Type != TypeRTP {
		r.unused(where, *o, with, "second")
	}
	switch o.Type {
	case TypeFile:
		r.unused(where, *o, with, "interface", "source", "ttl")
		return
	case TypeSRT:
		r.unused(where, *o, with+" (use srt.ip_ttl)", "ttl")
		r.socket(where, u, o.Mode, o.Source, o.SRT)
		r.encryption(where, u, o.Passphrase)
		r.keyLength(where, *o, o.Passphrase)
		// 1316 bytes of transport stream, 44 of IPv4, UDP and SRT, 4 of the filter.
		need := 1360
		if o.SRT.PacketFilter != "" {
			need += 4
		}
		if o.SRT.MSS < need {
			r.errors.add(where+".srt.mss_bytes", fmt.Sprint(o.SRT.MSS), "is too small for a message of seven transport stream packets", fmt.Sprintf("write %d or more", need))
		}
		r.mediaConnect(where, u, o.Mode)
		return
	}
	r.plain(where, u)
	r.sender(where, u, o.Source)
	if o.Second == nil {
		return
	}
	v, _ := ParseURL(o.Second.URL)
	if v.Scheme != TypeRTP {
		r.errors.addf(where+".second.url", "write rtp://host:port", "is not RTP, as the first destination is")
		return
	}
	r.plain(where+".second", v)
	r.sender(where+".second", v, o.Second.Source)
}

// plain checks a destination of plain RTP or UDP.
func (r *report) plain(where string, u URL) {
	if u.Host == "" {
		r.errors.addf(where+".url", "write "+u.Scheme+"://host:port", "names no host to send to")
	}
	if u.public() {
		r.warnings.add(where+".url", fmt.Sprintf("%q", u.String()), "is a public address, and plain "+strings.ToUpper(u.Scheme)+" is not encrypted",
			"keep it inside a VPC or another private network")
	}
	r.mediaConnect(where, u, ModeCaller)
}
