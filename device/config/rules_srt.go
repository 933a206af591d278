package config

import (
	"fmt"
)

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
	if ip, ok := u.IP(); mode == ModeListener && u.Host != "" && !ok {
		r.errors.add(path+".url", fmt.Sprintf("%q", u.String()), "names a host, and a listener needs an address of this machine", "write srt://:port for all, or an IP address")
	} else if ok && ip.Is4In6() {
		r.errors.add(path+".url", fmt.Sprintf("%q", u.String()), "is an IPv4-mapped IPv6 address", "write "+ip.Unmap().String())
	}
	if mode == ModeListener {
		r.unused(path+".srt", s, "with mode listener", "connect_timeout_ms")
	}
	r.knobs(path+".srt", s)
}

// Bounds of libsrt's buffers.
const (
	leastFC    = 32    // packets
	leastBuf   = 48000 // bytes: as many of 1500
	ordinaryFC = 25600 // packets in flight where fc_packets is 0 (libsrt's default)
	ordinary   = 8192  // packets of buffer where its size is 0 (libsrt's default)
)

// knobs checks the settings of a socket against each other, as libsrt and
// uplink/srt take them.
func (r *report) knobs(path string, s SRT) {
	for _, f := range []struct {
		name    string
		v, than int
	}{{"fc_packets", s.FC, leastFC}, {"sndbuf_bytes", s.SndBuf, leastBuf}, {"rcvbuf_bytes", s.RcvBuf, leastBuf}} {
		if f.v > 0 && f.v < f.than {
			r.errors.add(join(path, f.name), fmt.Sprint(f.v), "is less than libsrt can work with", fmt.Sprintf("write %d or more, or leave it out to have it sized", f.than))
			return
		}
	}
	const headers = 28 // IPv4 and UDP
	unit := s.MSS - headers
	fc, hold := s.FC, ordinary
	if fc == 0 {
		fc = ordinaryFC
	}
	if s.RcvBuf > 0 {
		hold = (s.RcvBuf + unit - 1) / unit
	}
	if hold > fc {
		r.errors.add(path+".fc_packets", fmt.Sprint(fc), fmt.Sprintf("is less than the %d packets of the receive buffer", hold),
			fmt.Sprintf("write %d or more, or set rcvbuf_bytes to %d or less", hold, fc*unit))
	}
	switch {
	case s.MaxBWKbps > 0 && s.InputBWKbps > 0:
		r.errors.addf(path+".inputbw_kbps", "remove one of them", "has no effect beside maxbw_kbps")
	case s.MaxBWKbps > 0 && s.MinInputBWKbps > 0:
		r.errors.addf(path+".mininputbw_kbps", "remove one of them", "has no effect beside maxbw_kbps")
	case s.InputBWKbps > 0 && s.MinInputBWKbps > 0:
		r.errors.addf(path+".mininputbw_kbps", "remove one of them", "has no effect beside inputbw_kbps")
	case s.InputBWKbps == 0 && s.MinInputBWKbps == 0:
		r.unused(path, s, "without inputbw_kbps or mininputbw_kbps, to which it is relative", "oheadbw_percent")
	}
}

// keyLength checks that key_length has something to encrypt. v is the struct
// that has both.
func (r *report) keyLength(path string, v any, pass Secret) {
	if pass == "" {
		r.unused(path, v, "without a passphrase", "key_length")
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

// sender checks the local address of plain RTP or UDP that is sent.
func (r *report) sender(path string, u URL, source string) {
	if src, ok := (URL{Host: source}).IP(); ok {
		if ip, ok := u.IP(); ok && ip.Is4() != src.Is4() {
			r.errors.addf(path+".source", "write both as IPv4 or both as IPv6", "is not of the url's address family")
		}
	}
}
