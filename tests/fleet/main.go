package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quartet/device/telemetry/home"
	"quartet/tests/collector"
)

func main() {
	program := flag.String("collector", "build/otelcol/otelcol", "the Collector; make test-collector builds it")
	boxes := flag.Int("boxes", 1000, "how many boxes")
	length := flag.Duration("for", 2*time.Minute, "how long all is well")
	away := flag.Duration("away", 30*time.Second, "how long the Collector is away then")
	interval := flag.Duration("interval", 10*time.Second, "of the metrics")
	flag.Parse()
	if err := play(context.Background(), *program, *boxes, *length, *away, *interval); err != nil {
		log.Fatal(err)
	}
}

// stopwatch times each request.
type stopwatch struct {
	http.RoundTripper
	f *figures
}

func (s stopwatch) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	resp, err := s.RoundTripper.RoundTrip(r)
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if err != nil {
		s.f.failed++
	} else {
		s.f.took = append(s.f.took, time.Since(begin))
		s.f.bytes += r.ContentLength
	}
	return resp, err
}

// figures is what is counted in a phase.
type figures struct {
	mu     sync.Mutex
	took   []time.Duration
	failed int
	bytes  int64
}

func (f *figures) take() (took []time.Duration, failed int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	took, failed, bytes = f.took, f.failed, f.bytes
	f.took, f.failed, f.bytes = nil, 0, 0
	slices.Sort(took)
	return took, failed, bytes
}

func play(ctx context.Context, program string, n int, length, away, interval time.Duration) error {
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ca, err := collector.NewCA()
	if err != nil {
		return err
	}
	c, err := collector.New(program, dir, ca, collector.Options{Format: "proto", Compression: "zstd"})
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = c.Stop() }()

	var f figures
	fleet := make([]*box, n)
	couriers := make([]*home.Courier, n)
	run, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	for i := range fleet {
		b := newBox(i)
		cert, err := ca.Issue(b.serial, false)
		if err != nil {
			cancel()
			return err
		}
		conf := &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		client, err := home.NewClient(home.Settings{Endpoint: "https://" + c.Address, TLS: tlsOf(conf), Agent: "quartet/fleet",
			Transport: stopwatch{&http.Transport{TLSClientConfig: conf}, &f}})
		if err != nil {
			cancel()
			return err
		}
		fleet[i] = b
		couriers[i] = &home.Courier{Signal: home.SignalMetrics, Queue: b, Most: 40, Random: rand.Float64}
		group.Go(func() { b.run(run, client, couriers[i], interval) })
	}
	wait := time.Sleep
	wait(2 * interval) // all have connected
	f.take()
	before := usage(c.PID())
	wait(length)
	took, failed, bytes := f.take()
	after := usage(c.PID())
	queued, sent := 0, uint64(0)
	for i, b := range fleet {
		b.mu.Lock()
		queued += len(b.queue)
		b.mu.Unlock()
		sent += couriers[i].Stats().Accepted
	}
	if len(took) == 0 {
		cancel()
		return fmt.Errorf("no request came through: %+v\n%s", couriers[0].Stats(), c.Log.String())
	}
	fmt.Printf("# %d boxes against one Collector\n\n%d series of a box each %v, mutual TLS, one connection a box.\n\n| | |\n| --- | --- |\n", n, fleet[0].points, interval)
	row := func(name, format string, a ...any) { fmt.Printf("| %s | %s |\n", name, fmt.Sprintf(format, a...)) }
	s := length.Seconds()
	row("requests", "%.0f a second, %d failed", float64(len(took))/s, failed)
	row("points", "%.0f a second", float64(len(took)*fleet[0].points)/s)
	row("on the wire", "%.1f Mbit/s, %.1f kB a request: %.0f MB a day for a box", float64(bytes)*8/s/1e6, float64(bytes)/float64(len(took))/1e3,
		float64(bytes)/s*86400/float64(n)/1e6)
	row("answer", "median %v, 99th percentile %v, longest %v", ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(took[len(took)-1]))
	row("Collector's processor time", "%.0f %% of a core", (after.cpu-before.cpu)/s*100)
	row("Collector's memory", "%.0f MB resident", after.rss/1e6)
	row("store", "%.1f kB a record, protobuf and zstd", float64(size(c.Store))/float64(sent)/1e3)
	row("records waiting at the end", "%d", queued)

	// The Collector goes, and all come back to it.
	if err := c.Stop(); err != nil {
		cancel()
		return err
	}
	f.take()
	wait(away)
	if err := c.Start(ctx); err != nil {
		cancel()
		return err
	}
	back := time.Now()
	var half, all time.Duration
	for time.Since(back) < 10*time.Minute && all == 0 {
		wait(250 * time.Millisecond)
		done := 0
		for _, b := range fleet {
			b.mu.Lock()
			if b.last.After(back) || len(b.queue) == 0 && b.behind.After(back) {
				done++
			}
			b.mu.Unlock()
		}
		if half == 0 && done >= n/2 {
			half = time.Since(back)
		}
		if done == n {
			all = time.Since(back)
		}
	}
	peak := usage(c.PID())
	took, failed, _ = f.take()
	row(fmt.Sprintf("after %v without the Collector", away), "half of the boxes had caught up after %v, all after %v", ms(half), ms(all))
	row("requests that failed in that time", "%d, %.1f a box", failed, float64(failed)/float64(n))
	row("answer while catching up", "99th percentile %v", ms(took[len(took)*99/100]))
	row("Collector's memory then", "%.0f MB resident", peak.rss/1e6)
	lost := 0
	cancel()
	group.Wait()
	for i, b := range fleet {
		if couriers[i].Stats().Accepted+uint64(len(b.queue)) != b.number {
			lost++
		}
	}
	row("boxes that lost a record", "%d", lost)
	row("points that the Collector counted", "%s", counted(c.Metrics))
	return nil
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// process is what a process has used.
type process struct{ cpu, rss float64 }

func usage(pid int) (p process) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) > 21 {
		u, _ := strconv.ParseFloat(f[11], 64)
		s, _ := strconv.ParseFloat(f[12], 64)
		r, _ := strconv.ParseFloat(f[21], 64)
		p = process{(u + s) / 100, r * float64(os.Getpagesize())}
	}
	return p
}

func size(dir string) (sum int64) {
	list, _ := filepath.Glob(dir + "/metrics*")
	for _, name := range list {
		if fi, err := os.Stat(name); err == nil {
			sum += fi.Size()
		}
	}
	return sum
}

// counted asks the Collector what it took in since its restart.
func counted(address string) string {
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "otelcol_receiver_") && strings.Contains(name, "metric_points") {
			short, _, _ := strings.Cut(name, "{")
			found = append(found, short+" "+value)
		}
	}
	return strings.Join(found, ", ") + " since its restart"
}
