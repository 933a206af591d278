package srt

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Mode is who calls whom.
type Mode uint8

const (
	Caller Mode = iota
	Listening
)

func (m Mode) String() string {
	if m == Listening {
		return "listener"
	}
	return "caller"
}

// URL is a destination or source on one line:
//
//	srt://host:port?mode=caller|listener&latency=ms&passphrase=…&pbkeylen=16|24|32&streamid=…
//
// The parameters bear the names that srt-live-transmit gives them; times are in
// milliseconds, rates in bytes/s, sizes in bytes (fc: packets). Without mode, an
// empty host means listener. Beyond those shown: payloadsize, maxbw, inputbw,
// mininputbw, oheadbw, fc, sndbuf, rcvbuf, udpsndbuf, udprcvbuf, retransmitalgo,
// lossmaxttl, snddropdelay, conntimeo, peeridletimeo, iptos, ipttl, mss,
// packetfilter, bindtodevice, adapter (a caller's source address), backlog.
type URL struct {
	Mode    Mode
	Addr    string // host:port; of a listener ip:port or :port
	Options Options
}

// parameter ties a name to a field of Options.
type parameter struct {
	name string
	get  func(*Options) string // "" when not set
	set  func(*Options, string) error
}

func text(name string, f func(*Options) *string) parameter {
	return parameter{name,
		func(o *Options) string { return *f(o) },
		func(o *Options, v string) error { *f(o) = v; return nil },
	}
}

func whole(name string, f func(*Options) *int) parameter {
	return parameter{name,
		func(o *Options) string {
			if *f(o) == 0 {
				return ""
			}
			return strconv.Itoa(*f(o))
		},
		func(o *Options, v string) error {
			n, err := decimal(v)
			*f(o) = int(n)
			return err
		},
	}
}

func rate(name string, f func(*Options) *int64) parameter {
	return parameter{name,
		func(o *Options) string {
			if *f(o) == 0 {
				return ""
			}
			return strconv.FormatInt(*f(o), 10)
		},
		func(o *Options, v string) (err error) { *f(o), err = decimal(v); return err },
	}
}

func millis(name string, f func(*Options) *time.Duration) parameter {
	return parameter{name,
		func(o *Options) string {
			if *f(o) == 0 {
				return ""
			}
			return strconv.FormatInt(f(o).Milliseconds(), 10)
		},
		func(o *Options, v string) error {
			n, err := decimal(v)
			if err == nil && (n < 1 || n > 1<<31) {
				err = fmt.Errorf("must be at least 1 ms")
			}
			*f(o) = time.Duration(n) * time.Millisecond
			return err
		},
	}
}

// offable is a number whose 0 is written -1 in Options.
func offable(name string, f func(*Options) *int) parameter {
	return parameter{name,
		func(o *Options) string {
			switch *f(o) {
			case 0:
				return ""
			case -1:
				return "0"
			}
			return strconv.Itoa(*f(o))
		},
		func(o *Options, v string) error {
			n, err := decimal(v)
			if err == nil && n < 0 {
				err = fmt.Errorf("must not be negative")
			}
			if n == 0 {
				n = -1
			}
			*f(o) = int(n)
			return err
		},
	}
}

func decimal(v string) (int64, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != v {
		return 0, fmt.Errorf("must be a whole number")
	}
	if n > 1<<53 || n < -(1<<53) {
		return 0, fmt.Errorf("is out of range")
	}
	return n, nil
}

var parameters = []parameter{
	millis("latency", func(o *Options) *time.Duration { return &o.Latency }),
	text("passphrase", func(o *Options) *string { return &o.Passphrase }),
	whole("pbkeylen", func(o *Options) *int { return &o.KeyLength }),
	text("streamid", func(o *Options) *string { return &o.StreamID }),
	whole("payloadsize", func(o *Options) *int { return &o.PayloadSize }),
	rate("maxbw", func(o *Options) *int64 { return &o.MaxBW }),
	rate("inputbw", func(o *Options) *int64 { return &o.InputBW }),
	rate("mininputbw", func(o *Options) *int64 { return &o.MinInputBW }),
	whole("oheadbw", func(o *Options) *int { return &o.OverheadBW }),
	whole("fc", func(o *Options) *int { return &o.FC }),
	whole("sndbuf", func(o *Options) *int { return &o.SndBuf }),
	whole("rcvbuf", func(o *Options) *int { return &o.RcvBuf }),
	whole("udpsndbuf", func(o *Options) *int { return &o.UDPSndBuf }),
	whole("udprcvbuf", func(o *Options) *int { return &o.UDPRcvBuf }),
	whole("retransmitalgo", func(o *Options) *int { return &o.RetransmitAlgo }),
	offable("lossmaxttl", func(o *Options) *int { return &o.LossMaxTTL }),
	whole("snddropdelay", func(o *Options) *int { return &o.SndDropDelay }),
	millis("conntimeo", func(o *Options) *time.Duration { return &o.ConnectTimeout }),
	millis("peeridletimeo", func(o *Options) *time.Duration { return &o.PeerIdleTimeout }),
	offable("iptos", func(o *Options) *int { return &o.IPTOS }),
	whole("ipttl", func(o *Options) *int { return &o.IPTTL }),
	whole("mss", func(o *Options) *int { return &o.MSS }),
	text("packetfilter", func(o *Options) *string { return &o.PacketFilter }),
	text("bindtodevice", func(o *Options) *string { return &o.Interface }),
	text("adapter", func(o *Options) *string { return &o.LocalAddr }),
	whole("backlog", func(o *Options) *int { return &o.Backlog }),
}

// fixed are settings that other programs let one choose; here they have one
// value, which a URL may repeat.
var fixed = map[string]string{
	"transtype": "live", "messageapi": "1", "tsbpdmode": "1", "tlpktdrop": "1", "nakreport": "1",
	"drifttracer": "1", "enforcedencryption": "1", "groupconnect": "0", "congestion": "live",
}

// ParseURL reads one line, strictly: an unknown, repeated or empty parameter, and
// any value that Options.Validate refuses, is an error that names it.
func ParseURL(s string) (URL, error) {
	// No error repeats the line or the value of an unknown parameter: a mistyped
	// passphrase must not reach a log.
	fail := func(name, value, remedy string) (URL, error) {
		return URL{}, &OptionError{Option: name, Value: value, Remedy: remedy}
	}
	rest, ok := strings.CutPrefix(s, "srt://")
	if !ok {
		return fail("url", "(hidden)", "must begin with srt://")
	}
	addr, query, _ := strings.Cut(rest, "?")
	if strings.ContainsAny(addr, "/@#") {
		return fail("url", strconv.Quote(brief(addr)), "must be srt://host:port?name=value&…, with no path, user or fragment")
	}
	u := URL{Addr: addr}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !isHost(host) {
		return fail("address", strconv.Quote(brief(addr)), "must be host:port")
	}
	if n, err := decimal(port); err != nil || n < 0 || n > 65535 {
		return fail("port", strconv.Quote(brief(port)), "must be 1 to 65535")
	}
	u.Addr = net.JoinHostPort(host, port)
	if host == "" {
		u.Mode = Listening
	}

	seen := map[string]bool{}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return fail("parameter", strconv.Quote(brief(rawName)), "is not valid URL encoding")
		}
		value, err := url.QueryUnescape(rawValue)
		shown := strconv.Quote(brief(value))
		if name == "passphrase" {
			shown = "(hidden)"
		}
		switch {
		case err != nil:
			return fail(strconv.Quote(brief(name)), "(hidden)", "is not valid URL encoding")
		case seen[name]:
			return fail(strconv.Quote(brief(name)), "(hidden)", "is given twice")
		case value == "":
			return fail(strconv.Quote(brief(name)), "", "has no value: leave it out")
		}
		seen[name] = true
		if name == "mode" {
			switch value {
			case "caller":
				u.Mode = Caller
			case "listener":
				u.Mode = Listening
			default:
				return fail(name, shown, "must be caller or listener")
			}
			continue
		}
		if want, ok := fixed[name]; ok {
			if value != want {
				return fail(name, shown, "is always "+want+" here")
			}
			continue
		}
		p := find(name)
		if p == nil {
			return fail(strconv.Quote(brief(name)), "(hidden)", "unknown parameter; known are mode, "+known())
		}
		if err := p.set(&u.Options, value); err != nil {
			return fail(name, shown, err.Error())
		}
	}

	switch {
	case u.Mode == Caller && host == "":
		return fail("mode", "caller", "needs a host to call")
	case u.Mode == Caller && port == "0":
		return fail("port", port, "must be 1 to 65535")
	case u.Mode == Listening && host != "":
		if _, err := netip.ParseAddr(host); err != nil {
			return fail("address", strconv.Quote(brief(host)), "a listener needs an IP address of this machine, or none")
		}
	}
	if err := u.Options.Validate(); err != nil {
		return URL{}, err
	}
	return u, nil
}

// String is the line with the passphrase hidden.
func (u URL) String() string { return u.line(false) }

// Reveal is the whole line: ParseURL reads it back. It contains the secret.
func (u URL) Reveal() string { return u.line(true) }

func (u URL) line(reveal bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "srt://%s?mode=%s", u.Addr, u.Mode)
	for i := range parameters {
		p := &parameters[i]
		v := p.get(&u.Options)
		if v == "" {
			continue
		}
		if p.name == "passphrase" && !reveal {
			v = "hidden"
		}
		// Many programs do not read + as a space.
		fmt.Fprintf(&b, "&%s=%s", p.name, strings.ReplaceAll(url.QueryEscape(v), "+", "%20"))
	}
	return b.String()
}

func find(name string) *parameter {
	for i := range parameters {
		if parameters[i].name == name {
			return &parameters[i]
		}
	}
	return nil
}

func known() string {
	names := make([]string, len(parameters))
	for i := range parameters {
		names[i] = parameters[i].name
	}
	return strings.Join(names, ", ")
}

// isHost takes an IP address, a name, or nothing.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil || s == "" {
		return true
	}
	if len(s) > 253 {
		return false
	}
	for _, r := range []byte(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

// brief keeps error messages short whatever was typed.
func brief(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
