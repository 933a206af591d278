package architecture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/device/config"
	"quartet/device/health"
	"quartet/fec"
	"quartet/uplink/rtp"
)

// document reads a file by its path in the repository.
func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository(t).root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+) ([a-z0-9-]+)\n(.*?)^```$")

// examples returns the fenced blocks of a document that have a name behind
// their language: "```hex tag-key".
func examples(t *testing.T, name, language string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range fence.FindAllStringSubmatch(document(t, name), -1) {
		if m[1] == language {
			found[m[2]] = m[3]
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no named %s examples", name, language)
	}
	return found
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What docs/wire-format.md shows is what the packages send.
func TestWireFormatExamples(t *testing.T) {
	shown := map[string][]byte{}
	for name, s := range examples(t, "docs/wire-format.md", "hex") {
		shown[name] = unhex(t, s)
	}
	same := func(name string, got []byte) {
		t.Helper()
		if want, ok := shown[name]; !ok || string(got) != string(want) {
			t.Errorf("docs/wire-format.md, example %s (there: %t)\n shows %x\n is    %x", name, ok, want, got)
		}
		delete(shown, name)
	}
	key, err := rtp.DeriveTagKey(shown["contribution-key"])
	if err != nil {
		t.Fatal(err)
	}
	delete(shown, "contribution-key")
	same("tag-key", key[:])
	tagger := rtp.NewTagger(key)

	packet := func(i int) []byte {
		b := make([]byte, rtp.HeaderSize, rtp.HeaderSize+mpegts.PacketSize)
		rtp.Header{PayloadType: rtp.PayloadTypeTS, Seq: rtp.Seq(65534 + i), Timestamp: 90000 + 947*uint32(i), SSRC: 0x11223344}.Put(b)
		b = append(b, 0x47, 0x1f, 0xff, 0x10)
		for len(b) < cap(b) {
			b = append(b, 0xff)
		}
		return b
	}
	same("source-message", tagger.AppendTag(packet(0), packet(0)))

	var repairs [][]byte
	e, err := fec.NewEncoder(fec.EncoderConfig{
		Params: fec.Params{K: 4, R: 1, Streams: 2, MaxBlock: 70 * time.Millisecond},
		SSRC:   []uint32{0x55667788, 0x66778899}, Seq: []uint16{7, 300},
		Emit: func(_ int, _ time.Duration, pkt []byte) {
			repairs = append(repairs, tagger.AppendTag(append([]byte{}, pkt...), pkt))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Duration(0)
	for _, n := range []int{4, 2} {
		for i := range n {
			now += 10 * time.Millisecond
			if err := e.Add(now, packet(i)); err != nil {
				t.Fatal(err)
			}
		}
		for range 300 {
			now += time.Millisecond
			e.Tick(now)
		}
	}
	if len(repairs) != 4 {
		t.Fatalf("%d repair packets, want 2 for each block", len(repairs))
	}
	same("repair-message-4", repairs[0])
	same("repair-message-5", repairs[1])
	same("repair-message-short", repairs[2])

	same("digest-crc", beUint(uint64(rtp.Sum(packet(0))), 4))
	var digest rtp.Digest
	for i := 2; i < 1026; i++ {
		digest.Add(packet(i))
	}
	windows := digest.Windows().AppendLatest(nil, 0x11223344, 1)
	if len(windows) != 1 {
		t.Fatal("no digest window")
	}
	w := windows[0]
	same("digest-window", append(append(beUint(uint64(w.Timestamp), 4), w.Number, 0, 4, 0), beUint(w.Sum, 8)...))

	verifier, err := rtp.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"box-report", "gateway-report", "probe", "probe-answer"} {
		pkt, ok := verifier.Check(shown[name])
		if !ok {
			t.Errorf("docs/wire-format.md, example %s: its tag is wrong", name)
			continue
		}
		r, err := rtp.ParseReport(pkt)
		if err != nil {
			t.Errorf("docs/wire-format.md, example %s: %v", name, err)
			continue
		}
		checkReport(t, name, r, w)
		again, err := r.Append(nil)
		if err != nil {
			t.Errorf("docs/wire-format.md, example %s: %v", name, err)
		}
		same(name, tagger.AppendTag(again, again))
	}
	for name := range shown {
		t.Errorf("docs/wire-format.md, example %s: nothing checks it; add it to this test", name)
	}
}

func beUint(v uint64, n int) (b []byte) {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// checkReport compares a parsed example with what the text above it says.
func checkReport(t *testing.T, name string, r *rtp.Report, w rtp.Window) {
	t.Helper()
	ok := true
	switch s := r.Settings; name {
	case "box-report":
		ok = s != nil && r.Sender != nil && r.Sender.Timestamp == 1215000 && r.Sender.Packets == 1200 && r.Sender.NTP == rtp.NTP(12500*time.Millisecond) &&
			s.Path == 1 && s.Leg == 1 && s.Stream == 1 && s.TotalLatency == 500*time.Millisecond && s.SRTLatency == 300*time.Millisecond &&
			s.Stagger == 15*time.Millisecond && s.MaxBlock == 70*time.Millisecond && s.K == 64 && s.R == 6 && s.Streams == 4 &&
			s.RepairPT == 98 && s.PacketsPerMessage == 7 && s.BitRate == 10_000_000
	case "gateway-report":
		p, m := r.Path, r.Merged
		ok = p != nil && m != nil && len(r.Blocks) == 1 && r.Blocks[0].FractionLost == 3 && r.Blocks[0].LastSequenceNumber == 65711 &&
			p.Received == 1188 && p.LostHere == 12 && p.ByOther == 10 && p.ByParity == 2 && p.Late == 1 && p.Skew == 1500*time.Microsecond &&
			p.Jitter == 55*time.Microsecond && p.Number == 41 && len(p.Windows) == 1 && p.Windows[0] == w &&
			m.K == 64 && m.Margin == 42*time.Millisecond && m.Latency == 500*time.Millisecond && m.Paths == 0b1111 && m.Delivered == 1175 &&
			m.ByParity == 2 && m.Late == 1 && m.Epochs == 1 && m.BitRate == 10_000_000 && len(m.Windows) == 1 && m.Windows[0] == w
	case "probe":
		ok = r.Probe != nil && r.Probe.Size == 96 && r.Probe.ID == 0xabcdef01
	case "probe-answer":
		ok = r.Answer != nil && r.Answer.Largest == 96 && r.Answer.ID == 0xabcdef01 && r.Answer.Count == 1
	}
	if !ok {
		t.Errorf("docs/wire-format.md, example %s does not say what the text above it does: %+v", name, r)
	}
}

var coefficientRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| (\\d+|any) \\| `([0-9a-f ]+)`")

func TestWireFormatCoefficients(t *testing.T) {
	rows := coefficientRow.FindAllStringSubmatch(document(t, "docs/wire-format.md"), -1)
	if len(rows) < 5 {
		t.Fatalf("%d rows of coefficients found, want 5 or more", len(rows))
	}
	for _, r := range rows {
		k, _ := strconv.Atoi(r[1])
		esi, err := strconv.Atoi(r[2])
		if err != nil {
			esi = k
		}
		m, err := fec.Coefficients(k, esi-k+1)
		if err != nil {
			t.Fatal(err)
		}
		if got := m[esi-k]; string(got) != string(unhex(t, r[3])) {
			t.Errorf("docs/wire-format.md: K = %d, ESI = %d: shows %s, is %x", k, esi, r[3], got)
		}
	}
}

var tickRow = regexp.MustCompile(`(?m)^\| ([−0-9a-z. ]+) \| ([−0-9 ]+) \|$`)

func TestWireFormatTicks(t *testing.T) {
	plain := strings.NewReplacer(" ", "", "−", "-")
	text := document(t, "docs/wire-format.md")
	rows := tickRow.FindAllStringSubmatch(text[strings.Index(text, "### Ticks"):], -1)
	if len(rows) != 7 {
		t.Fatalf("%d rows of ticks, want 7", len(rows))
	}
	for _, r := range rows {
		text := plain.Replace(r[1])
		if text == "0" {
			text = "0s"
		}
		d, err := time.ParseDuration(strings.Replace(text, "min", "m", 1))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := strconv.ParseInt(plain.Replace(r[2]), 10, 64); err != nil || rtp.Ticks(d) != want {
			t.Errorf("docs/wire-format.md: %v: shows %s ticks, is %d", d, r[2], rtp.Ticks(d))
		}
	}
}

// The document's vectors, and those that came with the design where they are at
// hand beside the repository, are what the packages make.
func TestWireVectors(t *testing.T) {
	root := repository(t).root
	checkVectors(t, filepath.Join(root, "docs", "vectors", "wire.json"))
	if name := filepath.Join(root, "..", "shared", "vectors", "wire.json"); isFile(name) {
		checkVectors(t, name)
	} else {
		t.Logf("%s is not here; our own stand for it", name)
	}
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func checkVectors(t *testing.T, name string) {
	t.Helper()
	var vectors []struct {
		Name            string
		K, N, E         int
		ContributionKey string `json:"contribution_key"`
		TagKey          string `json:"tag_key"`
		Coefficients    map[string]string
		Source, Repair  []string
		SourceTags      []string `json:"source_tags"`
		RepairTags      []string `json:"repair_tags"`
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
		t.Fatalf("%s: %d vectors, %v", name, len(vectors), err)
	}
	for _, v := range vectors {
		key, err := rtp.DeriveTagKey(unhex(t, v.ContributionKey))
		if err != nil || hex.EncodeToString(key[:]) != v.TagKey {
			t.Errorf("%s: tag key %x, %v", v.Name, key[:], err)
		}
		tagger := rtp.NewTagger(key)
		for i, s := range append(append([]string{}, v.Source...), v.Repair...) {
			want := append(append([]string{}, v.SourceTags...), v.RepairTags...)[i]
			if got := hex.EncodeToString(tagger.AppendTag(nil, unhex(t, s))); got != want {
				t.Errorf("%s: tag %d is %s, want %s", v.Name, i, got, want)
			}
		}
		for esi, want := range v.Coefficients {
			n, _ := strconv.Atoi(esi)
			m, err := fec.Coefficients(v.K, n-v.K+1)
			if err != nil || hex.EncodeToString(m[n-v.K]) != want {
				t.Errorf("%s: ESI %d: %x, %v", v.Name, n, m[n-v.K], err)
			}
		}
		for _, s := range v.Repair {
			h, symbol, err := fec.ParseRepair(unhex(t, s))
			if err != nil || int(h.K) != v.K || int(h.N) != v.N || len(symbol) != v.E {
				t.Errorf("%s: %+v with %d bytes, %v", v.Name, h, len(symbol), err)
			}
		}
	}
}

// reference is what docs/vectors/reference.py prints of an example.
var reference = regexp.MustCompile(`(?m)^([a-z0-9-]+) \(\d+ bytes\)\n((?:[0-9a-f ]+\n)+)`)

// The document's own program, which shares no code with ours, makes the vectors
// as they lie there, and the examples as the document shows them.
func TestReferenceProgram(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("there is no python3 here: docs/vectors/reference.py was not run")
		return
	}
	out, err := exec.CommandContext(t.Context(), python, filepath.Join(repository(t).root, "docs", "vectors", "reference.py")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made := map[string]string{}
	for _, m := range reference.FindAllStringSubmatch(string(out), -1) {
		made[m[1]] = m[2]
	}
	for name, shown := range examples(t, "docs/wire-format.md", "hex") {
		if string(unhex(t, made[name])) != string(unhex(t, shown)) {
			t.Errorf("docs/wire-format.md, example %s\n shows %s\n reference.py makes %s", name, shown, made[name])
		}
	}
	rows := coefficientRow.FindAllStringSubmatch(document(t, "docs/wire-format.md"), -1)
	for _, r := range rows {
		name := fmt.Sprintf("coefficients-%s-%s", r[1], strings.Replace(r[2], "any", r[1], 1))
		if string(unhex(t, made[name])) != string(unhex(t, r[3])) {
			t.Errorf("docs/wire-format.md, %s: shows %s, reference.py makes %s", name, r[3], made[name])
		}
	}
}

var secret = regexp.MustCompile("<[a-z0-9 ]+>")

// Configurations shown in the documents are accepted without a warning once
// their secrets are filled in, and not before: nobody runs with a key that was
// copied from a manual.
func TestConfigurationExamples(t *testing.T) {
	parse := func(kind, s string) (warnings config.Issues, err error) {
		if kind == "gateway" {
			_, warnings, err = config.ParseGateway([]byte(s))
		} else {
			_, warnings, err = config.ParseBox([]byte(s))
		}
		return warnings, err
	}
	seen := map[string]bool{}
	for name, s := range examples(t, "docs/operations.md", "json") {
		kind, _, _ := strings.Cut(name, "-")
		if kind != "box" && kind != "gateway" {
			t.Errorf("docs/operations.md: example %q: begin its name with box or gateway", name)
		}
		seen[kind] = true
		if _, err := parse(kind, s); err == nil {
			t.Errorf("docs/operations.md, example %s is accepted as it stands, secrets and all", name)
		}
		filled := secret.ReplaceAllStringFunc(s, func(what string) string {
			sum := sha256.Sum256([]byte(what))
			if what == "<key>" {
				return hex.EncodeToString(sum[:])
			}
			return hex.EncodeToString(sum[:16])
		})
		if warnings, err := parse(kind, filled); err != nil || len(warnings) > 0 {
			t.Errorf("docs/operations.md, example %s: %v %v", name, err, warnings)
		}
	}
	if !seen["box"] || !seen["gateway"] {
		t.Error("docs/operations.md shows no box, or no gateway")
	}
}

// Every alarm is in the operator's manual.
func TestAlarmsAreExplained(t *testing.T) {
	manual := document(t, "docs/operations.md") + document(t, "docs/confidence.md")
	for _, d := range health.Catalogue() {
		if !strings.Contains(manual, "`"+string(d.Code)+"`") {
			t.Errorf("neither docs/operations.md nor docs/confidence.md explains the condition %s", d.Code)
		}
	}
}

// Every check of the stream is in the manual, with its clause.
func TestChecksAreExplained(t *testing.T) {
	manual := document(t, "docs/monitoring.md")
	for c := range tr101290.Check(tr101290.CheckCount) {
		if row := "\n| " + c.Clause() + " | `" + c.String() + "` | "; !strings.Contains(manual, row) {
			t.Errorf("docs/monitoring.md does not explain %s %s", c.Clause(), c)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[tr101290.Config]()) {
		if !strings.Contains(manual, "\n| `"+f.Name+"` | ") {
			t.Errorf("docs/monitoring.md does not explain the setting %s", f.Name)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notWord = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	target  = regexp.MustCompile("`make ([a-z][a-z0-9-]*)")
)

func TestLinksAndTargetsExist(t *testing.T) {
	m := repository(t)
	makefile := document(t, "Makefile")
	for _, name := range m.texts(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		if _, err := os.Stat(filepath.Join(m.root, name)); err != nil {
			continue // removed, not yet committed
		}
		text := document(t, name)
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(l[1], "#")
			if strings.Contains(file, "://") || strings.HasPrefix(file, "mailto:") {
				continue
			}
			to := name
			if file != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(name), file))
			}
			if _, err := fs.Stat(os.DirFS(m.root), to); err != nil {
				t.Errorf("%s: link to %s: there is no such file", name, l[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(to, ".md") && !anchors(document(t, to))[anchor] {
				t.Errorf("%s: link to %s: there is no such heading", name, l[1])
			}
		}
		for _, x := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+x[1]+":") {
				t.Errorf("%s: make %s: the Makefile has no such target", name, x[1])
			}
		}
	}
}

// anchors are the names by which a page's headings are linked to.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		plain := notWord.ReplaceAllString(strings.ToLower(h[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

var metricName = regexp.MustCompile(`quartet_gateway_([a-z_]+[a-z])`)

// Metrics named in the documents exist.
func TestMetricsExist(t *testing.T) {
	source := document(t, "uplink/gateway/metrics.go")
	m := repository(t)
	for _, name := range m.texts(t) {
		if !strings.HasPrefix(name, "docs/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(m.root, name)); err != nil {
			continue
		}
		for _, x := range metricName.FindAllStringSubmatch(document(t, name), -1) {
			if !strings.Contains(source, `"`+x[1]+`"`) && !strings.Contains(source, `prefix+"`+x[1]+`"`) {
				t.Errorf("%s: the gateway has no metric quartet_gateway_%s", name, x[1])
			}
		}
	}
}
