package config

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
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
	}, "scheme://host:port with scheme udp, rtp or srt, or file:///path", ""},
	"interface": {checkInterface, "the name of a network interface, such as eth0", "^[^/\\s]{1,15}$"},
	"ip": {func(s string) string {
		if _, err := netip.ParseAddr(s); err != nil {
			return "is not an IP address"
		}
		return ""
	}, "an IP address, such as 192.0.2.7", ""},
	"listen": {checkListen, "address:port or :port, such as 0.0.0.0:9000", "^[^\\s]*:[0-9]{1,5}$"},
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
	"passphrase": {checkPassphrase, "10 to 79 bytes", "^.{10,79}$"},
	"hexkey": {checkHexKey, "32 to 64 random bytes in hex, such as `openssl rand -hex 32` prints",
		"^([0-9A-Fa-f]{2}){32,64}$"},
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

func checkHexKey(s string) string {
	b, err := hex.DecodeString(s)
	switch {
	case err != nil:
		return "is not an even number of hex digits"
	case len(b) < 32 || len(b) > 64:
		return fmt.Sprintf("has %d bytes", len(b))
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
	bad := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == 0x7f })
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
