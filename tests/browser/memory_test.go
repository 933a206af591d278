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
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/tests/tsgen"
)

// TestMemory: four paths of 20 Mbit/s, a browser that watches, and people who
// sign in, with right and with wrong passwords. quartetd holds 40 MB at most,
// quartet-manage 64 MB, at their peaks.
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
		time.Sleep(100 * time.Millisecond)
	}
	if answers[http.StatusUnauthorized] == 0 || len(answers) < 2 {
		t.Errorf("signing in was answered %v; neither refused and slowed down?", answers)
	}
	p.sees("On air")
	media, manage := peak(t, b.media), peak(t, b.manage)
	t.Logf("peaks of RSS at 4 × 20 Mbit/s: quartetd %.1f MB, quartet-manage %.1f MB; signing in was answered %v", media, manage, answers)
	if media > 40 || manage > 64 {
		t.Errorf("quartetd held %.1f MB and quartet-manage %.1f MB, want 40 and 64", media, manage)
	}
}

// peak is the most that a process has had resident, in MB (10⁶ bytes).
func peak(t *testing.T, p *process) float64 {
	t.Helper()
	for line := range strings.Lines(string(mustRead(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)))) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return float64(kib) * 1024 / 1e6
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
