package faults

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/chain"
	"quartet/tests/relay"
)

// The faults that an operator must be told of, with a real quartetd.

const (
	alarmWithin = 2 * time.Second
	clearWithin = 10 * time.Second
)

// F2, its alarms: one path dead, then a whole leg, then three of four.
func TestF2_Alarms(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 202}, nil)
		defer b.Background()()
		b.WaitUp()
		quiet(t, c, b)

		c.Relays[0].SetBoth(relay.Impairment{Dead: true})
		took := c.Eventually(alarmWithin, "an alarm for path 0", func() bool {
			return b.Alarm("path-down", "path/0") || b.Alarm("path-unreported", "path/0")
		})
		t.Logf("one path dead: alarm after %v", took.Round(time.Millisecond))
		c.Relays[1].SetBoth(relay.Impairment{Dead: true})
		took = c.Eventually(alarmWithin, "leg 1 is down", func() bool { return b.Alarm("leg-down", "leg/1") })
		t.Logf("leg dead: alarm after %v", took.Round(time.Millisecond))
		c.Relays[2].SetBoth(relay.Impairment{Dead: true})
		took = c.Eventually(alarmWithin, "an alarm for path 2, and leg 2 has one path left", func() bool {
			return (b.Alarm("path-down", "path/2") || b.Alarm("path-unreported", "path/2")) && b.Alarm("leg-unprotected", "leg/2")
		})
		t.Logf("three of four dead: alarms after %v", took.Round(time.Millisecond))

		for i := range 3 {
			c.Relays[i].SetBoth(c.Impaired(relay.Impairment{}))
		}
		took = c.Eventually(clearWithin, "all alarms cleared", func() bool { return b.Status().Worst == "info" })
		t.Logf("cleared %v after the return", took.Round(time.Millisecond))
	})
}

// F5, its alarm: one raised and one cleared for each thing that fails.
func TestF5_AlarmRaisedAndClearedOnce(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 205}, nil)
		defer b.Background()()
		b.WaitUp()
		quiet(t, c, b)
		for _, r := range c.Relays {
			r.SetBoth(relay.Impairment{Dead: true})
		}
		time.Sleep(5 * time.Second)
		for _, r := range c.Relays {
			r.SetBoth(c.Impaired(relay.Impairment{}))
		}
		c.Eventually(12*time.Second, "all alarms cleared", func() bool { return b.Status().Worst == "info" })
		raised, cleared := map[string]int{}, map[string]int{}
		err := b.Client().Events(context.Background(), "", false, func(e control.Event, _ uint64) error {
			switch e.Kind {
			case "raised":
				raised[e.Condition.ID]++
			case "cleared":
				cleared[e.Condition.ID]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for leg := 1; leg <= 2; leg++ {
			id := fmt.Sprintf("leg-down@leg/%d", leg)
			if raised[id] != 1 || cleared[id] != 1 {
				t.Errorf("%s raised %d times, cleared %d times; want once each (raised %v)", id, raised[id], cleared[id], raised)
			}
		}
	})
}

// F8: one path's rate falls to half of what it needs: the others lose nothing,
// and an alarm comes.
func TestF8_PathAtHalfRate(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: false, Overhead: 12, Seed: 8}, nil)
		stop := b.Background()
		b.WaitUp()
		quiet(t, c, b)
		half := c.Impaired(relay.Impairment{RateBPS: float64(c.Cfg.RateBPS) / 2, QueueMS: 100})
		c.Relays[0].Set(relay.Up, half)
		took := c.Eventually(alarmWithin, "an alarm for path 0", func() bool { return pathAlarm(b, "0") })
		t.Logf("alarm after %v: %s", took.Round(time.Millisecond), b.Alarms())
		time.Sleep(4 * time.Second)
		stop()
		c.Settle()
		everyGatewayIdentical(t, c, 1, 2, 3)
	})
}

// F9: a path MTU of 1280 with no ICMP. The preflight says so plainly, the stream
// flows once fewer TS packets go into a message, and the other paths never
// notice.
func TestF9_PathMTU1280(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Overhead: 12, Seed: 9}, nil)
		stop := b.Background()
		b.WaitUp()
		c.Relays[0].SetBoth(c.Impaired(relay.Impairment{MTU: 1280}))
		c.Eventually(4*time.Second, "an alarm for path 0", func() bool { return b.Alarm("path-mtu", "path/0") })
		p, err := b.Client().Preflight(t.Context(), "0")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("preflight: %+v", p)
		// 1280 − IPv4 20 − UDP 8 − SRT 16 = 1236 bytes: 6 × 188 + 12 + 8 = 1148 fit.
		if p.OK || p.TSPacketsPerMessage != 6 {
			t.Errorf("preflight finds %d TS packets per message, ok %v; want 6 and not ok", p.TSPacketsPerMessage, p.OK)
		}
		if !strings.Contains(fmt.Sprint(p.Steps), "ts_packets_per_message to 6") {
			t.Errorf("the preflight does not say what to do: %+v", p.Steps)
		}
		received := arrivedOn(b, 0)
		b.Doc.Output.TSPacketsPerMessage = p.TSPacketsPerMessage
		b.Write()
		if r, err := b.Client().Reload(t.Context()); err != nil {
			t.Fatal(err)
		} else {
			t.Logf("reload: %v", r.Changed)
		}
		c.Eventually(5*time.Second, "path 0 delivers", func() bool { return arrivedOn(b, 0) > received+100 })
		c.Eventually(clearWithin, "the alarm clears", func() bool { return !b.Alarm("path-mtu", "path/0") })
		stop()
		c.Settle()
		everyGatewayIdentical(t, c, 1, 2, 3)
	})
}

func arrivedOn(b *chain.Box, path int) uint64 {
	if a := b.Status().Paths[path].Arrival; a != nil {
		return a.Received
	}
	return 0
}

// F10: a far end is killed (SIGKILL) and started again: the path is back within
// 3 s, the output of its sibling loses nothing.
func TestF10_GatewayKilled(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Overhead: 12, Seed: 10, Absent: 1}, nil)
		g := c.Gateways[0]
		gw := startGateway(t, c, 0)
		stop := b.Background()
		b.WaitUp()
		time.Sleep(time.Second)
		gw.kill(syscall.SIGKILL)
		time.Sleep(500 * time.Millisecond)
		startGateway(t, c, 0)
		took := c.Eventually(3*time.Second, "path 0 is back", func() bool {
			p := b.Status().Paths[0]
			return p.State == control.PathUp && p.Connects == 2
		})
		t.Logf("path back %v after the gateway was started again", took.Round(time.Millisecond))
		c.Eventually(3*time.Second, "the gateway sends again", func() bool { return time.Duration(0)+c.Now()-g.LastAt() < 100*time.Millisecond })
		time.Sleep(time.Second)
		stop()
		c.Settle()
		everyGatewayIdentical(t, c, 1, 2, 3)
	})
}

// F11: garbage and hostile handshakes at 10,000 packets/s towards a gateway's
// port; the media are unaffected.
func TestF11_GarbageAndHostileHandshakes(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{Peers: true, Overhead: 12, Seed: 11})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		sent := 0
		wg.Go(func() {
			sent = flood(ctx, t, netip.MustParseAddrPort(c.Gateways[0].Config.Listeners[0].Address), 10_000)
		})
		c.Feed(6 * time.Second)
		cancel()
		wg.Wait()
		c.Settle()
		t.Logf("%d hostile packets in 6 s", sent)
		if sent < 40_000 {
			t.Errorf("only %d hostile packets were sent", sent)
		}
		everyGatewayIdentical(t, c)
	})
}

// flood sends garbage, SRT handshakes of all kinds and lies about them, from
// changing ports.
func flood(ctx context.Context, t testing.TB, to netip.AddrPort, perSecond int) (sent int) {
	var conns []*net.UDPConn
	for range 16 {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			t.Error(err)
			return 0
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	buf := make([]byte, 1472)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for ctx.Err() == nil {
		<-tick.C
		for float64(sent) < time.Since(begun).Seconds()*float64(perSecond) {
			n := hostile(buf, sent)
			conns[sent%len(conns)].Write(buf[:n])
			sent++
		}
	}
	return sent
}

// hostile makes one packet: random bytes, or an SRT control packet whose fields
// are half right.
func hostile(buf []byte, n int) int {
	rand.Read(buf[:80])
	switch n % 4 {
	case 0: // garbage of any length
		return 1 + int(buf[0])*5
	case 1: // an induction handshake (SRT header: control bit, type 0)
		clear(buf[:64])
		buf[0] = 0x80
		buf[19], buf[23] = 4, 2 // version 4, extension 2
		buf[26], buf[27] = 0x05, 0xDC
		buf[30], buf[31] = 0x20, 0
		buf[35] = 1
		rand.Read(buf[36:44])
		return 64
	case 2: // a conclusion with a made-up cookie and extensions that lie
		buf[0], buf[1], buf[2], buf[3] = 0x80, 0, 0, 0
		clear(buf[4:16])
		buf[16], buf[17], buf[18], buf[19] = 0, 0, 0, 5
		buf[36], buf[37], buf[38], buf[39] = 0xFF, 0xFF, 0xFF, 0xFF
		buf[64], buf[65], buf[66], buf[67] = 0, 1, 0xFF, 0xFF
		return 80
	default: // data and control packets of a connection that does not exist
		return 60
	}
}

// A reload that lengthens the latency, and one that shortens it, lose nothing.
func TestLatencyChangedWhileRunning(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 12, Seed: 28, Latency: 400 * time.Millisecond, Told: true}, nil)
		stop := b.Background()
		b.WaitUp()
		for _, ms := range []config.Milliseconds{700, 300} {
			b.Doc.Output.LatencyMS = ms
			b.Write()
			if _, err := b.Client().Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, g := range c.Gateways {
				c.Eventually(5*time.Second, fmt.Sprint("gateway ", i, " follows"), func() bool { return g.Status().LatencyMS == float64(ms) })
			}
			time.Sleep(time.Second)
		}
		stop()
		c.Settle()
		everyGatewayIdentical(t, c)
	})
}

// pathAlarm tells whether anything is said about a path.
func pathAlarm(b *chain.Box, path string) bool {
	for _, a := range b.Status().Active {
		if a.Resource == "path/"+path {
			return true
		}
	}
	return false
}

// quiet waits until no alarm is active.
func quiet(t testing.TB, c *chain.Chain, b *chain.Box) {
	t.Helper()
	c.Eventually(15*time.Second, "no alarm is active: "+b.Alarms(), func() bool { return b.Status().Worst == "info" })
}

// gatewayProcess is a quartet-gateway in a process of its own.
type gatewayProcess struct {
	p *chain.Process
}

func (g gatewayProcess) kill(sig syscall.Signal) { g.p.Kill(sig) }

// startGateway starts a real quartet-gateway with the configuration of gateway i
// of the chain.
func startGateway(t testing.TB, c *chain.Chain, i int) gatewayProcess {
	t.Helper()
	doc := c.GatewayConfig(i)
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.json")
	if err := os.WriteFile(file, config.Encode(&doc), 0o600); err != nil {
		t.Fatal(err)
	}
	p := chain.StartProcess(t, filepath.Join(dir, "log"), chain.Program(t, "./cmd/quartet-gateway"), "run", "--config", file)
	c.Eventually(10*time.Second, "the gateway listens", func() bool {
		if p.Ended() {
			t.Fatalf("quartet-gateway ended at its start:\n%s", p.Log())
		}
		return strings.Contains(p.Log(), "msg=listening")
	})
	return gatewayProcess{p}
}
