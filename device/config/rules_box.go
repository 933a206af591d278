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
	if in.OnInputLoss == "" {
		in.OnInputLoss = LossNull
		if in.encoded() {
			in.OnInputLoss = LossSlate
		}
	}
	if in.encoded() && len(b.Encoder.Audio) == 0 && !b.Encoder.NoSound {
		b.Encoder.Audio = defaultAudio()
	}
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
	b.encoderRules(r)
	b.confidenceRules(r)
	b.outputRules(r)
	b.parityRules(r)
	unique(r, "paths", b.Paths, func(p *Path) string { return p.Name })
	for i := range b.Paths {
		b.pathRules(r, i)
	}
	b.portRules(r)
	b.interfaceRules(r)
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
	if o.NextKey != "" && o.PreviousKey != "" {
		r.errors.addf("output.next_key", "remove next_key until previous_key is gone", "is given beside previous_key, and each end knows two keys at a time")
	}
	if o.FEC.Rows != nil {
		r.unused("output", *o, "beside fec.rows", "overhead_percent")
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

// parityRules warns of settings that wait for paths of profile rtp-fec, which
// the document does not have.
func (b *Box) parityRules(r *report) {
	o := &b.Output
	groups, most := map[string]int{}, 0
	for i := range b.Paths {
		if b.Paths[i].Profile == ProfileRTPFEC {
			groups[b.MergeGroupOf(i)]++
			most = max(most, groups[b.MergeGroupOf(i)])
		}
	}
	idle := func(why string, names ...string) {
		var u report
		u.unused("output", *o, why, names...)
		for _, i := range u.errors {
			r.warnings.add(i.Path, "", i.Problem, "leave it for later, or remove it")
		}
	}
	if most == 0 {
		idle("while no path has profile rtp-fec", "key", "overhead_percent", "loss_percent")
		if o.FEC != (FEC{}) {
			r.warnings.addf("output.fec", "leave it for later, or remove it", "has no effect while no path has profile rtp-fec")
		}
	}
	if most < 2 {
		idle("while no two rtp-fec paths share a merge group", "skew_ms", "peer_hop_ms")
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
		r.keyLength(path, *p, p.Passphrase)
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
		if p.TSPacketsPerMessage > o.TSPacketsPerMessage {
			r.errors.add(path+".ts_packets_per_message", fmt.Sprint(p.TSPacketsPerMessage),
				fmt.Sprintf("is more than output.ts_packets_per_message %d: messages are split for a path, never joined", o.TSPacketsPerMessage), "lower it, or raise that one")
		} else if p.TSPacketsPerMessage > 0 {
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
		if p.SRT.PacketFilter != "" {
			room -= 4
		}
		if messages*188 > room {
			r.errors.add(path+".srt.mss_bytes", fmt.Sprint(p.SRT.MSS), fmt.Sprintf("is too small for %d transport stream packets in a message", messages),
				fmt.Sprintf("lower ts_packets_per_message to %d", room/188))
		}
	}
}

// rtpPath checks a path of plain RTP.
func (r *report) rtpPath(path string, p *Path, u URL, o *Output) {
	r.unused(path, *p, "with profile rtp", "mode", "stream_id", "key_length", "latency_ms", "max_bitrate_kbps", "srt")
	if p.Passphrase != "" {
		r.errors.addf(path+".passphrase", "use profile ts or rtp-fec, or remove it", "has no effect with profile rtp: plain RTP is not encrypted")
	}
	if u.Host == "" {
		r.errors.addf(path+".url", "write rtp://host:port", "names no host to send to")
	}
	r.sender(path, u, p.Source)
	if u.public() {
		r.warnings.add(path+".url", fmt.Sprintf("%q", p.URL), "is a public address, and plain RTP is not encrypted",
			"use it inside a VPC or over Direct Connect or a VPN only; elsewhere use ts or rtp-fec")
	}
	if p.ST20221 != nil {
		r.recoveryPorts(path+".url", u)
		if n := p.ST20221.Columns * p.ST20221.Rows; n > 100 {
			r.errors.addf(path+".st2022_1", "lower one of them (SMPTE ST 2022-1 allows 100 in all)", "has %d columns × rows", n)
		}
		if p.ST20221.RowFEC && p.ST20221.Columns < 4 {
			r.errors.add(path+".st2022_1.row_fec", "true", fmt.Sprintf("needs 4 columns at least, and there are %d", p.ST20221.Columns), "set it to false, or columns to 4 or more")
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
	if sum := p.LatencyMS + stagger + fec; p.LatencyMS > 0 && sum > o.LatencyMS {
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
