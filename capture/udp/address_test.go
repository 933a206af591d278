package udp

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	ip := netip.MustParseAddr
	for url, want := range map[string]Address{
		"udp://239.1.2.3:5000":                          {Host: ip("239.1.2.3"), Port: 5000},
		"udp://@239.1.2.3:5000":                         {Host: ip("239.1.2.3"), Port: 5000},
		"udp://239.1.2.3:5000/":                         {Host: ip("239.1.2.3"), Port: 5000},
		"udp://192.0.2.7@232.1.2.3:5000?iface=eth1":     {Source: ip("192.0.2.7"), Host: ip("232.1.2.3"), Port: 5000, Interface: "eth1"},
		"udp://:5000":                                   {Port: 5000},
		"udp://@:5000":                                  {Port: 5000},
		"udp://192.0.2.7@:5000":                         {Source: ip("192.0.2.7"), Port: 5000},
		"udp://0.0.0.0:5000":                            {Host: ip("0.0.0.0"), Port: 5000},
		"rtp://127.0.0.1:1":                             {Format: FormatRTP, Host: ip("127.0.0.1"), Port: 1},
		"rtp://239.1.2.3:5000?fec=st2022-1":             {Format: FormatRTP, Host: ip("239.1.2.3"), Port: 5000, FEC: true},
		"rtp://239.1.2.3:5000?fec=none&rcvbuf=65536":    {Format: FormatRTP, Host: ip("239.1.2.3"), Port: 5000, RcvBuf: 65536},
		"udp://[ff35::1]:65535?iface=eth0.100":          {Host: ip("ff35::1"), Port: 65535, Interface: "eth0.100"},
		"udp://[ff02::1%eth0]:5000":                     {Host: ip("ff02::1"), Port: 5000, Interface: "eth0"},
		"udp://[2001:db8::1]@[ff35::1]:5000?iface=eth1": {Source: ip("2001:db8::1"), Host: ip("ff35::1"), Port: 5000, Interface: "eth1"},
		"udp://[::]:5000":                               {Host: ip("::"), Port: 5000},
	} {
		got, err := ParseURL(url)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", url, got, err, want)
			continue
		}
		if again, err := ParseURL(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s, read as %+v, %v", url, got, again, err)
		}
	}
}

func TestParseURLNamesTheField(t *testing.T) {
	for url, want := range map[string]string{
		"239.1.2.3:5000":                              "scheme",
		"srt://239.1.2.3:5000":                        "scheme",
		"UDP://239.1.2.3:5000":                        "scheme",
		"udp://239.1.2.3":                             "port",
		"udp://[ff35::1]":                             "port",
		"udp://239.1.2.3:":                            "port",
		"udp://239.1.2.3:0":                           "port",
		"udp://239.1.2.3:65536":                       "port",
		"udp://239.1.2.3:-1":                          "port",
		"udp://239.1.2.3:+5":                          "port",
		"udp://239.1.2.3:5000x":                       "port",
		"udp://239.1.2.3:5000/x":                      "port",
		"udp://group.example:5000":                    "host",
		"udp://239.1.2:5000":                          "host",
		"udp://ff35::1:5000":                          "host",
		"udp://[239.1.2.3]:5000":                      "host",
		"udp://[::ffff:239.1.2.3]:5000":               "host",
		"udp://x@239.1.2.3:5000":                      "source",
		"udp://239.1.1.1@239.1.2.3:5000":              "source",
		"udp://0.0.0.0@239.1.2.3:5000":                "source",
		"udp://255.255.255.255@239.1.2.3:5000":        "source",
		"udp://2001:db8::1@[ff35::1]:5000":            "source",
		"udp://[2001:db8::1]@239.1.2.3:5000":          "source",
		"udp://[fe80::1%eth0]@[ff35::1]:5000":         "source",
		"udp://[ff02::1]:5000":                        "iface",
		"udp://[ff02::1%eth0]:5000?iface=eth1":        "iface",
		"udp://239.1.2.3:5000?iface=":                 "query",
		"udp://239.1.2.3:5000?iface=a/b":              "iface",
		"udp://239.1.2.3:5000?iface=sixteen-letters0": "iface",
		"udp://239.1.2.3:5000?iface=..":               "iface",
		"udp://239.1.2.3:5000?iface=a&iface=b":        "iface",
		"udp://239.1.2.3:5000?":                       "query",
		"udp://239.1.2.3:5000?ttl=3":                  "ttl",
		"udp://239.1.2.3:5000?rcvbuf=10":              "rcvbuf",
		"udp://239.1.2.3:5000?rcvbuf=+70000":          "rcvbuf",
		"udp://239.1.2.3:5000?rcvbuf=lots":            "rcvbuf",
		"udp://239.1.2.3:5000?fec=st2022-1":           "fec",
		"rtp://239.1.2.3:5000?fec=yes":                "fec",
		"rtp://239.1.2.3:65532?fec=st2022-1":          "port",
	} {
		_, err := ParseURL(url)
		if err == nil || !strings.Contains(strings.TrimPrefix(err.Error(), "address "), ": "+want+":") && !strings.Contains(err.Error(), `: query: "`+want+`"`) {
			t.Errorf("%s: %v, want one that names %s", url, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"udp://192.0.2.7@232.1.2.3:5000?iface=eth1", "rtp://[ff35::1]:5004?fec=st2022-1&rcvbuf=4194304&iface=en0",
		"udp://[ff02::1%eth0]:5000", "udp://@:1", "udp://:5000?", "rtp://[::1]@[::2]:9/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseURL(s)
		if err != nil {
			return
		}
		if err := a.Validate(); err != nil {
			t.Fatalf("%q accepted, then refused: %v", s, err)
		}
		b, err := ParseURL(a.String())
		if err != nil || a != b {
			t.Fatalf("%q: %+v written as %q, read as %+v, %v", s, a, a, b, err)
		}
	})
}
