package config

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// formats are the named forms of strings. check returns what is wrong in
// words ("is not …"), or "".
var formats = map[string]struct {
	check   func(string) string
	wants   string // for a person: "write …"
	pattern string // for the JSON Schema, where a pattern can say it
}{
	"name": {checkName, "1 to 32 letters, digits, dots, dashes or underscores, the first a letter or digit",
		"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$"},
	"url": {func(s string) string {
		if _, err := ParseURL(s); err != nil {
			return err.Error()
		}
		return ""
	}, "scheme://host:port with scheme udp, rtp or srt, or file:///path, sdi:///dev/videoN, test://bars", ""},
	"interface": {checkInterface, "the name of a network interface, such as eth0", "^[^/\\s]{1,15}$"},
	"ip":        {checkIP, "an IP address, such as 192.0.2.7", ""},
	"listen": {func(s string) string {
		if strings.HasPrefix(s, "localhost:") {
			return "is a name, and SRT listens on addresses: 127.0.0.1 or [::1]"
		}
		return checkListen(s)
	}, "address:port or :port, such as 0.0.0.0:9000", "^[^\\s]*:[0-9]{1,5}$"},
	"listen-or-empty": {func(s string) string {
		if s == "" {
			return ""
		}
		return checkListen(s)
	}, `address:port or :port, such as 127.0.0.1:9464, or "" for none`, "^([^\\s]*:[0-9]{1,5})?$"},
	"path": {func(s string) string {
		switch {
		case !filepath.IsAbs(s):
			return "is not an absolute path"
		case strings.ContainsRune(s, 0):
			return "contains a zero byte"
		case len(s) > 100: // sun_path has 108 bytes; leave room for a suffix
			return fmt.Sprintf("has %d bytes, more than a socket's address holds", len(s))
		}
		return ""
	}, "an absolute path of up to 100 bytes", "^/.{0,99}$"},
	"file": {func(s string) string {
		if !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
			return "is not an absolute path"
		}
		return ""
	}, "an absolute path", "^/.+$"},
	"element":      {checkWord, "the name of a GStreamer element, such as x264enc", "^[a-z0-9_]{1,40}$"},
	"language":     {checkLanguage, "three small letters, such as deu", "^[a-z]{3}$"},
	"label":        {checkLabel, "1 to 60 bytes without control characters", ""},
	"alsa":         {checkLabel, "an ALSA device, such as hw:1", ""},
	"streamid":     {checkStreamID, "1 to 512 bytes", "^.{1,512}$"},
	"packetfilter": {checkPacketFilter, "libsrt's own filter, such as fec,cols:10,rows:5", "^fec,.{1,60}$"},
	"pids":         {checkPIDs, "PIDs from 32 to 8190 with commas between them, such as 0x1f0,8000", "^[0-9a-fA-FxX, ]{1,400}$"},
	"passphrase":   {checkPassphrase, "10 to 79 bytes", "^.{10,79}$"},
	"hexkey": {checkHexKey, "32 to 64 random bytes in hex, such as `openssl rand -hex 32` prints",
		"^([0-9A-Fa-f]{2}){32,64}$"},
}

// ParsePIDs reads a list of PIDs, decimal or with 0x, with commas between them.
func ParsePIDs(s string) ([]uint16, error) {
	var list []uint16
	if s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		n, err := strconv.ParseUint(part, 0, 16)
		if err != nil || n < 32 || n > 8190 {
			return nil, fmt.Errorf("holds %q, which is no PID from 32 to 8190", part)
		}
		list = append(list, uint16(n))
	}
	return list, nil
}

func checkPIDs(s string) string {
	if len(s) > 400 {
		return fmt.Sprintf("has %d bytes", len(s))
	}
	if _, err := ParsePIDs(s); err != nil {
		return err.Error()
	}
	return ""
}

// checkPassphrase: SRT takes 10 to 79 bytes (SRTO_PASSPHRASE).
func checkPassphrase(s string) string {
	switch {
	case len(s) < 10 || len(s) > 79:
		return fmt.Sprintf("has %d bytes", len(s))
	case strings.ContainsRune(s, 0):
		return "contains a zero byte"
	}
	return ""
}

func checkWord(s string) string {
	if len(s) > 40 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "is not a word of small letters, digits and underscores"
	}
	return ""
}

func checkLanguage(s string) string {
	if len(s) != 3 || checkWord(s) != "" || strings.ContainsAny(s, "0123456789_") {
		return "is not three small letters"
	}
	return ""
}

// checkLabel: what an SDT's text takes (ETSI EN 300 468 annex A).
func checkLabel(s string) string {
	switch {
	case len(s) > 60:
		return fmt.Sprintf("has %d bytes", len(s))
	case strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c == 0x7F }):
		return "contains a control character"
	}
	return ""
}

// checkStreamID: SRT takes up to 512 bytes (SRTO_STREAMID).
func checkStreamID(s string) string {
	switch {
	case len(s) > 512:
		return fmt.Sprintf("has %d bytes", len(s))
	case strings.ContainsRune(s, 0):
		return "contains a zero byte"
	}
	return ""
}

// checkPacketFilter reads what libsrt's built-in filter takes
// (SRTO_PACKETFILTER): a name and parameters of the form key:value.
func checkPacketFilter(s string) string {
	name, rest, _ := strings.Cut(s, ",")
	if name != "fec" {
		return "is not a packet filter that libsrt has"
	}
	if len(s) > 64 {
		return fmt.Sprintf("has %d bytes", len(s))
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(value)
		ok := false
		switch key {
		case "cols":
			ok = err == nil && n >= 1 && n <= 256
		case "rows":
			ok = err == nil && n >= -256 && n <= 256 && n != 0
		case "layout":
			ok = value == "even" || value == "staircase"
		case "arq":
			ok = value == "always" || value == "onreq" || value == "never"
		}
		if !ok || seen[key] {
			return "has a parameter that the filter fec does not take, or takes once"
		}
		seen[key] = true
	}
	if !seen["cols"] {
		return "does not say how many columns (cols) its matrix has"
	}
	return ""
}

func checkIP(s string) string {
	ip, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return "is not an IP address"
	case ip.Zone() != "":
		return "has a zone (name the interface instead)"
	case ip.Is4In6():
		return "is an IPv4-mapped IPv6 address (the IPv4 address is " + ip.Unmap().String() + ")"
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not the address of one host"
	}
	return ""
}

func checkHexKey(s string) string {
	b, err := hex.DecodeString(s)
	switch {
	case err != nil:
		return "is not an even number of hex digits"
	case len(b) < 32 || len(b) > 64:
		return fmt.Sprintf("has %d bytes", len(b))
	case strings.Trim(s, "0") == "":
		return "is all zeros, which everybody can guess"
	}
	return ""
}

func checkName(s string) string {
	for i, r := range s {
		alnum := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !alnum && (i == 0 || !strings.ContainsRune("._-", r)) {
			return "is not a name"
		}
	}
	if s == "" || len(s) > 32 {
		return fmt.Sprintf("has %d characters", len(s))
	}
	return ""
}

func checkInterface(s string) string {
	// What the kernel refuses, and what has a meaning in addresses.
	bad := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:&?@%#", r) })
	if s == "." || s == ".." || bad {
		return "is not the name of an interface"
	}
	if len(s) > 15 {
		return fmt.Sprintf("has %d bytes, and interface names have up to 15", len(s))
	}
	return ""
}

func checkListen(s string) string {
	host, _, err := splitHostPort(s) // port 0: the system chooses
	if err != nil {
		return err.Error()
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return "does not name a local IP address"
	}
	return ""
}
