package config

import (
	"fmt"
	"time"
)

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
		r.unused("input", *in, with, "second", "fec", "merge_window_ms")
	}
	if in.Type != TypeSDI && in.Type != TypeTest {
		r.unused("input", *in, with, "audio_device")
		if in.OnInputLoss == LossSlate && !in.Transcode {
			r.errors.addf("input.on_input_loss", "write null or stop, or set transcode", "is possible only with what the box encodes itself: types sdi and test, or transcode")
		}
		if in.Transcode {
			r.unused("input", *in, "with transcode: the encoder's clock holds", "jitter_ms", "pcr_pid")
		}
	}
	if in.Type != TypeFile {
		r.unused("input", *in, with, "loop")
	} else {
		r.unused("input", *in, with, "interface", "source", "jitter_ms")
	}
	if in.FEC != FECST20221 {
		r.unused("input", *in, "with fec "+in.FEC, "fec_window_ms")
	} else if in.Second == nil {
		r.unused("input", *in, "with fec st2022-1 and one copy (the repair waits for fec_window_ms)", "merge_window_ms")
	}
	if in.OnInputLoss != LossStop {
		r.unused("input", *in, "with on_input_loss "+in.OnInputLoss, "stop_after_ms")
	}
	if m := in.Monitor; !m.Enabled {
		r.unused("input.monitor", m, "with enabled false", "pid_missing_ms", "priority3", "private_pids")
	} else if !m.Priority3 {
		r.unused("input.monitor", m, "with priority3 false", "private_pids")
	}
	switch in.Type {
	case TypeSDI, TypeTest:
		in.encodedRules(r, u)
	case TypeSRT:
		r.socket("input", u, in.Mode, in.Source, in.SRT)
		r.encryption("input", u, in.Passphrase)
		r.keyLength("input", *in, in.Passphrase)
	case TypeUDP, TypeRTP:
		r.received("input", u, in.Interface, in.Source)
		in.rtpRules(r, u)
	}
}

// rtpRules checks what only an RTP feed has.
func (in *Input) rtpRules(r *report, u URL) {
	if in.FEC == FECST20221 {
		r.recoveryPorts("input.url", u)
	}
	// See capture/udp: what waits longer than the pacer behind it holds is a
	// hiccup of the output.
	const tick = 5 * time.Millisecond
	if w := in.MergeWindowMS; !in.Transcode && in.Second == nil && w > 0 && w.Duration()+tick > in.JitterMS.Duration() {
		r.warnings.add("input.merge_window_ms", fmt.Sprint(w), fmt.Sprintf("with jitter_ms %d makes each loss of the feed a hiccup of the output", in.JitterMS),
			fmt.Sprintf("set jitter_ms to %d or more, or lower it", w+Milliseconds(tick/time.Millisecond)))
	}
	if in.Second == nil {
		return
	}
	v, _ := ParseURL(in.Second.URL)
	if v.Scheme != TypeRTP {
		r.errors.addf("input.second.url", "write rtp://…", "is not RTP, as the first copy is")
		return
	}
	r.received("input.second", v, in.Second.Interface, in.Second.Source)
	if in.FEC == FECST20221 {
		r.recoveryPorts("input.second.url", v)
	}
	sameHost := v.Host == u.Host
	if a, ok := u.IP(); ok {
		b, _ := v.IP()
		sameHost = a == b
	}
	apart := v.Port - u.Port
	switch {
	case !sameHost || in.Second.Interface != in.Interface || u.Multicast() && in.Second.Source != in.Source:
		if in.Second.Interface == in.Interface && !u.loopback() {
			r.warnings.addf("input.second.interface", "receive each copy on its own interface", "is also the first copy's: one cable carries both")
		}
	case apart == 0:
		r.errors.addf("input.second", "give it the address or the interface of the second copy", "receives the same packets as the first")
	case in.FEC == FECST20221 && (apart == 2 || apart == -2 || apart == 4 || apart == -4):
		r.errors.addf("input.second.url", "use ports at least 6 apart", "is a port of the first copy's recovery packets, or the other way round")
	case !u.loopback():
		r.warnings.addf("input.second.interface", "receive each copy on its own interface", "is also the first copy's: one cable carries both")
	}
}

// received checks the address and source of a received UDP or RTP feed.
func (r *report) received(path string, u URL, iface, source string) {
	ip, ok := u.IP()
	switch {
	case u.Host == "":
	case !ok:
		r.errors.add(path+".url", fmt.Sprintf("%q", u.String()), "names a host, and names are not looked up for a receiver",
			"write the group, the local address, or "+u.Scheme+"://:port")
		return
	case ip.Zone() != "":
		r.errors.add(path+".url", fmt.Sprintf("%q", u.String()), "has a zone", "write the interface as interface")
		return
	case ip.Is4In6():
		r.errors.add(path+".url", fmt.Sprintf("%q", u.String()), "is an IPv4-mapped IPv6 address", "write "+ip.Unmap().String())
		return
	case ip.Is6() && ip.IsLinkLocalMulticast() && iface == "":
		r.errors.addf(path+".interface", "write the one that receives", "is missing: the group %s exists once on each link", ip)
	}
	if source == "" {
		return
	}
	if !u.Multicast() {
		r.errors.addf(path+".source", "remove it, or receive a multicast group", "has an effect only with a multicast group")
	} else if src, _ := (URL{Host: source}).IP(); src.Is4() != ip.Is4() {
		r.errors.addf(path+".source", "write both as IPv4 or both as IPv6", "is not of the group's address family")
	}
}

// recoveryPorts checks that ST 2022-1 has its ports.
func (r *report) recoveryPorts(path string, u URL) {
	if u.Port > 65531 {
		r.errors.addf(path, "use a port up to 65531", "leaves no room for the recovery packets on port + 2 and + 4")
	}
}
