package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report is everything that was found.
type report struct {
	Started  time.Time      `json:"started"`
	Took     string         `json:"took"`
	Quick    bool           `json:"quick"`
	Machine  machine        `json:"machine"`
	Settings settings       `json:"settings"`
	Goals    []goal         `json:"goals"`
	Loss     *lossResult    `json:"loss,omitempty"`
	Virtual  *virtualResult `json:"virtual,omitempty"`
	Cost     *costResult    `json:"cost,omitempty"`
	Ramp     *rampResult    `json:"ramp,omitempty"`
	Packet   *packetResult  `json:"packet,omitempty"`
	Errors   []string       `json:"errors,omitempty"` // parts that could not be measured
}

// machine is what the figures were taken on.
type machine struct {
	CPU       string   `json:"cpu"`
	Cores     int      `json:"cores"`
	Kernel    string   `json:"kernel"`
	Go        string   `json:"go"`
	Nice      int      `json:"nice"`
	Load      string   `json:"load_at_start"`
	Programs  []string `json:"programs"`
	Libraries []string `json:"libraries"`
}

// settings are those of part loss.
type settings struct {
	RateBPS   int64    `json:"rate_bps"`
	LatencyMS int64    `json:"latency_ms"`
	HoldMS    int64    `json:"quartet_input_hold_ms"`
	Overhead  int      `json:"quartet_parity_percent"`
	Seeds     int      `json:"seeds"`
	Seconds   float64  `json:"seconds"`
	Warmup    float64  `json:"warmup_s"`
	Streams   int      `json:"path_streams_at_once"`
	StallMS   float64  `json:"stall_limit_ms"`
	DelayMS   float64  `json:"delay_limit_ms"` // beyond the configured latency
	Late      float64  `json:"late_share_limit"`
	Commands  []string `json:"commands"`
}

func settingsOf(o options) settings {
	s := settings{
		RateBPS: o.rateBPS, LatencyMS: o.latency.Milliseconds(), HoldMS: pacerHold.Milliseconds(), Overhead: o.overhead,
		Seeds: o.seeds, Seconds: o.seconds.Seconds(), Warmup: o.warmup.Seconds(), Streams: o.streams,
		StallMS: o.stall.Seconds() * 1000, DelayMS: o.delay.Seconds() * 1000, Late: o.lateness,
	}
	for _, sys := range o.systems {
		if sys.Family == familyQuartet {
			continue
		}
		fake := slot{sys: sys}
		for range sys.Paths {
			fake.near, fake.far = append(fake.near, fake.in), append(fake.far, fake.in)
		}
		receive, send, err := fake.commands(o, 0)
		if err == nil {
			for _, c := range [][]string{receive, send} {
				s.Commands = append(s.Commands, strings.ReplaceAll(strings.Join(c, " "), fake.in.String(), "ADDRESS"))
			}
		}
	}
	return s
}

// lookAtMachine asks the system and the programs who they are.
func lookAtMachine(o options, nice int) machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Nice: nice}
	m.CPU = fieldOf("/proc/cpuinfo", "model name")
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	for _, v := range [][]string{
		{"srt-live-transmit", "-version"}, {"ristsender", "--help"},
		{filepath.Join(o.bin, "quartetd"), "version"}, {filepath.Join(o.bin, "quartet-gateway"), "version"},
	} {
		m.Programs = append(m.Programs, filepath.Base(v[0])+": "+versionLine(v))
	}
	for _, name := range []string{"srt-live-transmit", "ristsender", filepath.Join(o.bin, "quartetd"), filepath.Join(o.bin, "quartet-gateway")} {
		m.Libraries = append(m.Libraries, librariesOf(name))
	}
	return m
}

func fieldOf(file, name string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// versionLine is the first line of what a program says of its version.
func versionLine(argv []string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(strings.ToLower(line), "version") || strings.HasPrefix(line, "quartet") {
			return strings.TrimSpace(line)
		}
	}
	return "unknown"
}

// librariesOf tells which of the libraries that matter a program loads. Debian
// links srt-live-transmit with libsrt's archive, so that none shows: then the
// library within it is that of its own package.
func librariesOf(program string) string {
	name := filepath.Base(program)
	path, err := exec.LookPath(program)
	if err != nil {
		return name + ": not found"
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return name + ": ldd fails"
	}
	return name + ": " + parseLibraries(string(out))
}

// parseLibraries picks libsrt, librist and the crypto libraries from ldd's
// output.
func parseLibraries(text string) string {
	var found []string
	srt := false
	for line := range strings.Lines(text) {
		lib, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, want := range []string{"libsrt", "librist", "libgnutls", "libcrypto", "libmbedcrypto"} {
			if strings.HasPrefix(lib, want) {
				found = append(found, lib)
				srt = srt || want == "libsrt"
			}
		}
	}
	if len(found) == 0 {
		return "none of libsrt, librist, GnuTLS, OpenSSL"
	}
	s := strings.Join(found, ", ")
	if !srt && !strings.Contains(s, "librist") {
		s += " (libsrt is linked in statically)"
	}
	return s
}

// write writes both files.
func (r *report) write(o options) error {
	r.Goals = append(lossGoals(o, r.Loss), costGoals(r)...)
	r.Took = time.Since(r.Started).Round(time.Second).String()
	j, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report.json: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.out, "report.json"), append(j, '\n'), 0o644); err != nil {
		return err
	}
	var b bytes.Buffer
	r.markdown(&b, o)
	return os.WriteFile(filepath.Join(o.out, "report.md"), b.Bytes(), 0o644)
}
