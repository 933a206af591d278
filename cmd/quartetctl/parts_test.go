package main

import (
	"strings"
	"testing"

	"quartet/device/control"
)

// TestConfigCheckAsksTheParts: what planner and sockets would refuse at start is
// an error with its field and place.
func TestConfigCheckAsksTheParts(t *testing.T) {
	const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	box := func(output, path string) string {
		return `{"version":1,"name":"a","input":{"type":"udp","url":"udp://:5000"},
"output":{"key":"` + key + `"` + output + `},
"paths":[{"name":"a","url":"srt://10.0.0.1:9000","passphrase":"correct-horse-battery"` + path + `}]}`
	}
	gateway := func(input string) string {
		return `{"version":1,"name":"g","contributions":[{"name":"c","key":"` + key + `",
"inputs":[{"name":"i","mode":"caller","url":"srt://10.0.0.1:9000","passphrase":"correct-horse-battery"` + input + `}],
"outputs":[{"name":"o","type":"file","url":"file:///tmp/o.ts"}]}]}`
	}
	for doc, want := range map[string]string{
		box("", ""):                          "plan: ",
		box(`,"latency_ms":20`, ""):          "-: error: output.latency_ms (line 2:",
		box("", `,"latency_ms":499`):         "-: error: paths[0].latency_ms (line 3:",
		box("", `,"srt":{"maxbw_kbps":900}`): "-: error: paths[0].srt.maxbw_kbps (line 3:",
		box("", `,"max_bitrate_kbps":900`):   "-: warning: paths[0].max_bitrate_kbps (line 3:",
		gateway(""):                          "valid gateway document",
		gateway(`,"srt":{"fc_packets":500,"rcvbuf_bytes":700000}`): "-: error: contributions[0].inputs[0].srt.fc_packets (line 2:",
		gateway(`,"srt":{"inputbw_kbps":900}`):                     "-: error: contributions[0].inputs[0].srt.inputbw_kbps (line 2:",
	} {
		r := call(t, &env{in: strings.NewReader(doc)}, "config", "check", "-")
		if !strings.Contains(r.out, want) || (r.code == 0) == strings.Contains(want, "error") || r.err != "" {
			t.Errorf("%s: %d\n%s%s", want, r.code, r.out, r.err)
		}
	}
}

// TestClip: on a terminal nothing scrolls away.
func TestClip(t *testing.T) {
	text := strings.Repeat("line\n", 30)
	for rows, want := range map[int]string{
		0: text, 31: text, 100: text,
		30: strings.Repeat("line\n", 28) + "… 2 more lines; quartetctl status shows all\n",
		10: strings.Repeat("line\n", 8) + "… 22 more lines; quartetctl status shows all\n",
	} {
		sc := screen{rows: rows, width: 80}
		got := sc.clip(text)
		if got != want {
			t.Errorf("%d rows: %q", rows, got)
		}
		if n := strings.Count(got, "\n"); rows > 0 && n >= rows {
			t.Errorf("%d rows: %d lines", rows, n)
		}
	}
}

// TestClipNarrow: a line that the terminal wraps takes two of its rows, and a
// terminal that has changed is measured again.
func TestClipNarrow(t *testing.T) {
	columns, rows := 60, 14
	sc := screen{tty: true, color: true, width: 80, size: func() (int, int, error) { return columns, rows, nil }}
	row := sc.paint(red, strings.Repeat("x", 80)) + "\n"
	text := "top\n" + strings.Repeat(row, 10)
	want := "top\n" + strings.Repeat(row, 5) + sc.paint(dim, "… 5 more lines; quartetctl status shows all") + "\n"
	if got := sc.clip(text); got != want || sc.width != 60 {
		t.Errorf("width %d: %q", sc.width, got)
	}
	columns = 80 // exactly one row each
	if got := sc.clip(text); got != text || sc.width != 80 {
		t.Errorf("width %d: %q", sc.width, got)
	}
	columns, rows = 20, 6 // too narrow to write for: the lines wrap
	if got := sc.clip(text); got != "top\n"+sc.paint(dim, "… 10 more lines; qu…")+"\n" || sc.width != 80 {
		t.Errorf("width %d: %q", sc.width, got)
	}
}

// TestIdleInput: what has not come has no jitter and no errors.
func TestIdleInput(t *testing.T) {
	in := control.Input{URL: "udp://:5000", State: control.InputWaiting, Reason: "no such interface"}
	if got := inputLine(in, screen{width: 80}); got != "udp://:5000: waiting: no such interface" {
		t.Error(got)
	}
	in.Packets, in.State, in.Reason, in.Filling = 7, control.InputLost, "", true
	if got := inputLine(in, screen{width: 80}); !strings.HasPrefix(got, "udp://:5000: lost (null packets are sent), 0 bit/s, jitter") {
		t.Error(got)
	}
}

func TestEngineLine(t *testing.T) {
	e := control.Engine{Up: true, Encoder: "x264enc", OnAir: "engine", InputPresent: true, ClockPPM: 3.21, SoundPresent: true, PeakDB: []float64{-20, -20}, DelayMS: 21,
		Signal: &control.Signal{State: "locked", Format: "1080i50"}}
	if got := engineLine(&e, screen{width: 80}); got != "x264enc, on air engine, signal 1080i50 locked, clock +3.2 ppm, sound in step, delay "+ms(21) {
		t.Error(got)
	}
	e.ResamplePPM, e.Repeated = -99.96, 2
	if got := engineLine(&e, screen{width: 80}); !strings.Contains(got, "2 frames repeated, sound resampled by -100.0 ppm") {
		t.Error(got)
	}
	e.Signal, e.InputPresent, e.OnAir = &control.Signal{State: "no-signal"}, false, "slate"
	if got := engineLine(&e, screen{width: 80}); got != "x264enc, on air slate, signal no-signal" {
		t.Error(got)
	}
	e.Up, e.Reason = false, "x264enc is missing"
	if got := engineLine(&e, screen{width: 80}); got != "down: x264enc is missing" {
		t.Error(got)
	}
}
