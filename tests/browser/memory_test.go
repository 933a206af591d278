//go:build browser

package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/tests/tsgen"
)

// TestMemory: four paths of 20 Mbit/s, a browser that watches, and people who
// sign in, with right and with wrong passwords. quartetd holds 40 MB,
// quartet-manage 64 MB, in the median; a quarter more is a fault on any machine:
// one that is busy lets packets and garbage wait.
func TestMemory(t *testing.T) {
	const rate = 20_000_000
	loop := filepath.Join(t.TempDir(), "loop.ts")
	if err := os.WriteFile(loop, tsgen.New(rate, 5).Next(nil, rate/8/tsgen.PacketSize*4), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBoxOf(t, func(d *config.Box) {
		d.Input.Type, d.Input.URL = config.TypeFile, "file://"+loop
		d.Encoder = config.Default[config.Box]().Encoder
		d.Output.MaxBitrateKbps = rate / 1000
	})
	p := open(t, openBrowser(t), b.base)
	p.claim(b)
	p.sees("On air")

	answers := map[int]int{}
	var media, manage []float64
	for n, end := 0, time.Now().Add(30*time.Second); time.Now().Before(end); n++ {
		pass := password
		if n%3 > 0 {
			pass = another
		}
		body, _ := json.Marshal(map[string]string{"user": "ada", "password": pass})
		r, err := client.Post(b.base+"/api/v1/session", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		answers[r.StatusCode]++
		media, manage = append(media, memory(t, b.media, "VmRSS:")), append(manage, memory(t, b.manage, "VmRSS:"))
		time.Sleep(100 * time.Millisecond)
	}
	if answers[http.StatusUnauthorized] == 0 || len(answers) < 2 {
		t.Errorf("signing in was answered %v; neither refused and slowed down?", answers)
	}
	p.sees("On air")
	slices.Sort(media)
	slices.Sort(manage)
	held, kept := media[len(media)/2], manage[len(manage)/2]
	t.Logf("RSS at 4 × 20 Mbit/s, median and peak: quartetd %.1f and %.1f MB, quartet-manage %.1f and %.1f MB; signing in was answered %v",
		held, memory(t, b.media, "VmHWM:"), kept, memory(t, b.manage, "VmHWM:"), answers)
	more := 1.25
	if *quiet {
		more = 1
	}
	if held > 40*more || kept > 64*more {
		t.Errorf("quartetd held %.1f MB and quartet-manage %.1f MB, want 40 and 64", held, kept)
	}
}

// memory is what a process has resident (VmRSS), or has had at most (VmHWM), in
// MB (10⁶ bytes).
func memory(t *testing.T, p *process, field string) float64 {
	t.Helper()
	for line := range strings.Lines(string(mustRead(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)))) {
		if v, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return float64(kib) * 1024 / 1e6
		}
	}
	t.Fatalf("no %s", field)
	return 0
}
