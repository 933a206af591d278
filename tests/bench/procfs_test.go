package main

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	const line = "4242 (srt live) (x)) S 1 4242 4242 0 -1 4194304 900 0 0 0 150 25 0 0 20 0 5 0 1234 1000000 500 1 2 3"
	s, err := parseStat([]byte(line))
	if err != nil || s != 1.75 {
		t.Errorf("%v s, %v; want 1.75", s, err)
	}
	for _, bad := range []string{"", "1 (a) S 1 2", "1 (a) S 1 1 1 0 -1 1 1 1 1 1 x 25 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if cpuSeconds(os.Getpid()) < 0 || cpuSeconds(-1) != 0 {
		t.Error("own CPU time, or that of no process")
	}
}

func TestParseMemory(t *testing.T) {
	m, err := parseMemory([]byte("Name:\tx\nVmHWM:\t   40000 kB\nVmRSS:\t 39000 kB\nRssAnon:\t   20000 kB\n"))
	if err != nil || m.PeakMB != 40.96 || m.AnonMB != 20.48 {
		t.Errorf("%+v, %v; want 40.96 and 20.48", m, err)
	}
	if _, err := parseMemory([]byte("Name:\tx\n")); err == nil {
		t.Error("a status without VmHWM was taken")
	}
	if memoryOf(os.Getpid()).PeakMB <= 0 {
		t.Error("own memory is not known")
	}
}

func TestParseDrops(t *testing.T) {
	const text = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77001 2 0000000000000000 12
  101: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77002 2 0000000000000000 0
broken line
`
	d := parseDrops([]byte(text))
	if len(d) != 2 || d[77001] != 12 || d[77002] != 0 {
		t.Errorf("%v, want 12 of socket 77001", d)
	}
	if n := udpDrops([]int{os.Getpid()}); n != 0 {
		t.Errorf("%d drops of this process, which has no socket", n)
	}
}

func TestParseIdle(t *testing.T) {
	idle, all, err := parseIdle([]byte("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n"))
	if err != nil || idle != 850 || all != 1000 {
		t.Errorf("%v of %v, %v; want 850 of 1000", idle, all, err)
	}
	if s := (cpuUse{950, 1200}).idleShare(cpuUse{850, 1000}); s != 0.5 {
		t.Errorf("idle share %v, want 0.5", s)
	}
	if _, _, err := parseIdle([]byte("intr 5")); err == nil {
		t.Error("a line of no processor was taken")
	}
}
