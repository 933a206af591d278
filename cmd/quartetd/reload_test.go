package main

import (
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"quartet/device/config"
	"quartet/device/health"
	"quartet/uplink/gateway"
)

// connects is how often each path has connected.
func (b *bed) connects() (n []uint64) {
	for _, p := range b.status().Paths {
		n = append(n, p.Connects)
	}
	return n
}

func (b *bed) wantConnects(want ...uint64) {
	b.Helper()
	if got := b.connects(); !reflect.DeepEqual(got, want) {
		b.Errorf("connections of the paths: %v, want %v", got, want)
	}
}

// FEC and message size change under way, over the connections that are there.
func TestReloadFEC(t *testing.T) {
	f := startGateway(t)
	b := startBox(t, f.sending())
	b.waitUp()
	before := f.status()

	changed := b.mustChange(func(d *config.Box) { d.Output.OverheadPercent = 50 })
	if len(changed) != 1 || !strings.HasPrefix(changed[0], "plan: K ") {
		t.Errorf("overhead: %q", changed)
	}
	eventually(t, "more rows at the gateway", func() bool { k := f.status(); return k.R > before.R && k.K == before.K })

	b.mustChange(func(d *config.Box) { d.Output.FEC.K = 7 })
	eventually(t, "K 7 at the gateway", func() bool { return f.status().K == 7 })
	if p := b.status().Plan; p.K != 7 || p.Rows != 4 {
		t.Errorf("plan of the status: %+v", p)
	}

	if changed := b.mustChange(func(d *config.Box) { d.Output.TSPacketsPerMessage = 5 }); !strings.Contains(strings.Join(changed, "\n"), "5 TS packets per message") {
		t.Errorf("message size: %q", changed)
	}
	b.flows(f)

	// No parity at all, and back.
	none := 0
	b.mustChange(func(d *config.Box) {
		d.Output.OverheadPercent, d.Output.FEC = config.Default[config.Output]().OverheadPercent, config.FEC{Rows: &none}
	})
	eventually(t, "no rows", func() bool { return f.status().R == 0 })
	b.mustChange(func(d *config.Box) { d.Output.FEC = config.FEC{} })
	eventually(t, "rows again", func() bool { return f.status().R > 0 })

	if changed := b.mustChange(func(*config.Box) {}); len(changed) != 0 {
		t.Errorf("nothing: %q", changed)
	}
	if k := f.status(); k.Merged.Epochs > 1 || k.Tags.Bad > 0 {
		t.Errorf("the stream began anew or its tags broke: %+v %+v", k.Merged, k.Tags)
	}
	for _, p := range b.status().Paths {
		if p.Disconnects > 0 || p.Arrival.Digest.Different > 0 {
			t.Errorf("path %s: %+v", p.Name, p)
		}
	}
}

// The contribution key changes as docs/operations.md says, with no reconnect.
func TestReloadKey(t *testing.T) {
	f := startGateway(t)
	b := startBox(t, f.sending())
	b.waitUp()
	was := b.connects()
	next := strings.Repeat("ab", 32)
	raw, err := hex.DecodeString(next)
	if err != nil {
		t.Fatal(err)
	}
	f.apply(func(k *gateway.Contribution) { k.Keys = [][]byte{raw, k.Keys[0]} })
	if changed := b.mustChange(func(d *config.Box) { d.Output.PreviousKey, d.Output.Key = d.Output.Key, config.Secret(next) }); len(changed) != 1 || changed[0] != "contribution key" {
		t.Errorf("key: %q", changed)
	}
	b.flows(f)
	f.apply(func(k *gateway.Contribution) { k.Keys = [][]byte{raw} })
	if changed := b.mustChange(func(d *config.Box) { d.Output.PreviousKey = "" }); len(changed) != 1 || changed[0] != "accepted contribution keys" {
		t.Errorf("previous key: %q", changed)
	}
	b.flows(f)
	b.wantConnects(was...)
	if bad := f.status().Tags.Bad; bad > 0 {
		t.Errorf("%d wrong tags", bad)
	}
}

// Passphrase, address and SRT settings of a path change by a second connection;
// the other path keeps its own.
func TestReloadPath(t *testing.T) {
	f := startGateway(t)
	b := startBox(t, f.sending())
	b.waitUp()
	other := b.connects()[1]
	connected := func(what string, change func(*config.Box)) {
		t.Helper()
		before := b.connects()[0]
		changed := b.mustChange(change)
		if len(changed) != 1 || changed[0] != "path a: the old connection goes on until a new one is up" {
			t.Errorf("%s: %q", what, changed)
		}
		eventually(t, what+": a second connection", func() bool { return b.connects()[0] > before })
		b.flows(f)
	}
	f.apply(func(k *gateway.Contribution) { k.Inputs[0].SRT.Passphrase = "another-horse-battery" })
	connected("passphrase", func(d *config.Box) { d.Paths[0].Passphrase = "another-horse-battery" })
	connected("address", func(d *config.Box) { d.Paths[0].URL, d.Paths[0].Passphrase = f.url(1), passphrase })
	connected("key length", func(d *config.Box) { d.Paths[0].KeyLength = 16 })
	connected("settings", func(d *config.Box) { d.Paths[0].SRT.LossMaxTTL = 7 })
	connected("latency", func(d *config.Box) { d.Paths[0].LatencyMS = 250 })
	if got := b.status().Paths[0].LatencyMS; got != 250 {
		t.Errorf("the status shows a latency of %v ms", got)
	}
	if k := f.status(); k.Inputs[2].Messages == 0 {
		t.Errorf("nothing on the second port: %+v", k.Inputs[2])
	}
	b.wantConnects(b.connects()[0], other)

	// The total latency concerns every path.
	before := b.connects()
	if changed := b.mustChange(func(d *config.Box) { d.Output.LatencyMS, d.Paths[0].LatencyMS = 800, 0 }); len(changed) != 3 {
		t.Errorf("latency: %q", changed)
	}
	eventually(t, "both have new connections", func() bool {
		n := b.connects()
		return n[0] > before[0] && n[1] > before[1]
	})
	b.flows(f)
}

// A change that is refused leaves everything as it was, and is said.
func TestReloadRefused(t *testing.T) {
	f := startGateway(t)
	b := startBox(t, f.sending())
	b.waitUp()
	doc, set := b.box.current()
	was := b.connects()
	good := *b.doc
	paths := func(d *config.Box) { d.Paths = append([]config.Path(nil), d.Paths...) }
	for _, c := range []struct {
		name   string
		change func(*config.Box)
		want   string
	}{
		{"a rule", func(d *config.Box) { d.Output.Key = "" }, "output.key"},
		{"the planner", func(d *config.Box) { d.Output.LatencyMS = 40 }, "output.latency_ms (line "},
		{"a socket", func(d *config.Box) { paths(d); d.Paths[0].SRT.MaxBWKbps = 100 }, "paths[0].srt.maxbw_kbps (line "},
		{"name", func(d *config.Box) { d.Name = "other" }, "name cannot change while running: restart quartetd"},
		{"input", func(d *config.Box) { d.Input.LossAfterMS = 999; d.Output.OverheadPercent = 30 }, "input cannot change while running"},
		{"log", func(d *config.Box) { d.Log.Level = "debug" }, "log cannot change while running"},
		{"one path more", func(d *config.Box) {
			paths(d)
			p := d.Paths[0]
			p.Name, p.StreamID = "c", "c"
			d.Paths = append(d.Paths, p)
		}, "the number of paths cannot change while running"},
		{"another profile", func(d *config.Box) { paths(d); d.Paths[1].Profile = config.ProfileTS }, "paths[1].profile"},
		{"stagger", func(d *config.Box) {
			paths(d)
			ms := config.Milliseconds(7)
			d.Paths[1].StaggerMS = &ms
			d.Output.TSPacketsPerMessage = 6
		}, "paths[1].stagger_ms cannot change while running"},
	} {
		*b.doc = good
		changed, err := b.change(c.change)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %s", c.name, changed, err, c.want)
		}
	}
	// By signal as well.
	writeTo(t, b.file, []byte(`{"version": 1`))
	b.hup <- syscall.SIGHUP
	eventually(t, "the log says why", func() bool { return strings.Contains(b.log.String(), "the document ends too early") })
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.hup <- syscall.SIGHUP
	eventually(t, "the log says that there is no file", func() bool { return strings.Contains(b.log.String(), "no such file") })

	if d, s := b.box.current(); d != doc || !reflect.DeepEqual(s, set) {
		t.Error("a refused document is in force")
	}
	if p := b.box.chain.sender.Stats().Plan; !reflect.DeepEqual(p, set.plan) {
		t.Errorf("the sender's plan is %v", p)
	}
	b.flows(f)
	b.wantConnects(was...)
	alarm := func() bool {
		for _, a := range b.status().Active {
			if a.Code == health.ConfigInvalid {
				return true
			}
		}
		return false
	}
	if !alarm() {
		t.Error("no alarm of the refused configuration")
	}
	*b.doc = good
	writeTo(t, b.file, config.Encode(b.doc))
	b.hup <- syscall.SIGHUP
	eventually(t, "the alarm goes with a good configuration", func() bool { return !alarm() })
}

// A listening path changes its port, but not what listens on it; a port that is
// taken leaves all as it was.
func TestReloadListener(t *testing.T) {
	f := startGateway(t)
	d := f.sending()
	p := config.Default[config.Path]()
	p.Name, p.Profile, p.Mode, p.URL = "listens", config.ProfileTS, config.ModeListener, "srt://127.0.0.1:"+freePort(t)
	d.Paths = append(d.Paths, p)
	b := startBox(t, d)
	good := *b.doc
	good.Paths = append([]config.Path(nil), d.Paths...)

	if _, err := b.change(func(d *config.Box) { d.Paths[2].SRT.LossMaxTTL = 9 }); err == nil || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("settings: %v", err)
	}
	*b.doc = good
	b.doc.Paths = append([]config.Path(nil), good.Paths...)
	taken := holdPort(t)
	if _, err := b.change(func(d *config.Box) { d.Paths[2].URL = "srt://" + taken; d.Output.OverheadPercent = 44 }); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("a port that is taken: %v", err)
	}
	if p := b.status().Plan; p.OverheadPercent > 40 {
		t.Errorf("the plan changed all the same: %+v", p)
	}
	next := "127.0.0.1:" + freePort(t)
	b.mustChange(func(d *config.Box) { d.Paths[2].URL = "srt://" + next; d.Output.OverheadPercent = 10 })
	c := dial(t, next)
	defer c.Close()
	eventually(t, "the path has a caller", func() bool { return b.status().Paths[2].State == "up" })
}

// Settings that connect the same way make no new connection.
func TestConnects(t *testing.T) {
	made := func(change func(*config.Box)) pathParts {
		d := document()
		change(d)
		set, _, err := build(d)
		if err != nil {
			t.Fatal(err)
		}
		return set.paths[0]
	}
	base := made(func(*config.Box) {})
	for name, c := range map[string]struct {
		change func(*config.Box)
		want   bool
	}{
		"nothing":     {func(*config.Box) {}, true},
		"overhead":    {func(d *config.Box) { d.Output.OverheadPercent = 60 }, true},
		"less rate":   {func(d *config.Box) { d.Output.MaxBitrateKbps = 15_000 }, true},
		"merge group": {func(d *config.Box) { d.Paths[0].MergeGroup = "x" }, true},
		"more rate":   {func(d *config.Box) { d.Output.MaxBitrateKbps = 90_000 }, false},
		"interface":   {func(d *config.Box) { d.Paths[0].Interface = "eth9" }, false},
		"buffer":      {func(d *config.Box) { d.Paths[0].SRT.SndBuf = 9_000_000 }, false},
		"capacity":    {func(d *config.Box) { d.Paths[0].MaxBitrateKbps = 50_000 }, false},
	} {
		d := document()
		c.change(d)
		next := made(c.change)
		// Latencies follow from the plan; what is asked here is the rest.
		next.srt.Latency = base.srt.Latency
		if got := base.connects(&next, d.Paths[0].SRT); got != c.want {
			t.Errorf("%s: the same connection %v, want %v", name, got, c.want)
		}
	}
}
