package main

import (
	"reflect"
	"strings"
	"testing"

	"quartet/device/config"
	"quartet/tests/fields"
)

// No setting is accepted and ignored: whatever the document's rules let pass
// changes what build makes.
func TestEveryFieldHasAnEffect(t *testing.T) {
	made := func(doc []byte) (any, any, config.Issues, error) {
		d, warnings, err := config.ParseGateway(doc)
		if err != nil {
			return nil, nil, nil, err
		}
		cfg, err := build(d)
		if err == nil {
			// What the rules let pass, the gateway takes.
			if err := cfg.Check(); err != nil && !strings.Contains(err.Error(), "too small") {
				t.Errorf("accepted, and refused at start: %v\n%s", err, doc)
			}
		}
		return d, cfg, warnings, err
	}
	var r fields.Result
	for name, change := range map[string]func(*config.Gateway){
		"example": func(*config.Gateway) {},
		"calls":   callingInput,
		"calls at a rate": func(g *config.Gateway) {
			callingInput(g)
			c := &g.Contributions[0]
			c.Inputs[2].SRT.InputBWKbps, c.Peers[0].SRT.InputBWKbps, g.Listeners[0].SRT.InputBWKbps = 60_000, 60_000, 60_000
		},
		"pair": func(g *config.Gateway) {
			g.Contributions[0].Outputs[0].Second = &config.Leg{URL: "rtp://127.0.0.1:6000"}
		},
		"no RTP": otherOutputs,
		"no RTP, silent": func(g *config.Gateway) {
			otherOutputs(g)
			g.Contributions[0].OnInputLoss = config.LossStop
			for i := range g.Contributions[0].Outputs {
				g.Contributions[0].Outputs[i].SRT.MinInputBWKbps = 0
				if g.Contributions[0].Outputs[i].Type == config.TypeSRT {
					g.Contributions[0].Outputs[i].SRT.InputBWKbps = 60_000
				}
			}
		},
	} {
		g := example(t)
		change(g)
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { r.Check(t, config.KindGateway, g, made) })
	}
	r.Report(t, config.KindGateway, map[string]string{
		"version":                            "another one is refused: package config",
		"log.level":                          "logging.New",
		"log.format":                         "logging.New",
		"listeners[].name":                   "inputs name it: TestListenersAreFoundByName",
		"listeners[].srt.connect_timeout_ms": "refused: a listener does not connect",
		"contributions[].inputs[].mode":      "must change with url or listener: TestBuild",
		"contributions[].inputs[].listener":  "must name another listener: TestListenersAreFoundByName",
		"contributions[].outputs[].type":     "must change with url: TestBuild",
	})
}

// callingInput adds an input that calls.
func callingInput(g *config.Gateway) {
	in := config.Default[config.GatewayInput]()
	in.Name, in.Mode, in.URL, in.Passphrase = "calls", config.ModeCaller, "srt://192.0.2.9:700", "correct-horse-battery"
	g.Contributions[0].Inputs = append(g.Contributions[0].Inputs, in)
}

// otherOutputs replaces the RTP output by one of each other kind.
func otherOutputs(g *config.Gateway) {
	c := &g.Contributions[0]
	c.OnInputLoss, c.Outputs = config.LossNull, nil
	for _, o := range []struct{ name, kind, url string }{
		{"udp", config.TypeUDP, "udp://127.0.0.1:5000"}, {"file", config.TypeFile, "file:///tmp/x.ts"},
		{"calls", config.TypeSRT, "srt://192.0.2.7:99"}, {"listens", config.TypeSRT, "srt://:98"},
	} {
		out := config.Default[config.GatewayOutput]()
		out.Name, out.Type, out.URL = o.name, o.kind, o.url
		if o.kind == config.TypeSRT {
			out.Passphrase = "correct-horse-battery"
		}
		c.Outputs = append(c.Outputs, out)
	}
}

// A listener's name is for those who write the document: to build it is what
// inputs find it by.
func TestListenersAreFoundByName(t *testing.T) {
	g := example(t)
	second := config.Default[config.Listener]()
	second.Name, second.Address = "second", "127.0.0.1:9999"
	g.Listeners = append(g.Listeners, second)
	g.Contributions[0].Inputs[1].Listener = "second"
	cfg, err := build(g)
	if err != nil {
		t.Fatal(err)
	}
	if in := cfg.Contributions[0].Inputs; in[0].Listen != "127.0.0.1:0" || in[1].Listen != "127.0.0.1:9999" {
		t.Errorf("%+v", in)
	}
	before := cfg
	g.Listeners[1].Name, g.Contributions[0].Inputs[1].Listener = "other", "other"
	if cfg, err = build(g); err != nil || !reflect.DeepEqual(cfg, before) {
		t.Errorf("%v\n%+v", err, cfg)
	}
}

// A listening input leaves the length of the key to its caller, which is told
// it in the line.
func TestKeyLengthIsInTheLine(t *testing.T) {
	g := example(t)
	in := &g.Contributions[0].Inputs[0]
	for _, n := range []int{16, 24, 32} {
		in.KeyLength = n
		line, err := g.PathLine(&g.Contributions[0], in, "gw.example.net")
		if err != nil {
			t.Fatal(err)
		}
		u, err := config.ParseURL(strings.Replace(line, ":0?", ":9000?", 1))
		if want := map[int]string{16: "16", 24: "24", 32: "32"}[n]; err != nil || u.Params["pbkeylen"] != want {
			t.Errorf("pbkeylen %q, want %s: %v", u.Params["pbkeylen"], want, err)
		}
	}
}
