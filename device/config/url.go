package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// URL is an address of the documents taken apart.
type URL struct {
	Scheme string // udp, rtp, srt, file, sdi or test
	Host   string // name or IP address without brackets; empty: every local address
	Port   int
	File   string // schemes file and sdi: the absolute path; test: the picture
	Params map[string]string
}

// Address is host:port, as net.Dial and srt.Dial take it.
func (u URL) Address() string { return net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) }

// IP is the host if it is an IP address.
func (u URL) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(u.Host)
	return ip, err == nil
}

// Multicast tells whether the host is a multicast group.
func (u URL) Multicast() bool {
	ip, ok := u.IP()
	return ok && ip.Unmap().IsMulticast()
}

// public tells whether the host is an IP address that the Internet routes.
func (u URL) public() bool {
	ip, ok := u.IP()
	ip = ip.Unmap()
	return ok && ip.IsGlobalUnicast() && !ip.IsPrivate() && !cgnat.Contains(ip)
}

// loopback tells whether the host is this machine.
func (u URL) loopback() bool {
	ip, ok := u.IP()
	return u.Host == "localhost" || ok && ip.Unmap().IsLoopback()
}

var cgnat = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// ParseURL takes an address apart and checks its form. Its errors continue a
// sentence that starts with the address: "has no port". Parameters are taken
// literally but for %XX; a plus sign is a plus sign.
func ParseURL(s string) (URL, error) {
	var u URL
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return u, errors.New("has no scheme, such as srt://")
	}
	u.Scheme = scheme
	switch scheme {
	case TypeUDP, TypeRTP, TypeSRT:
	case TypeTest:
		u.File = rest
		return u, nil
	case TypeFile, TypeSDI:
		if !strings.HasPrefix(rest, "/") || strings.ContainsRune(rest, 0) {
			return u, errors.New("does not hold an absolute path")
		}
		u.File = rest
		return u, nil
	default:
		return u, fmt.Errorf("has the unknown scheme %q", clip(scheme))
	}
	if strings.Contains(rest, "#") {
		return u, errors.New("contains #, which must be written %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/@\\ ") {
		return u, errors.New("has more than host:port before its parameters")
	}
	var err error
	if u.Host, u.Port, err = splitHostPort(rest); err != nil {
		return u, err
	}
	if u.Port == 0 {
		return u, errors.New("has port 0")
	}
	if _, isIP := u.IP(); !isIP && !hostname(u.Host) {
		return u, errors.New("does not name a host")
	}
	return u, u.params(query)
}

// params reads the parameters of an srt:// address.
func (u *URL) params(query string) error {
	if query == "" {
		return nil
	}
	if u.Scheme != TypeSRT {
		return fmt.Errorf("has parameters, which %s:// does not take", u.Scheme)
	}
	u.Params = map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		v, err := url.PathUnescape(value)
		if err != nil {
			return fmt.Errorf("has a parameter %s with a bad %%XX", clip(name))
		}
		if _, twice := u.Params[name]; twice {
			return fmt.Errorf("has the parameter %s twice", name)
		}
		switch name {
		case "streamid":
			if len(v) > 512 {
				return errors.New("has a streamid of more than 512 bytes")
			}
		case "passphrase":
			if problem := checkPassphrase(v); problem != "" {
				return errors.New("has a passphrase that " + problem + " (10 to 79 are allowed)")
			}
		case "pbkeylen":
			if v != "16" && v != "24" && v != "32" {
				return errors.New("has a pbkeylen that is not 16, 24 or 32")
			}
		case "latency":
			if n, err := strconv.ParseUint(v, 10, 16); err != nil || n > 15000 {
				return errors.New("has a latency that is not 0 to 15000 milliseconds")
			}
		case "mode":
			if v != ModeCaller && v != ModeListener {
				return errors.New("has a mode that is not caller or listener")
			}
		case "key":
			if problem := checkHexKey(v); problem != "" {
				return errors.New("has a key that " + problem + " (32 to 64 bytes in hex are allowed)")
			}
		default:
			return fmt.Errorf("has the unknown parameter %q (known: streamid, passphrase, pbkeylen, latency, mode, key)", clip(name))
		}
		u.Params[name] = v
	}
	return nil
}

// String writes the address with its parameters, secrets included, in the form
// that ParseURL reads: the line that an operator pastes.
func (u URL) String() string {
	if u.Scheme == TypeFile || u.Scheme == TypeSDI || u.Scheme == TypeTest {
		return u.Scheme + "://" + u.File
	}
	s := u.Scheme + "://" + u.Address()
	names := make([]string, 0, len(u.Params))
	for name := range u.Params {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		s += string("?&"[min(i, 1)]) + name + "=" + escape(u.Params[name])
	}
	return s
}

// escape writes %XX for all but letters, digits and -._~ (RFC 3986 §2.3).
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

// RedactURL hides the parameters of an address, which may be secrets, for
// messages and logs. It takes any text.
func RedactURL(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i] + "?" + redacted
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if j := strings.Index(s, "://"); j >= 0 && j < i {
			s = s[:j+3] + redacted + s[i:]
		}
	}
	return s
}

// splitHostPort is net.SplitHostPort with a numeric port and errors that
// continue a sentence.
func splitHostPort(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		if strings.Count(s, ":") > 1 && !strings.Contains(s, "[") {
			return "", 0, errors.New("has an IPv6 address without brackets, which are needed: [2001:db8::7]:9000")
		}
		return "", 0, errors.New("has no port")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, errors.New("has a port that is not 1 to 65535")
	}
	return host, int(n), nil
}

// hostname tells whether s is a host name (RFC 1123), or empty.
func hostname(s string) bool {
	if s == "" {
		return true
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
