package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// packetResult is part five: the sender's packet path (packetize, tag, encode,
// queue on four paths) by its own benchmark.
type packetResult struct {
	NSPerPacket []float64 `json:"ns_per_packet"` // of each run
	Median      float64   `json:"median_ns"`
	Allocs      float64   `json:"allocs_per_packet"` // the most of any run
	Bytes       float64   `json:"bytes_per_packet"`
}

const packetBenchmark = "BenchmarkPacketPath"

// measurePacketPath runs the package's benchmark from the module's folder.
func measurePacketPath(ctx context.Context, o options) (*packetResult, error) {
	count := "6"
	if o.quick {
		count = "2"
	}
	say("packet path: %s in ./uplink", packetBenchmark)
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+packetBenchmark+"$", "-benchmem", "-count", count, "./uplink")
	if os.Getenv("CGO_LDFLAGS") == "" { // not called by make, which points it at libsrt
		if lib, err := filepath.Abs(filepath.Join(o.bin, "lib")); err == nil {
			cmd.Env = append(os.Environ(), "CGO_LDFLAGS=-L"+lib)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("packet path: go test: %w\n%s", err, out)
	}
	return parseBench(string(out))
}

// parseBench reads what `go test -bench -benchmem` prints:
//
//	BenchmarkPacketPath-2   512345   2345 ns/op   561.23 MB/s   0 B/op   0 allocs/op
func parseBench(text string) (*packetResult, error) {
	r := new(packetResult)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != packetBenchmark && !strings.HasPrefix(f[0], packetBenchmark+"-") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("packet path: %q in %q", f[i], strings.TrimSpace(line))
			}
			switch f[i+1] {
			case "ns/op":
				r.NSPerPacket = append(r.NSPerPacket, v)
			case "allocs/op":
				r.Allocs = max(r.Allocs, v)
			case "B/op":
				r.Bytes = max(r.Bytes, v)
			}
		}
	}
	if len(r.NSPerPacket) == 0 {
		return nil, errors.New("packet path: the benchmark printed no figure")
	}
	r.Median = median(r.NSPerPacket)
	return r, nil
}
