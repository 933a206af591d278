package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"quartet/cmd/internal/secrets"
	"quartet/device/config"
	"quartet/device/seal"
	"quartet/uplink/srt"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("QUARTETD_TEST_MAIN") == "1" {
		main()
		return
	}
	srt.Startup()
	goleak.VerifyTestMain(m)
}

func invoke(args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = command(args, &o, &e)
	return code, o.String(), e.String()
}

// write stores a document in a file of its own.
func write(t testing.TB, doc *config.Box) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "box.json")
	writeTo(t, f, config.Encode(doc))
	return f
}

func writeTo(t testing.TB, file string, doc []byte) {
	t.Helper()
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string // in stdout
		err  string // in stderr
	}{
		{nil, 2, "", "Usage:"},
		{[]string{"--help"}, 0, "Usage:", ""},
		{[]string{"run", "--help"}, 0, "Usage:", ""},
		{[]string{"version"}, 0, "quartetd ", ""},
		{[]string{"dance"}, 2, "", `unknown command "dance"`},
		{[]string{"run"}, 2, "", "--config is missing"},
		{[]string{"run", "--config", "x"}, 2, "", "--data is missing"},
		{[]string{"run", "--config", "x", "y"}, 2, "", `unexpected argument "y"`},
		{[]string{"check", "--confog", "x"}, 2, "", "confog"},
		{[]string{"check", "--config", "/nowhere/x.json"}, 2, "", "/nowhere/x.json: no such file"},
		{[]string{"run", "--config", "/nowhere/x.json", "--data", "/tmp"}, 2, "", "/nowhere/x.json: no such file"},
	} {
		code, out, err := invoke(c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(err, c.err) {
			t.Errorf("%q: %d\n%s\n%s", c.args, code, out, err)
		}
	}
}

func TestCheckOfAGoodDocument(t *testing.T) {
	code, out, err := invoke("check", "--config", write(t, document()))
	if code != 0 || !strings.HasPrefix(out, "ok: K ") || !strings.Contains(out, "rows on each of 3 streams") {
		t.Errorf("%d\n%s%s", code, out, err)
	}
}

// Sealed secrets are opened with the key that --key names, and without it the
// field is named, and the file that is missing.
func TestSealedDocument(t *testing.T) {
	key := filepath.Join(t.TempDir(), "seal.key")
	s, err := seal.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := secrets.Document(s, document(), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "box.json")
	writeTo(t, file, doc)
	if code, out, errs := invoke("check", "--config", file, "--key", key); code != 0 || !strings.HasPrefix(out, "ok: K ") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	none := key + ".none"
	code, _, errs := invoke("check", "--config", file, "--key", none)
	if code != exitUsage || strings.Count(errs, "is sealed, and its key is not there: "+none) != 5 || !strings.Contains(errs, file+": output.key (line ") {
		t.Errorf("%d\n%s", code, errs)
	}
	l, _, err := load(file, key)
	if err != nil || l.doc.Output.Key != testKey || l.doc.Paths[0].Passphrase != document().Paths[0].Passphrase {
		t.Errorf("opened: %v", err)
	}
}

// A document that cannot be run is refused with field, place, value and remedy,
// one line for each thing that is wrong.
func TestCheck(t *testing.T) {
	text := func(edits ...string) []byte {
		doc := string(config.Encode(document()))
		for i := 0; i < len(edits); i += 2 {
			if !strings.Contains(doc, edits[i]) {
				t.Fatalf("no %q in\n%s", edits[i], doc)
			}
			doc = strings.Replace(doc, edits[i], edits[i+1], 1)
		}
		return []byte(doc)
	}
	changed := func(change func(*config.Box)) []byte {
		d := document()
		change(d)
		return config.Encode(d)
	}
	output := `"output": {`
	for _, c := range []struct {
		name string
		doc  []byte
		want []string
	}{
		{"empty", nil, []string{"line 1:1: the document is empty; start from `quartetctl config example`"}},
		{"binary", []byte{0, 1, 2, 0xff}, []string{"line 1:1"}},
		{"another program's", []byte(`{"paths": {}}`), []string{"paths (line 1:11): is an object, not a list"}},
		{"deep", []byte(strings.Repeat(`{"input":`, 10_000)), []string{"more than 16 objects and lists within each other"}},
		{"huge", []byte(`{"name": "` + strings.Repeat("x", 2<<20)), []string{"keep it under 1048576 bytes"}},
		{"cut off", []byte(`{"version": 1`), []string{"the document ends too early"}},
		{"trailing", append(text(), '}'), []string{"text after the end of the document"}},
		{"version", text(`"version": 1`, `"version": 2`), []string{"version (line 2:14): 2 is not allowed; write 1"}},
		{"unknown field", text(output, output+`"latency": 5, `), []string{"output.latency (line ", `is an unknown field; did you mean "latency_ms"?`}},
		{"case", text(`"input"`, `"Input"`), []string{`is written in the wrong case; write "input"`}},
		{"twice", text(output, output+`"rtt_ms": 1, "rtt_ms": 2, `), []string{"output.rtt_ms", "is a duplicate field"}},
		{"null", text(output, output+`"rtt_ms": null, `), []string{"output.rtt_ms", "null is not a value"}},
		{"too many", text(output, output+`"rtt_ms": 1e9999, `), []string{"output.rtt_ms", "is not a whole number"}},
		{"program", text(`"input": {`, `"input": {"program": 1, `), []string{"input.program", "is an unknown field"}},
		{"pcr_pid", changed(func(d *config.Box) { d.Input.PCRPID = 8191 }), []string{"input.pcr_pid", "8191 is out of range; write a whole number from 0 to 8190"}},
		{"several", text(`"name": "fec-a"`, `"name": "fec a"`, output, output+`"rtt_ms": -1, `), []string{"output.rtt_ms", "-1 is out of range", "paths[0].name", `"fec a" is not a name`}},

		{"planner: latency", text(output, output+`"latency_ms": 60, `), []string{"output.latency_ms (line ", "60 ms does not fit: ", "leave 7 ms for SRT, which needs at least 20 ms; set it to 89 ms or more"}},
		{"planner: parity", text(output, output+`"latency_ms": 80, `), []string{"output.latency_ms (line ", "parity needs blocks of at least 8 ms", "overhead_percent to 0"}},
		{"planner: block", text(output, output+`"fec": {"max_block_ms": 5}, `), []string{"output.fec.max_block_ms (line ", "5 ms is shorter than a burst; set it to 8 ms or more"}},
		{"planner: long block", text(output, output+`"fec": {"k": 100, "max_block_ms": 900}, "max_bitrate_kbps": 1000, `), []string{"output.fec.max_block_ms (line ", "parity would take ", "set it to "}},
		{"planner: symbols", changed(func(d *config.Box) { d.Output.FEC.K, d.Output.OverheadPercent = 200, 50 }), []string{"output.fec", "k 200, rows 100", "the code has 255 symbols; lower overhead_percent to 9 or k to 102"}},
		{"path latency", changed(func(d *config.Box) { d.Paths[1].LatencyMS = 450 }), []string{"paths[1].latency_ms (line ", "450 is more than the ", "lower it, or raise output.latency_ms to "}},
		{"flight window", changed(func(d *config.Box) { d.Paths[0].SRT.FC, d.Paths[0].SRT.RcvBuf = 100, 147_200 }), []string{"paths[0].srt.fc_packets (line ", "100 is too small for 22", "needs at least "}},
		{"send buffer", changed(func(d *config.Box) { d.Paths[3].SRT.SndBuf = 100_000 }), []string{"paths[3].srt.sndbuf_bytes (line ", "100000 is too small for 20 Mbit/s for 500ms latency", "needs at least "}},
		{"kernel buffer", changed(func(d *config.Box) { d.Paths[0].SRT.UDPRcvBuf = 70_000 }), []string{"paths[0].srt.udp_rcvbuf_bytes (line ", "70000 is too small"}},
		{"ceiling", changed(func(d *config.Box) { d.Paths[0].SRT.MaxBWKbps = 20_000 }), []string{"paths[0].srt.maxbw_kbps (line ", "20000 is less than the 22971 that the stream needs; write 22971"}},
		{"input rate", changed(func(d *config.Box) { d.Paths[3].SRT.InputBWKbps = 19_999 }), []string{"paths[3].srt.inputbw_kbps (line ", "19999 is less than the 20000 that the stream needs; write 20000 or more, or leave it out"}},
		{"more than memory holds", changed(func(d *config.Box) { d.Output.MaxBitrateKbps, d.Output.LatencyMS = 200_000, 15_000 }), []string{"output.latency_ms (line ", " would need ", "packets of buffer at 223.9 Mbit/s", "and there are 262144 at most; use at most "}},
		{"small packets", changed(func(d *config.Box) { d.Paths[3].SRT.MSS = 1280 }), []string{"paths[3].srt.mss_bytes (line ", "lower ts_packets_per_message to 6"}},
	} {
		f := filepath.Join(t.TempDir(), "box.json")
		writeTo(t, f, c.doc)
		code, out, err := invoke("check", "--config", f)
		if code != exitUsage || out != "" {
			t.Errorf("%s: exit status %d, stdout %q", c.name, code, out)
			continue
		}
		for _, w := range append(c.want, f) {
			if !strings.Contains(err, w) {
				t.Errorf("%s: no %q in\n%s", c.name, w, err)
			}
		}
		for line := range strings.Lines(err) {
			if !strings.Contains(line, "; ") || len(line) > 600 {
				t.Errorf("%s: no remedy: %s", c.name, line)
			}
		}
		if strings.Contains(err, testKey) || strings.Contains(err, "correct-horse") {
			t.Errorf("%s: shows a secret:\n%s", c.name, err)
		}
		if code, _, again := invoke("run", "--config", f, "--data", t.TempDir()); code != exitUsage || again != err {
			t.Errorf("%s: run says something else than check: %d\n%s", c.name, code, again)
		}
	}
}

// Warnings are printed, with their place, and prevent nothing.
func TestCheckWarns(t *testing.T) {
	d := document()
	d.Paths[0].MaxBitrateKbps = 21_000
	f := write(t, d)
	code, out, err := invoke("check", "--config", f)
	if code != 0 || !strings.HasPrefix(out, "ok: ") || !strings.Contains(err, f+": warning: paths[0].max_bitrate_kbps (line ") || !strings.Contains(err, "21000 is less than the 22971") {
		t.Errorf("%d\n%s%s", code, out, err)
	}
}

// What a message needs fits the packet that the path is set to.
func TestPayloadFitsSmallPackets(t *testing.T) {
	d := document()
	d.Output.TSPacketsPerMessage = 5
	for i := range 4 {
		d.Paths[i].SRT.MSS = 1100
	}
	set, _, err := build(d)
	if err != nil {
		t.Fatal(err)
	}
	if o := set.paths[3].srt; o.PayloadSize != 1056 {
		t.Errorf("payload size %d", o.PayloadSize)
	}
	for i := range 4 {
		if err := set.paths[i].srt.Validate(); err != nil {
			t.Errorf("path %d: %v", i, err)
		}
	}
}

// Loss is advice to the planner: its notes change.
func TestLossPercentAdvises(t *testing.T) {
	notes := func(loss float64) string {
		d := document()
		d.Output.LatencyMS, d.Output.RTTMS, d.Output.LossPercent, d.Output.OverheadPercent = 150, 80, loss, 5
		set, _, err := build(d)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(set.plan.Notes, "\n")
	}
	if few, many := notes(0.5), notes(20); few == many || !strings.Contains(many, "20.0 %") {
		t.Errorf("%q, %q", few, many)
	}
}

// Paths of one merge group complement each other; a group of one needs no skew.
func TestMergeGroup(t *testing.T) {
	d := document()
	for i, g := range []string{"x", "y", "x"} {
		d.Paths[i].MergeGroup = g
	}
	set, _, err := build(d)
	if err != nil {
		t.Fatal(err)
	}
	if p := set.paths; p[0].Stagger != 0 || p[1].Stagger != 0 || p[2].Stagger != 15e6 {
		t.Errorf("staggers %v %v %v", p[0].Stagger, p[1].Stagger, p[2].Stagger)
	}
	for i := range 3 {
		d.Paths[i].MergeGroup = d.Paths[i].Name
	}
	alone, _, err := build(d)
	if err != nil {
		t.Fatal(err)
	}
	with, without := set.plan.SRTLatency+set.plan.FECBound+set.plan.Reserve, alone.plan.SRTLatency+alone.plan.FECBound+alone.plan.Reserve
	if without-with != 45e6 { // skew 10, hop 20, stagger 15
		t.Errorf("%v for SRT and parity alone, %v with another", without, with)
	}
}

func TestSocketPath(t *testing.T) {
	d, data := document(), t.TempDir()
	if got := socketPath(d, data); got != "/tmp/box.sock" {
		t.Error(got)
	}
	d.Control.Socket = config.Default[config.Box]().Control.Socket
	want := filepath.Join(data, "control.sock")
	if writable(filepath.Dir(d.Control.Socket)) == nil {
		want = d.Control.Socket
	}
	if got := socketPath(d, data); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
