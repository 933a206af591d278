package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// box is a valid box document with parts replaced: edits are old, new pairs.
func box(t *testing.T, edits ...string) []byte {
	t.Helper()
	return edit(t, `{
  "version": 1,
  "name": "studio-1",
  "input": {"type": "udp", "url": "udp://239.1.1.1:5000", "interface": "eth0"},
  "output": {"key": "`+testKey+`"},
  "paths": [
    {"name": "1a", "leg": 1, "url": "srt://gw1a.example.net:9000", "passphrase": "correct-horse-battery", "interface": "eth1"},
    {"name": "1b", "leg": 1, "url": "srt://gw1b.example.net:9000", "passphrase": "correct-horse-battery", "interface": "eth2"},
    {"name": "2a", "leg": 2, "profile": "ts", "url": "srt://203.0.113.7:5001", "passphrase": "correct-horse-battery", "interface": "eth1"},
    {"name": "2b", "leg": 2, "profile": "rtp", "url": "rtp://10.0.0.7:5002", "interface": "eth2"}
  ]
}`, edits)
}

// gateway is box for a gateway document.
func gateway(t *testing.T, edits ...string) []byte {
	t.Helper()
	return edit(t, `{
  "version": 1,
  "name": "gw1a",
  "listeners": [{"name": "srt", "address": ":9000"}, {"name": "peers", "address": "0.0.0.0:9001"}],
  "contributions": [{
    "name": "studio-1",
    "key": "`+testKey+`",
    "inputs": [
      {"name": "box", "listener": "srt", "stream_id": "a1", "passphrase": "correct-horse-battery"},
      {"name": "gw1b", "from": "peer", "listener": "peers", "stream_id": "b1", "passphrase": "correct-horse-battery"}
    ],
    "peers": [{"name": "gw1b", "url": "srt://gw1b.example.net:9001", "stream_id": "b2", "passphrase": "correct-horse-battery"}],
    "outputs": [{"name": "emx", "type": "rtp", "url": "rtp://10.0.0.9:5000", "second": {"url": "rtp://10.0.1.9:5000"}}]
  }]
}`, edits)
}

func validJSON(b []byte) bool { return json.Valid(b) }

func edit(t *testing.T, doc string, edits []string) []byte {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(doc, edits[i]) == 0 {
			t.Fatalf("the document has no %q", edits[i])
		}
		doc = strings.Replace(doc, edits[i], edits[i+1], 1)
	}
	return []byte(doc)
}

// golden compares the issues of a document, one a line, with want.
func golden(t *testing.T, doc []byte, want string) {
	t.Helper()
	var b strings.Builder
	_, warnings, err := Check(doc)
	if err != nil {
		b.WriteString(err.Error() + "\n")
	}
	for _, w := range warnings {
		b.WriteString("warning: " + w.String() + "\n")
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(b.String())); diff != "" {
		t.Errorf("issues (-want +got):\n%s", diff)
	}
}

func TestValid(t *testing.T) {
	golden(t, box(t), "")
	golden(t, gateway(t), "")
	b, _, err := ParseBox(box(t))
	if err != nil {
		t.Fatal(err)
	}
	p := b.Paths[0]
	if b.Output.LatencyMS != 500 || p.Profile != ProfileRTPFEC || p.Mode != ModeCaller || p.KeyLength != 32 ||
		p.SRT.LossMaxTTL != 40 || b.Control.Socket == "" || b.MergeGroupOf(0) != "leg-1" || b.MergeGroupOf(2) != "leg-2" {
		t.Errorf("defaults: %+v", b)
	}
	if got := b.Output.MaxBitrateKbps.BytesPerSecond() * 8; got != b.Output.MaxBitrateKbps.BitsPerSecond() {
		t.Errorf("units: %d", got)
	}
}

// TestSyntax: what is not JSON stops at its place, with what to do.
func TestSyntax(t *testing.T) {
	for doc, want := range map[string]string{
		``:                                     "line 1:1: the document is empty; start from `quartetctl config example`",
		"\xef\xbb\xbf{}":                       "line 1:1: the document starts with a byte order mark; save it as UTF-8 without one",
		`[]`:                                   "line 1:1: the document is a list, not an object; start from `quartetctl config example`",
		"{\n} x":                               `line 2:3: text after the end of the document: 'x'; remove it; a file holds one document`,
		`{} {}`:                                `line 1:4: text after the end of the document: '{'; remove it; a file holds one document`,
		`{"a": 1,}`:                            `line 1:9: '}' where a field name is expected; remove the comma before it`,
		`{"a": [1,]}`:                          `line 1:10: ']' where a value is expected; remove the comma before it, or write the value`,
		`{"a" 1}`:                              `line 1:6: '1' after a field name; write a colon: "name": value`,
		`{a: 1}`:                               `line 1:2: 'a' where a field name is expected; write a field name in double quotation marks: "name": value`,
		`{"a": 'b'}`:                           `line 1:7: a single quotation mark; JSON strings stand in double ones: "…"`,
		"{\n  // x\n}":                         `line 2:3: a comment; remove it: JSON has no comments`,
		`{"a": 01}`:                            `line 1:7: a number that starts with 0; write it in decimal, without leading zeros`,
		`{"a": 1.}`:                            `line 1:9: '}' within a number; write digits`,
		`{"a": True}`:                          `line 1:7: 'T' where a value is expected; write a string in "…", a number, true, false, {…} or […]`,
		`{"a": truest}`:                        `line 1:7: 't' where a value is expected; write a string in "…", a number, true, false, {…} or […]`,
		"{\"a\": \"b\n\"}":                     `line 1:9: control character 0x0a within a string; close the string on its line, or write the character as \u00XX`,
		`{"a": "b`:                             `line 1:7: a string that does not end; write the closing quotation mark`,
		`{"a": "\x"}`:                          `line 1:8: an escape that JSON does not have; write \\ for a backslash`,
		`{"a": "\u12"}`:                        `line 1:8: \u without four hex digits; write \uXXXX`,
		`{"a": "\ud800"}`:                      `line 1:8: half of a surrogate pair; write both halves, \uD8xx\uDCxx, or the character itself`,
		"{\"a\": \"\xff\"}":                    `line 1:8: byte 0xff, which is not UTF-8; save the document as UTF-8`,
		`{"a": {"b": 1`:                        `line 1:14: the document ends too early; write the missing '}'; the file may be cut off`,
		`{"ä": 1 "b": 2}`:                      `line 1:9: '"' after a value; write a comma, or '}'`,
		strings.Repeat(`{"a":`, 40):            "line 1:86: more than 16 objects and lists within each other; no document needs that; check the brackets",
		`{"a":"` + string(make([]byte, 1<<20)): "line 1:1: the document has 1048582 bytes; keep it under 1048576 bytes",
	} {
		_, _, err := Check([]byte(doc))
		if err == nil || err.Error() != want {
			t.Errorf("%.40q\n got: %v\nwant: %s", doc, err, want)
		}
	}
}

func TestDetect(t *testing.T) {
	for doc, want := range map[string]Kind{`{"version":1,"paths":[]}`: KindBox, `{"listeners":[],"name":1}`: KindGateway} {
		if k, err := Detect([]byte(doc)); k != want || err != nil {
			t.Errorf("%s: %q, %v", doc, k, err)
		}
	}
	golden(t, []byte(`{"version": 1}`), "the document is neither a box's nor a gateway's; a box has input, output and paths, a gateway has listeners and contributions; see `quartetctl config example`")
}

// TestShape: everything that is wrong with the form is reported at once, by
// path and place.
func TestShape(t *testing.T) {
	golden(t, box(t,
		`"version": 1`, `"version": 2`,
		`"name": "studio-1"`, `"Name": "studio 1"`,
		`"type": "udp"`, `"type": "upd"`,
		`"interface": "eth0"`, `"interface": null, "jitter_ms": 1.5, "jitter_ms": 2`,
		`"key": "`+testKey+`"`, `"key": 17, "next_key": "abc", "previous_key": "abcd", "latency": 5, "loss_percent": 80`,
		`"leg": 1`, `"leg": "1"`,
		`gw1a.example.net:9000`, `gw1a.example.net?passphrase=canary-secret`,
		`"passphrase": "correct-horse-battery"`, `"passphrase": "short"`,
		`"interface": "eth2"`, `"interface": ""`,
		`"leg": 2, "profile": "ts"`, `"leg": 9, "srt": {"fc": 1, "retransmit_algo": 2, "packet_filter": true}`,
		`"name": "2b"`, `"key_length": 17, "stagger_ms": 99999999999999999999, "passphrase": "canary-secret\u0000"`,
	), `
version (line 2:14): 2 is not allowed; write 1
Name (line 3:9): is written in the wrong case; write "name"
input.type (line 4:21): "upd" is not allowed; write udp, rtp, srt, file, sdi or test (did you mean "udp"?)
input.interface (line 4:72): null is not a value; leave the field out, or write the name of a network interface, such as eth0
input.jitter_ms (line 4:91): 1.5 is not a whole number; write a whole number from 1 to 1000
input.jitter_ms (line 4:107): is a duplicate field; keep this one or the one at line 4:89
output.key (line 5:21): *** is a number, not a string; write 32 to 64 random bytes in hex, such as `+"`openssl rand -hex 32`"+` prints
output.next_key (line 5:37): *** is not an even number of hex digits; write 32 to 64 random bytes in hex, such as `+"`openssl rand -hex 32`"+` prints
output.previous_key (line 5:60): *** has 2 bytes; write 32 to 64 random bytes in hex, such as `+"`openssl rand -hex 32`"+` prints
output.latency (line 5:77): is an unknown field; did you mean "latency_ms"?
output.loss_percent (line 5:98): 80 is out of range; write a number from 0 to 50
paths[0].leg (line 7:27): "1" is a string, not a number; write a whole number from 1 to 8
paths[0].url (line 7:39): "srt://gw1a.example.net?***" has no port; write scheme://host:port with scheme udp, rtp or srt, or file:///path, sdi:///dev/videoN, test://bars
paths[0].passphrase (line 7:104): *** has 5 bytes; write 10 to 79 bytes
paths[1].interface (line 8:120): "" is empty; leave the field out, or write the name of a network interface, such as eth0
paths[2].leg (line 9:27): 9 is out of range; write a whole number from 1 to 8
paths[2].srt.fc (line 9:42): is an unknown field; did you mean "fc_packets"?
paths[2].srt.retransmit_algo (line 9:66): 2 is not allowed; write 0 or 1
paths[2].srt.packet_filter (line 9:86): true is true or false, not a string; write libsrt's own filter, such as fec,cols:10,rows:5
paths[3].key_length (line 10:20): 17 is not allowed; write 16, 24 or 32
paths[3].stagger_ms (line 10:38): 99999999999999999999 is out of range; write a whole number from 0 to 1000
paths[3].passphrase (line 10:74): *** contains a zero byte; write 10 to 79 bytes
paths[3].name (line 10:5): is missing; add it: 1 to 32 letters, digits, dots, dashes or underscores, the first a letter or digit`)
}

// TestIssueBound: a hostile document gets a bounded answer.
func TestIssueBound(t *testing.T) {
	doc := []byte(`{"paths": [` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`)
	_, _, err := Check(doc)
	if is, ok := err.(Issues); !ok || len(is) != maxIssues {
		t.Errorf("%d issues", len(is))
	}
}

// TestPastedLine: one line carries everything, and the parsed document keeps
// no secret in its URL.
func TestPastedLine(t *testing.T) {
	line := "srt://gw.example.net:9000?streamid=%23!::r%3Da&passphrase=p%26ss+phrase-0123&pbkeylen=24&latency=120&key=" + testKey
	b, warnings, err := ParseBox([]byte(fmt.Sprintf(`{"version":1,"name":"a","input":{"type":"udp","url":"udp://:5000"},"output":{},
 "paths":[{"name":"a","url":%q}]}`, line)))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	p := b.Paths[0]
	if p.StreamID != "#!::r=a" || p.Passphrase != "p&ss+phrase-0123" || p.KeyLength != 24 || p.LatencyMS != 120 ||
		b.Output.Key != testKey || p.Mode != ModeCaller || p.URL != "srt://gw.example.net:9000" {
		t.Errorf("%+v", p)
	}
	u, err := ParseURL(line)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseURL(u.String()); err != nil || !reflect.DeepEqual(u, again) {
		t.Errorf("%v, %v", again, err)
	}

	// The same said twice is fine, something else said twice is not.
	golden(t, box(t, "gw1a.example.net:9000", "gw1a.example.net:9000?passphrase=correct-horse-battery&key="+testKey), "")
	golden(t, box(t, "gw1a.example.net:9000", "gw1a.example.net:9000?passphrase=other-horse-battery&key="+strings.Replace(testKey, "0", "1", 1)), `
paths[0].passphrase (line 7:182): and the parameter passphrase of the url differ; keep one of them
paths[0].url (line 7:37): has a key that differs from output.key or from the one before; all paths carry one contribution: paste lines of the same one`)
}

func TestParseURL(t *testing.T) {
	for s, want := range map[string]string{
		"srt://h:9000":                     "",
		"srt://[2001:db8::1]:9000":         "",
		"srt://[fe80::1%eth0]:9000":        "",
		"srt://:9000?mode=listener":        "",
		"udp://239.0.0.1:1":                "",
		"rtp://h.example.:65535/":          "",
		"file:///a/b?c#d":                  "",
		"h:9000":                           "has no scheme, such as srt://",
		"SRT://h:9000":                     `has the unknown scheme "SRT"`,
		"srt://h":                          "has no port",
		"srt://h:0":                        "has port 0",
		"srt://h:x":                        "has a port that is not 1 to 65535",
		"srt://h:65536":                    "has a port that is not 1 to 65535",
		"srt://2001:db8::1:9000":           "has an IPv6 address without brackets, which are needed: [2001:db8::7]:9000",
		"srt://u:p@h:9000":                 "has more than host:port before its parameters",
		"srt://h:9000/x":                   "has more than host:port before its parameters",
		"srt://-h:9000":                    "does not name a host",
		"srt://h..i:9000":                  "does not name a host",
		"srt://h:9000#x":                   "contains #, which must be written %23",
		"srt://h:9000?a=b":                 `has the unknown parameter "a" (known: streamid, passphrase, pbkeylen, latency, mode, key)`,
		"srt://h:9000?mode=x":              "has a mode that is not caller or listener",
		"srt://h:9000?latency=1s":          "has a latency that is not 0 to 15000 milliseconds",
		"srt://h:9000?latency=1&latency=2": "has the parameter latency twice",
		"srt://h:9000?passphrase=%zz":      "has a parameter passphrase with a bad %XX",
		"srt://h:9000?passphrase=short":    "has a passphrase that has 5 bytes (10 to 79 are allowed)",
		"srt://h:9000?key=00":              "has a key that has 1 bytes (32 to 64 bytes in hex are allowed)",
		"srt://h:9000?pbkeylen=8":          "has a pbkeylen that is not 16, 24 or 32",
		"udp://h:9000?ttl=1":               "has parameters, which udp:// does not take",
		"file://a":                         "does not hold an absolute path",
	} {
		_, err := ParseURL(s)
		if got := fmt.Sprint(err); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}

// TestSecrets: no ordinary way of printing a document shows a secret, and the
// stored form does.
func TestSecrets(t *testing.T) {
	const canary = "canary-0123456789"
	b, _, err := ParseBox(box(t, "correct-horse-battery", canary, "gw1b.example.net:9000", "gw1b.example.net:9000?passphrase=correct-horse-battery"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "box", b, "secret", b.Paths[0].Passphrase)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "box", *b, "secret", b.Paths[0].Passphrase)
	std, _ := json.Marshal(b)
	for name, s := range map[string]string{
		"%v": fmt.Sprintf("%v", *b), "%+v": fmt.Sprintf("%+v", *b), "%#v": fmt.Sprintf("%#v", *b), "%q": fmt.Sprintf("%q", b.Paths[0].Passphrase),
		"slog": log.String(), "encoding/json": string(std), "Redact": string(Redact(b)),
	} {
		if strings.Contains(s, canary) || strings.Contains(s, testKey) || strings.Contains(s, "correct-horse") {
			t.Errorf("%s shows a secret: %s", name, s)
		}
	}
	if s := string(Encode(b)); !strings.Contains(s, canary) || !strings.Contains(s, testKey) {
		t.Error("Encode hides a secret, so that the document could not be read again")
	}
	if strings.Count(string(Redact(b)), redacted) != 4 {
		t.Errorf("Redact: %s", Redact(b))
	}
	if got := RedactURL("srt://u:p@h:1?passphrase=x"); got != "srt://***@h:1?***" {
		t.Error(got)
	}
}

// TestRoundTrip: Encode leaves out defaults and loses nothing.
func TestRoundTrip(t *testing.T) {
	b, _, err := ParseBox(box(t, `"output": {`, `"output": {"fec": {"rows": 0}, "loss_percent": 0.25, `,
		`"leg": 1,`, `"leg": 1, "stagger_ms": 0, "merge_group": "all", "srt": {"retransmit_algo": 0, "snd_drop_delay_ms": -1},`))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := ParseBox(Encode(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, again, cmp.Comparer(func(a, b Secret) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if !json.Valid(Encode(b)) || bytes.Contains(Encode(b), []byte("lossmaxttl")) {
		t.Errorf("%s", Encode(b))
	}
	g, _, err := ParseGateway(gateway(t, `"name": "gw1a",`, `"name": "gw1a", "http": {"listen": ""},`))
	if err != nil || g.HTTP.Listen != "" {
		t.Fatal(err, g)
	}
	g2, _, err := ParseGateway(Encode(g))
	if err != nil || !reflect.DeepEqual(g, g2) {
		t.Error(err, cmp.Diff(g, g2))
	}
	if w, err := g.Validate(); err != nil || len(w) > 0 {
		t.Error(w, err)
	}
	b.Paths[0].Name = b.Paths[1].Name
	if _, err := b.Validate(); err == nil {
		t.Error("Validate accepts two paths of one name")
	}
}

func TestExamples(t *testing.T) {
	src := rand.NewChaCha8([32]byte{1})
	b, g, err := Examples(src)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range [][]byte{Encode(b), Encode(g), EncodeExample(b), EncodeExample(g)} {
		golden(t, doc, "")
	}
	line, err := g.PathLine(&g.Contributions[0], &g.Contributions[0].Inputs[0], "gw1a.example.net")
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseURL(line)
	if err != nil || u.Params["passphrase"] != b.Paths[0].Passphrase.Reveal() || u.Params["streamid"] != b.Paths[0].StreamID ||
		u.Params["key"] != b.Output.Key.Reveal() || u.Address() != "gw1a.example.net:9000" {
		t.Errorf("%s does not fit the box's first path: %v", RedactURL(line), err)
	}
	if _, err := g.PathLine(&g.Contributions[0], &g.Contributions[0].Inputs[1], "h"); err == nil {
		t.Error("PathLine of a peer's input")
	}
}

// TestSchema: the schema is JSON and says of every field what it takes.
func TestSchema(t *testing.T) {
	for _, k := range []Kind{KindBox, KindGateway} {
		var s struct {
			Defs map[string]struct {
				AdditionalProperties *bool
				Properties           map[string]map[string]any
				Required             []string
			} `json:"$defs"`
		}
		if err := json.Unmarshal(Schema(k), &s); err != nil {
			t.Fatal(err)
		}
		for name, def := range s.Defs {
			if def.AdditionalProperties == nil || *def.AdditionalProperties {
				t.Errorf("%s allows unknown fields", name)
			}
			for f, p := range def.Properties {
				if p["description"] == "" || p["type"] == nil && p["$ref"] == nil {
					t.Errorf("%s.%s: %v", name, f, p)
				}
			}
		}
		if k == KindBox && (fmt.Sprint(s.Defs["Path"].Properties["profile"]["enum"]) != "[ts rtp-fec rtp]" ||
			fmt.Sprint(s.Defs["Box"].Required) != "[version name input output paths]") {
			t.Errorf("%v", s.Defs["Path"])
		}
	}
	list := Fields(KindBox)
	if len(list) < 80 || list[0].Path != "version" {
		t.Errorf("%d fields", len(list))
	}
}
