//go:build qemu

package qemu

import (
	"flag"
	"strconv"
	"strings"
	"testing"
	"time"
)

var hour = flag.Duration("hour", time.Hour, "how long TestFacts looks at the box's memory")

// TestFacts measures what docs/image.md tells: from power to the first packet on
// the wire, and memory once the box has sent for an hour.
func TestFacts(t *testing.T) {
	needFull(t)
	b := sending(t, "LAB-0050")
	b.run("sync")
	b.cut()
	time.Sleep(2 * time.Duration(b.studio.doc.Output.LatencyMS) * time.Millisecond) // what the gateways still hold
	before := b.studio.receivers[0].look().packets
	begun := time.Now()
	b.guest = boot(t, b.disk)
	eventually(t, startLimit, "the first packet", func() bool { return b.studio.receivers[0].look().packets > before })
	t.Logf("power to the first packets out of a gateway: %.1f s, %.1f s of it the receiver's delay", time.Since(begun).Seconds(), float64(b.studio.doc.Output.LatencyMS)/1000)
	b.up(startLimit)
	b.studio.flowing(2 * time.Minute)
	lost := uint64(0)
	for i := range b.studio.receivers {
		if v, err := b.studio.status(i); err == nil {
			lost += v.Merged.Lost
		}
	}
	first := b.memory(t, "at the start")
	for end := time.Now().Add(*hour); time.Now().Before(end); {
		select {
		case <-time.After(min(time.Until(end), 10*time.Minute)):
		case <-t.Context().Done():
			return
		}
		b.memory(t, "after "+hour.String()+" less "+time.Until(end).Round(time.Second).String())
	}
	last := b.memory(t, "at the end")
	for unit, kib := range last {
		more := 16 << 10
		if unit == "all" { // the system's log is in memory, up to 32 MB
			more = 48 << 10
		}
		if kib > first[unit]+more {
			t.Errorf("%s has grown from %d to %d KiB in %v", unit, first[unit], kib, *hour)
		}
	}
	for i := range b.studio.receivers {
		if v, err := b.studio.status(i); err == nil {
			lost -= v.Merged.Lost
		}
	}
	if lost != 0 {
		t.Errorf("packets were lost: %d", -int64(lost))
	}
}

// memory is what our programs hold, in KiB by name.
func (b *box) memory(t *testing.T, when string) map[string]int {
	t.Helper()
	kib := map[string]int{}
	const look = `for p in quartetd quartet-manage quartet-netd; do
	sed -n "s/^VmRSS:[^0-9]*\([0-9]*\).*/$p \1/p; s/^RssAnon:[^0-9]*\([0-9]*\).*/$p,anonymous \1/p" /proc/$(pidof $p)/status
done
echo all $(free -k | awk '/^Mem/ {print $3}')`
	for line := range strings.Lines(b.run(look)) {
		if f := strings.Fields(line); len(f) == 2 {
			kib[f[0]], _ = strconv.Atoi(f[1])
		}
	}
	t.Logf("%s, KiB: %v", when, kib)
	if len(kib) != 7 {
		t.Fatal("not all of our programs run")
	}
	return kib
}
