package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/chain"
	"quartet/tests/child"
	"quartet/uplink/rtp"
)

// loadVariable makes the test binary a program that does nothing but take
// processor time ("cpu 80": percent of a core) or memory ("memory 512": MiB).
const loadVariable = "QUARTET_TEST_LOAD"

// loadProgram is that program. It ends when its parent does.
func loadProgram(what string) {
	kind, number, _ := strings.Cut(what, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	if kind == "memory" {
		// Every page is written over and over, so that none can be taken away unseen.
		b := make([]byte, n<<20)
		for round := byte(0); ; round++ {
			for i := 0; i < len(b); i += 4096 {
				b[i] = round
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	const period = 50 * time.Millisecond
	busy := period * time.Duration(n) / 100
	for sum := uint64(0); ; {
		begun := time.Now()
		for time.Since(begun) < busy {
			for i := range uint64(1000) {
				sum += i * i
			}
		}
		time.Sleep(period - busy)
	}
}

// startLoad takes a share of every core, at the priority of the programs under
// test, and half of the memory that is free, up to a bound.
func startLoad(t testing.TB, percent int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(what string) {
		c := exec.Command(program)
		c.Env = append(os.Environ(), loadVariable+"="+what)
		done := make(chan struct{})
		if err := child.Start(c, func(error) { close(done) }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill(); <-done })
	}
	for range runtime.NumCPU() {
		start(fmt.Sprint("cpu ", percent))
	}
	start(fmt.Sprint("memory ", min(freeMiB(t)/2, 1024)))
}

// freeMiB is the memory that can be had.
func freeMiB(t testing.TB) int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		t.Fatal("/proc/meminfo does not say what is available")
	}
	kib, err := strconv.Atoi(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// F23: 80 % of every core is taken by others, and memory is short. What is
// passed through is whole at every gateway.
func TestF23_LoadPassedThrough(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 23, Latency: 500 * time.Millisecond}, nil)
		stop := b.Background()
		b.WaitUp()
		startLoad(t, 80)
		time.Sleep(8 * time.Second)
		stop()
		c.Settle()
		everyGatewayIdentical(t, c)
	})
}

// F23, of what the box encodes: no packet is lost on the way, the engine is not
// started again, and its picture is on air all the time.
func TestF23_LoadEncoded(t *testing.T) {
	engine := chain.Program(t, "./cmd/quartet-engine")
	t.Setenv("PATH", filepath.Dir(engine)+":"+os.Getenv("PATH"))
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 23, RateBPS: 3_000_000, Latency: 500 * time.Millisecond}, func(d *config.Box) {
			d.Input = config.Default[config.Input]()
			d.Input.Type, d.Input.URL = config.TypeTest, "test://bars"
			d.Encoder.Width, d.Encoder.Height, d.Encoder.BitrateKbps = 320, 180, 1500
		})
		for _, g := range c.Gateways {
			g.Keep = true
		}
		b.WaitUp()
		c.Eventually(20*time.Second, "the engine's picture", func() bool {
			in := b.Status().Input
			return in.State == control.InputOK && in.Engine.OnAir == "engine"
		})
		time.Sleep(time.Second)
		before, from := b.Status().Input.Engine, make([]int, len(c.Gateways))
		for i, g := range c.Gateways {
			from[i] = len(g.Captured())
		}
		startLoad(t, 80)
		time.Sleep(8 * time.Second)
		var whole [][][]byte
		for i, g := range c.Gateways {
			whole = append(whole, g.Captured()[from[i]:])
		}
		after := b.Status().Input.Engine
		t.Logf("%d frames, %d late, %d repeated, slate for %.1f s; %d packets at the first gateway", after.Frames-before.Frames,
			after.LateFrames-before.LateFrames, after.Repeated-before.Repeated, after.SlateSeconds-before.SlateSeconds, len(whole[0]))
		if after.Starts != before.Starts || after.SlateSeconds != before.SlateSeconds {
			t.Errorf("the engine was started %d times more, the slate on air for %.2f s", after.Starts-before.Starts, after.SlateSeconds-before.SlateSeconds)
		}
		sameEverywhere(t, whole)
	})
}

// sameEverywhere requires that each gateway's packets follow each other without
// a gap, carry a transport stream without a hole, and are the others'.
func sameEverywhere(t testing.TB, gateways [][][]byte) {
	t.Helper()
	byNumber := map[uint16][]byte{}
	for i, packets := range gateways {
		var cc mpegts.Continuity
		last := -1
		for _, p := range packets {
			if len(p) <= rtp.HeaderSize {
				t.Fatalf("gateway %d: a packet of %d bytes", i, len(p))
			}
			n := int(p[2])<<8 | int(p[3])
			if last >= 0 && n != (last+1)&0xFFFF {
				t.Errorf("gateway %d: packet %d follows %d", i, n, last)
			}
			last = n
			if other, ok := byNumber[uint16(n)]; ok && !slices.Equal(other, p) {
				t.Errorf("gateway %d: packet %d differs", i, n)
			}
			byNumber[uint16(n)] = p
			for ts := p[rtp.HeaderSize:]; len(ts) >= mpegts.PacketSize; ts = ts[mpegts.PacketSize:] {
				if cc.Check(mpegts.Packet(ts[:mpegts.PacketSize])) == mpegts.Broken {
					t.Errorf("gateway %d: a hole in the transport stream in packet %d", i, n)
				}
			}
		}
		if len(packets) < 500 {
			t.Errorf("gateway %d: only %d packets", i, len(packets))
		}
	}
}
