package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/tests/fields"
	"quartet/uplink"
)

const testKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// document is a box with one path of each kind that works on any machine.
func document() *config.Box {
	d := config.Default[config.Box]()
	d.Version, d.Name = config.SchemaVersion, "box"
	d.Input.Type, d.Input.URL = config.TypeUDP, "udp://127.0.0.1:5000"
	d.Output.Key = testKey
	d.Confidence.Enabled = false // its process would decode in every test
	d.Control.Socket = "/tmp/box.sock"
	for _, p := range []struct {
		name, profile, url string
	}{
		{"fec-a", config.ProfileRTPFEC, "srt://192.0.2.1:9000"}, {"fec-b", config.ProfileRTPFEC, "srt://192.0.2.2:9000"},
		{"listens", config.ProfileRTPFEC, "srt://:9001"},
		{"ts", config.ProfileTS, "srt://192.0.2.3:9000"}, {"rtp", config.ProfileRTP, "rtp://192.0.2.4:5000"},
	} {
		path := config.Default[config.Path]()
		path.Name, path.Profile, path.URL = p.name, p.profile, p.url
		if p.profile != config.ProfileRTP {
			path.Passphrase = "correct-horse-battery"
		}
		d.Paths = append(d.Paths, path)
	}
	return &d
}

// No setting is accepted and ignored: whatever the document's rules let pass
// changes what build makes.
func TestEveryFieldHasAnEffect(t *testing.T) {
	made := func(doc []byte) (any, any, config.Issues, error) {
		d, warnings, err := config.ParseBox(doc)
		if err != nil {
			return nil, nil, nil, err
		}
		p, more, err := build(d)
		if err == nil {
			starts(t, p, doc)
		}
		return d, p, append(warnings, more...), err
	}
	var r fields.Result
	for name, change := range map[string]func(*config.Box){
		"udp":  func(*config.Box) {},
		"rtp":  func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeRTP, "rtp://239.1.1.1:5000" },
		"pair": pair,
		"recovery": func(d *config.Box) {
			pair(d)
			d.Input.FEC = config.FECST20221
			d.Input.Second.Source = "192.0.2.8"
		},
		"calls": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Input.Passphrase = config.TypeSRT, "srt://192.0.2.9:7000", "correct-horse-battery"
		},
		"calls at a rate": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Input.SRT.InputBWKbps = config.TypeSRT, "srt://192.0.2.9:7000", 60_000
		},
		"listens": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Input.Passphrase = config.TypeSRT, "srt://:7000", "correct-horse-battery"
		},
		"file": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Input.OnInputLoss = config.TypeFile, "file:///tmp/a.ts", config.LossStop
		},
		"transcoded": func(d *config.Box) {
			d.Input.Transcode, d.Confidence.Enabled = true, true
		},
		"steady": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Encoder.Adaptive = config.TypeTest, "test://bars", false
		},
		"looked at": func(d *config.Box) {
			d.Confidence.Enabled = true
		},
		"listened to": func(d *config.Box) {
			d.Confidence.Enabled, d.Confidence.LoudnessTolerance = true, 3
		},
		"watched closely": func(d *config.Box) {
			d.Input.Monitor.Priority3, d.Input.Monitor.PrivatePIDs = true, "4000"
		},
		"test": func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeTest, "test://bars" },
		"sdi": func(d *config.Box) {
			d.Input.Type, d.Input.URL, d.Input.OnInputLoss = config.TypeSDI, "sdi:///dev/video0", config.LossStop
			a := config.Default[config.EncoderAudio]()
			a.PID = 300
			d.Encoder.Audio = []config.EncoderAudio{a}
			d.Encoder.FollowInput = true
			d.Encoder.Slate, d.Encoder.SlateImage = config.SlateImage, "/tmp/slate.png"
		},
		"own code": func(d *config.Box) {
			rows := 6
			d.Output.FEC = config.FEC{K: 60, Rows: &rows}
			d.Output.LatencyMS = 600
		},
		"recovery sent": func(d *config.Box) {
			d.Paths[4].ST20221 = &config.ST20221{Columns: 10, Rows: 5, RowFEC: true}
			d.Paths[4].URL = "rtp://239.2.2.2:5000"
		},
		"rate relative": func(d *config.Box) {
			for i := range 4 {
				d.Paths[i].SRT.InputBWKbps = 60_000
			}
		},
		"plain": func(d *config.Box) { // no rtp-fec path
			d.Output.Key = ""
			d.Paths = d.Paths[3:]
		},
	} {
		d := document()
		change(d)
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { r.Check(t, config.KindBox, d, made) })
	}
	r.Report(t, config.KindBox, map[string]string{
		"version":             "TestCheck: another one is refused",
		"name":                "TestStatusIdle shows it",
		"control.socket":      "socketPath: TestSocketPath",
		"log.level":           "logging.New",
		"log.format":          "logging.New",
		"input.type":          "the documents above: its url must change with it",
		"output.loss_percent": "the plan's advice: TestLossPercentAdvises",
		"paths[].merge_group": "stagger and skew, where paths share one: TestMergeGroup",
	})
}

// starts makes sure that what check accepts is not refused at the start.
func starts(t *testing.T, p parts, doc []byte) {
	t.Helper()
	now := func() time.Duration { return 0 }
	if _, _, err := p.source.open(now, slog.New(slog.DiscardHandler), "/tmp", nil); err != nil {
		t.Errorf("accepted, and its input is refused at start: %v\n%s", err, doc)
	}
	sc := uplink.SenderConfig{Now: now, Plan: p.plan, Pacer: p.pacer, PacketsPerMessage: p.perMessage, Key: p.key, AcceptKeys: p.accept}
	for i := range p.paths {
		if err := p.paths[i].srt.Validate(); err != nil {
			t.Errorf("accepted, and path %d is refused at start: %v\n%s", i, err, doc)
		}
		pc := p.paths[i].PathConfig
		pc.Queue = 16 // thousands are built
		sc.Paths = append(sc.Paths, pc)
	}
	if _, err := uplink.NewSender(sc); err != nil {
		t.Errorf("accepted, and the sender refuses it: %v\n%s", err, doc)
	}
}

// pair makes the input an ST 2022-7 pair.
func pair(d *config.Box) {
	d.Input.Type, d.Input.URL, d.Input.Interface = config.TypeRTP, "rtp://239.1.1.1:5000", "eth0"
	d.Input.Second = &config.Leg{URL: "rtp://239.1.1.2:5000", Interface: "eth1"}
}
