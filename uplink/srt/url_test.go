package srt

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestURL(t *testing.T) {
	for line, want := range map[string]URL{
		"srt://gw1.example.net:9000":    {Addr: "gw1.example.net:9000"},
		"srt://:9000":                   {Mode: Listening, Addr: ":9000"},
		"srt://0.0.0.0:0?mode=listener": {Mode: Listening, Addr: "0.0.0.0:0"},
		"srt://[2001:db8::7]:9000?mode=caller&latency=400&passphrase=correct+horse%26battery&pbkeylen=32&streamid=%23!%3A%3Ar%3Dsports%2Cm%3Dpublish": {
			Addr:    "[2001:db8::7]:9000",
			Options: Options{Latency: 400 * time.Millisecond, Passphrase: "correct horse&battery", KeyLength: 32, StreamID: "#!::r=sports,m=publish"},
		},
		"srt://h:1?maxbw=-1&lossmaxttl=0&iptos=0&snddropdelay=-1&retransmitalgo=1&oheadbw=40&conntimeo=1000&peeridletimeo=3000&adapter=192.0.2.7&bindtodevice=eth1&packetfilter=fec%2Ccols%3A10": {
			Addr: "h:1",
			Options: Options{MaxBW: -1, LossMaxTTL: -1, IPTOS: -1, SndDropDelay: -1, RetransmitAlgo: 1, OverheadBW: 40, ConnectTimeout: time.Second,
				PeerIdleTimeout: 3 * time.Second, LocalAddr: "192.0.2.7", Interface: "eth1", PacketFilter: "fec,cols:10"},
		},
		"srt://h:1?tlpktdrop=1&transtype=live&enforcedencryption=1": {Addr: "h:1"},
	} {
		got, err := ParseURL(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", line, got, err, want)
			continue
		}
		again, err := ParseURL(got.Reveal())
		if err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%s, written again as %s: %+v, %v", line, got.Reveal(), again, err)
		}
		if want.Options.Passphrase != "" && (strings.Contains(got.String(), "horse") || !strings.Contains(got.Reveal(), "horse")) {
			t.Errorf("secrets: %s, %s", got, got.Reveal())
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "srt://",
		"udp://h:1":                        "srt://",
		"srt://h":                          "address",
		"srt://h:0":                        "port",
		"srt://h:65536":                    "port",
		"srt://h:09":                       "port",
		"srt://h:1/path":                   "url",
		"srt://user@h:1":                   "url",
		"srt://h:1#x":                      "url",
		"srt://h h:1":                      "address",
		"srt://:1?mode=caller":             "host",
		"srt://name:1?mode=listener":       "listener needs an IP",
		"srt://h:1?mode=rendezvous":        "caller or listener",
		"srt://h:1?latancy=5":              `"latancy"`,
		"srt://h:1?latency=":               "latency",
		"srt://h:1?latency=1.5":            "latency",
		"srt://h:1?latency=0":              "latency",
		"srt://h:1?latency=70000":          "latency",
		"srt://h:1?latency=99999999999999": "latency",
		"srt://h:1?latency=5&latency=5":    "twice",
		"srt://h:1?passphrase=short":       "passphrase",
		"srt://h:1?pbkeylen=128":           "pbkeylen",
		"srt://h:1?pbkeylen=+16":           "pbkeylen",
		"srt://h:1?tlpktdrop=0":            "tlpktdrop",
		"srt://h:1?fc=99999999999":         "fc",
		"srt://h:1?iptos=-1":               "iptos",
		"srt://h:1?streamid=%zz":           "streamid",
		"srt://h:1?%zz=1":                  "URL encoding",
		"srt://h:1?&latency=5":             `""`,
		"srt://h:1?packetfilter=" + strings.Repeat("x", 65): "packetfilter",
	} {
		u, err := ParseURL(line)
		var oe *OptionError
		if !errors.As(err, &oe) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", line, u, err, want)
		}
	}
}

func TestURLErrorsKeepSecrets(t *testing.T) {
	for _, line := range []string{
		"srt:/h:1?passphrase=SECRETsecret", "srt://h:1?passphrse=SECRETsecret", "srt://h:1?passphrase=SECRET",
		"srt://h:1?passphrase=SECRETsecret&passphrase=SECRETsecret", "srt://h:1?passphrase=SECRETsecret%zz",
		"srt://h:1?passphrase=SECRETsecret&latency=x", "srt://h:1?passphrase=" + strings.Repeat("SECRET", 20),
	} {
		if _, err := ParseURL(line); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"srt://h:1", "srt://:9000?mode=listener", "srt://[::1%25lo]:9?latency=5", "srt://h:1?passphrase=0123456789&pbkeylen=32&streamid=a%26b",
		"srt://h:1?maxbw=-1&lossmaxttl=0&iptos=0", "srt://h:1?mode=listener&mode=caller", "srt://h:1?a=b&&=", "srt://1.2.3.4:5?adapter=[::1]:7",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			if len(err.Error()) > 4000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if err := u.Options.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := ParseURL(u.Reveal())
		if err != nil || !reflect.DeepEqual(again, u) {
			t.Fatalf("%q became %q, read as %+v, %v; was %+v", s, u.Reveal(), again, err, u)
		}
		if p := u.Options.Passphrase; p != "" && len(p) > 20 && strings.Contains(u.String(), p) {
			t.Fatal("String tells the passphrase")
		}
	})
}
