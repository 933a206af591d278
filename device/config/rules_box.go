package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// MergeGroupOf is the merge group of the i-th path: the one it names, else one
// for its leg.
func (b *Box) MergeGroupOf(i int) string {
	if g := b.Paths[i].MergeGroup; g != "" {
		return g
	}
	return fmt.Sprintf("leg-%d", b.Paths[i].Leg)
}

func (b *Box) fold(n *node, r *report) {
	in := &b.Input
	foldURL(r, n.get("input"), reflect.TypeFor[Input](), "input", &in.URL, srtLine{mode: &in.Mode, streamID: &in.StreamID,
		passphrase: &in.Passphrase, keyLength: &in.KeyLength, latency: &in.LatencyMS})
	for i := range b.Paths {
		p, path := &b.Paths[i], fmt.Sprintf("paths[%d]", i)
		var key Secret
		foldURL(r, n.get("paths").elem(i), reflect.TypeFor[Path](), path, &p.URL, srtLine{mode: &p.Mode, streamID: &p.StreamID,
			passphrase: &p.Passphrase, keyLength: &p.KeyLength, latency: &p.LatencyMS, key: &key})
		switch {
		case key == "":
		case b.Output.Key == "":
			b.Output.Key = key
		case !strings.EqualFold(string(b.Output.Key), string(key)):
			r.errors.addf(path+".url", "all paths carry one contribution: paste lines of the same one",
				"has a key that differs from output.key or from the one before")
		}
	}
}

func (b *Box) rules(r *report) {
	b.Input.rules(r)
	b.outputRules(r)
	unique(r, "paths", b.Paths, func(p *Path) string { return p.Name })
	for i := range b.Paths {
		b.pathRules(r, i)
	}
	b.portRules(r)
	b.interfaceRules(r)
}

func (in *Input) rules(r *report) {
	u, _ := ParseURL(in.URL)
	if u.Scheme != in.Type {
		r.errors.add("input.url", fmt.Sprintf("%q", RedactURL(in.URL)), "does not fit type "+in.Type,
			fmt.Sprintf("write %s://…, or another type", in.Type))
		return
	}
	with := "with type " + in.Type
	if in.Type != TypeSRT {
		r.unused("input", *in, with, "mode", "passphrase", "key_length", "stream_id", "latency_ms", "srt")
	}
	if in.Type != TypeRTP {
		r.unused("input", *in, with, "second", "fec")
	}
	if in.Type != TypeFile {
		r.unused("input", *in, with, "loop")
	} else {
		r.unused("input", *in, with, "interface", "source")
	}
	if in.OnInputLoss != LossStop {
		r.unused("input", *in, "with on_input_loss "+in.OnInputLoss, "stop_after_ms")
	}
	if in.Type == TypeSRT {
		r.socket("input", u, in.Mode, in.Source, in.SRT)
	} else {
		r.group("input", u, in.Source)
	}
	if in.FEC == FECST20221 && u.Port > 65531 {
		r.errors.addf("input.url", "use a port up to 65531", "leaves no room for the recovery packets on port + 2 and + 4")
	}
	if in.Second == nil {
		return
	}
	v, _ := ParseURL(in.Second.URL)
	if v.Scheme != TypeRTP {
		r.errors.addf("input.second.url", "write rtp://…", "is not RTP, as the first copy is")
		return
	}
	r.group("input.second", v, in.Second.Source)
	if v.Address() == u.Address() && in.Second.Interface == in.Interface && in.Second.Source == in.Source {
		r.errors.addf("input.second", "give it the address or the interface of the second copy", "receives the same packets as the first")
	} else if in.Second.Interface == in.Interface && !u.loopback() {
		r.warnings.addf("input.second.interface", "receive each copy on its own interface", "is also the first copy's: one cable carries both")
	}
}

// group checks the source of a received UDP or RTP feed.
func (r *report) group(path string, u URL, source string) {
	if source == "" {
		return
	}
	ip, _ := u.IP()
	if !u.Multicast() {
		r.errors.addf(path+".source", "remove it, or receive a multicast group", "has an effect only with a multicast group")
	} else if src, _ := (URL{Host: source}).IP(); src.Is4() != ip.Is4() {
		r.errors.addf(path+".source", "write both as IPv4 or both as IPv6", "is not of the group's address family")
	}
}

// socket checks what any SRT socket of the documents must satisfy.
func (r *report) socket(path string, u URL, mode, source string, s SRT) {
	if mode == ModeCaller && u.Host == "" {
		r.errors.addf(path+".url", "write srt://host:port, or mode listener", "names no host to call")
	}
	if u.Multicast() {
		r.errors.addf(path+".url", "write the address of one host", "is a multicast group, which SRT does not do")
	}
	if mode == ModeListener && source != "" {
		r.errors.addf(path+".source", "write the local address in the url: srt://"+source+":port", "has no effect with mode listener")
	}
	if src, ok := (URL{Host: source}).IP(); ok && mode == ModeCaller {
		if ip, ok := u.IP(); ok && ip.Is4() != src.Is4() {
			r.errors.addf(path+".source", "write both as IPv4 or both as IPv6", "is not of the url's address family")
		}
	}
	if s.MaxBWKbps > 0 && s.InputBWKbps > 0 {
		r.errors.addf(path+".srt.inputbw_kbps", "remove one of them", "has no effect beside maxbw_kbps")
	}
}

// encryption warns of an SRT stream that others can read.
func (r *report) encryption(path string, u URL, pass Secret) {
	switch {
	case pass == "" && !u.loopback():
		r.warnings.addf(path+".passphrase", "set the same passphrase on both ends", "is missing: the stream is not encrypted")
	case pass != "" && len(pass) < 16:
		r.warnings.addf(path+".passphrase", "let a machine make it, such as `openssl rand -hex 16`", "is short enough to be guessed")
	}
}

// mediaConnect warns of what AWS Elemental MediaConnect is documented to
// refuse.
func (r *report) mediaConnect(path string, u URL, mode string) {
	if mode == ModeListener || u.loopback() || u.Multicast() {
		return
	}
	if u.Port < 1024 || u.Port == 2077 || u.Port == 2088 {
		r.warnings.add(path+".url", fmt.Sprintf("port %d", u.Port), "cannot be a MediaConnect source",
			"if the far end is MediaConnect, use 1024 to 65535 except 2077 and 2088")
	}
}

func (b *Box) outputRules(r *report) {
	o := &b.Output
	for _, k := range []struct {
		name string
		key  Secret
	}{{"next_key", o.NextKey}, {"previous_key", o.PreviousKey}} {
		if k.key == "" {
			continue
		}
		if o.Key == "" {
			r.errors.addf("output."+k.name, "write key as well", "has no effect without key")
		} else if strings.EqualFold(string(k.key), string(o.Key)) {
			r.errors.addf("output."+k.name, "remove it, or write another key", "is the same as key")
		}
	}
	if rows := o.FEC.Rows; rows != nil && *rows > 0 {
		if o.FEC.K == 0 {
			r.errors.add("output.fec.rows", fmt.Sprint(*rows), "is given without k", "write both, or leave both to the planner")
			return
		}
		streams := 0 // each has rows of its own, of one code
		for i := range b.Paths {
			if b.Paths[i].Profile == ProfileRTPFEC {
				streams++
			}
		}
		if n := o.FEC.K + *rows*streams; n > 255 {
			r.errors.addf("output.fec.rows", "lower rows or k",
				"%d on each of %d streams and k %d make %d symbols, and the code has 255", *rows, streams, o.FEC.K, n)
		}
	}
}

// fecBound is the part of the total latency that a block takes (twice the
// shorter of block duration and max_block_ms), as far as the document decides
// it: 0 if there is no parity or the planner chooses k.
func (b *Box) fecBound() time.Duration {
	o := &b.Output
	if o.FEC.K == 0 || o.FEC.Rows != nil && *o.FEC.Rows == 0 || o.FEC.Rows == nil && o.OverheadPercent == 0 {
		return 0
	}
	bits := int64(o.FEC.K) * int64(o.TSPacketsPerMessage) * 188 * 8
	block := time.Duration(bits) * time.Second / time.Duration(o.MaxBitrateKbps.BitsPerSecond())
	longest := o.FEC.MaxBlockMS.Duration()
	if longest == 0 {
		longest = 70 * time.Millisecond
	}
	return 2 * min(block, longest)
}

func (b *Box) pathRules(r *report, i int) {
	p, o, path := &b.Paths[i], &b.Output, fmt.Sprintf("paths[%d]", i)
	u, _ := ParseURL(p.URL)
	with := "with profile " + p.Profile
	scheme := TypeSRT
	if p.Profile == ProfileRTP {
		scheme = TypeRTP
	}
	if u.Scheme != scheme {
		r.errors.add(path+".url", fmt.Sprintf("%q", RedactURL(p.URL)), "does not fit profile "+p.Profile,
			fmt.Sprintf("write %s://host:port, or another profile", scheme))
		return
	}

	if p.Profile == ProfileRTP {
		r.rtpPath(path, p, u, o)
	} else {
		r.unused(path, *p, with, "st2022_1", "ttl")
		r.socket(path, u, p.Mode, p.Source, p.SRT)
		r.encryption(path, u, p.Passphrase)
	}
	if p.Profile == ProfileRTPFEC {
		b.rtpFECPath(r, path, p)
	} else {
		r.mediaConnect(path, u, p.Mode)
		if o.MaxBitrateKbps > 120000 {
			r.warnings.addf("output.max_bitrate_kbps", "lower it if the far end is MediaConnect",
				"is more than the 120000 that a MediaConnect source takes (%s)", path)
		}
	}
	messages := o.TSPacketsPerMessage
	if p.Profile == ProfileTS {
		if p.StaggerMS != nil && *p.StaggerMS != 0 {
			r.errors.add(path+".stagger_ms", fmt.Sprint(*p.StaggerMS), "is not possible with profile ts",
				"remove it: a receiver of plain transport streams would see its clock shifted between sources")
		}
		r.unused(path, *p, with, "merge_group")
		if p.TSPacketsPerMessage > 0 {
			messages = p.TSPacketsPerMessage
		}
	} else {
		r.unused(path, *p, with+", where every path carries the same packets (set output.ts_packets_per_message)", "ts_packets_per_message")
	}
	if p.Profile != ProfileRTP {
		// IP and UDP 28 bytes, SRT 16; RTP repair packet 12+4+6, ADUI 3+12, tag 8.
		room := p.SRT.MSS - 44
		if p.Profile == ProfileRTPFEC {
			room -= 45
		}
		if messages*188 > room {
			r.errors.add(path+".srt.mss_bytes", fmt.Sprint(p.SRT.MSS), fmt.Sprintf("is too small for %d transport stream packets in a message", messages),
				fmt.Sprintf("lower ts_packets_per_message to %d", room/188))
		}
	}
	need := o.MaxBitrateKbps
	if p.Profile == ProfileRTPFEC {
		need += need * Kbps(o.OverheadPercent) / 100
	}
	if p.MaxBitrateKbps > 0 && p.MaxBitrateKbps < need {
		r.warnings.add(path+".max_bitrate_kbps", fmt.Sprint(p.MaxBitrateKbps), fmt.Sprintf("is less than the %d that the feed and its repair packets need", need),
			"lower output.max_bitrate_kbps or overhead_percent, or expect this path to drop")
	}
}

// rtpPath checks a path of plain RTP.
func (r *report) rtpPath(path string, p *Path, u URL, o *Output) {
	r.unused(path, *p, "with profile rtp", "mode", "stream_id", "key_length", "latency_ms", "srt")
	if p.Passphrase != "" {
		r.errors.addf(path+".passphrase", "use profile ts or rtp-fec, or remove it", "has no effect with profile rtp: plain RTP is not encrypted")
	}
	if u.Host == "" {
		r.errors.addf(path+".url", "write rtp://host:port", "names no host to send to")
	}
	if u.public() {
		r.warnings.add(path+".url", fmt.Sprintf("%q", p.URL), "is a public address, and plain RTP is not encrypted",
			"use it inside a VPC or over Direct Connect or a VPN only; elsewhere use ts or rtp-fec")
	}
	if p.ST20221 != nil {
		if u.Port > 65531 {
			r.errors.addf(path+".url", "use a port up to 65531", "leaves no room for the recovery packets on port + 2 and + 4")
		}
		if n := p.ST20221.Columns * p.ST20221.Rows; n > 100 {
			r.errors.addf(path+".st2022_1", "lower one of them (SMPTE ST 2022-1 allows 100 in all)", "has %d columns × rows", n)
		}
	}
	if p.StaggerMS != nil && p.StaggerMS.Duration() >= o.LatencyMS.Duration() {
		r.errors.add(path+".stagger_ms", fmt.Sprint(*p.StaggerMS), fmt.Sprintf("is not less than output.latency_ms %d", o.LatencyMS), "lower it")
	}
}

// rtpFECPath checks a path to a gateway.
func (b *Box) rtpFECPath(r *report, path string, p *Path) {
	o := &b.Output
	if o.Key == "" {
		r.errors.addf("output.key", "write the gateway's key, or make one for both: `openssl rand -hex 32`",
			"is missing, and %s has profile rtp-fec, whose every message is authenticated with it", path)
	}
	if p.SRT.PacketFilter != "" {
		r.errors.addf(path+".srt.packet_filter", "remove it: the stream has its own FEC", "is not possible with profile rtp-fec")
	}
	var stagger Milliseconds
	if p.StaggerMS != nil {
		stagger = *p.StaggerMS
	}
	fec := Milliseconds((b.fecBound() + time.Millisecond - 1) / time.Millisecond)
	if sum := p.LatencyMS + stagger + fec; sum > o.LatencyMS {
		r.errors.addf(path, "raise output.latency_ms, or lower one of them",
			"SRT latency %d, stagger %d and FEC bound %d ms make %d, more than output.latency_ms %d", p.LatencyMS, stagger, fec, sum, o.LatencyMS)
	}
}

// portRules finds paths that would take each other's place.
func (b *Box) portRules(r *report) {
	type use struct{ what, where string }
	taken := map[string]use{}
	take := func(key, what, where string) {
		if first, ok := taken[key]; ok {
			r.errors.addf(where, "give each its own port or stream id", "%s %s already", first.where, first.what)
			return
		}
		taken[key] = use{what, where}
	}
	listen := func(u URL, where string) {
		take(fmt.Sprintf("listen %d", u.Port), fmt.Sprintf("listens on port %d", u.Port), where)
	}
	if u, _ := ParseURL(b.Input.URL); b.Input.Type == TypeSRT && b.Input.Mode == ModeListener {
		listen(u, "input.url")
	}
	for i := range b.Paths {
		p, where := &b.Paths[i], fmt.Sprintf("paths[%d].url", i)
		u, _ := ParseURL(p.URL)
		switch {
		case u.Scheme == TypeRTP:
			for k := 0; k <= 4; k += 2 {
				if k == 0 || p.ST20221 != nil {
					take(fmt.Sprintf("rtp %s %d", u.Host, u.Port+k), fmt.Sprintf("sends to %s port %d", u.Host, u.Port+k), where)
				}
			}
		case p.Mode == ModeListener:
			listen(u, where)
		default:
			take(fmt.Sprintf("srt %s %q", u.Address(), p.StreamID), fmt.Sprintf("calls %s with stream id %q", u.Address(), p.StreamID), where)
		}
	}
}

// interfaceRules warns of redundant paths that one cable can take down.
func (b *Box) interfaceRules(r *report) {
	bind := func(p *Path) string { return p.Interface + " " + p.Source }
	legs, first, all := map[int]int{}, map[string]int{}, map[string]bool{}
	for i := range b.Paths {
		p := &b.Paths[i]
		if u, _ := ParseURL(p.URL); u.loopback() {
			return // a test bed
		}
		all[bind(p)] = true
		legs[p.Leg]++
	}
	shared := func(i, j int) {
		p, q := &b.Paths[i], &b.Paths[j]
		on, where := "interface "+p.Interface, "interface"
		switch {
		case p.Interface == "" && p.Source == "":
			on = "no chosen interface"
		case p.Interface == "":
			on, where = "source "+p.Source, "source"
		}
		r.warnings.addf(fmt.Sprintf("paths[%d].%s", i, where), "bind redundant paths to different interfaces",
			"%s and %s share %s: one cable takes down both", q.Name, p.Name, on)
	}
	if len(all) == 1 && len(b.Paths) > 1 {
		shared(1, 0)
		return
	}
	for i := range b.Paths {
		key := fmt.Sprint(b.Paths[i].Leg, " ", bind(&b.Paths[i]))
		if j, ok := first[key]; ok {
			shared(i, j)
			continue
		}
		first[key] = i
	}
}
