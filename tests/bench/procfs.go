package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, which /proc counts in on every Linux that Go
// supports.
const ticksPerSecond = 100

// parseStat reads the CPU seconds (user and system) of /proc/PID/stat. The
// second field is the program's name in brackets and may hold anything.
func parseStat(text []byte) (seconds float64, err error) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return 0, errors.New("stat: no name in brackets")
	}
	// Fields 14 and 15 of proc(5), counted from 3 after the name.
	fields := bytes.Fields(text[i+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat: %d fields after the name, want at least 13", len(fields))
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		seconds += float64(n) / ticksPerSecond
	}
	return seconds, nil
}

// memory of a process, MB of 10⁶ bytes.
type memory struct {
	PeakMB float64 `json:"peak_mb"` // VmHWM: the most that was resident, program text and libraries included
	AnonMB float64 `json:"anon_mb"` // RssAnon: resident now and of this process alone
}

// parseMemory reads /proc/PID/status.
func parseMemory(text []byte) (m memory, err error) {
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		var into *float64
		switch name {
		case "VmHWM":
			into = &m.PeakMB
		case "RssAnon":
			into = &m.AnonMB
		default:
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		if err != nil {
			return m, fmt.Errorf("status: %s: %w", name, err)
		}
		*into = kb * 1024 / 1e6
	}
	if m.PeakMB == 0 {
		return m, errors.New("status: no VmHWM")
	}
	return m, nil
}

// parseDrops reads /proc/net/udp: the datagrams dropped by full buffers, by
// socket inode.
func parseDrops(text []byte) map[uint64]uint64 {
	drops := map[uint64]uint64{}
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		// sl local rem st tx:rx tr:when retrnsmt uid timeout inode ref pointer drops
		if len(f) < 13 {
			continue
		}
		inode, err1 := strconv.ParseUint(string(f[9]), 10, 64)
		n, err2 := strconv.ParseUint(string(f[12]), 10, 64)
		if err1 == nil && err2 == nil {
			drops[inode] += n
		}
	}
	return drops
}

// parseIdle reads the first line of /proc/stat: time of all processors, and
// what of it was idle, in ticks.
func parseIdle(text []byte) (idle, all float64, err error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 9 || string(f[0]) != "cpu" {
		return 0, 0, errors.New("stat: no line of all processors")
	}
	for i, v := range f[1:9] { // the guests' time after them is in user already
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("stat: %w", err)
		}
		all += n
		if i == 3 || i == 4 { // idle, iowait
			idle += n
		}
	}
	return idle, all, nil
}

// cpuSeconds of a running process; 0 if it has ended.
func cpuSeconds(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	s, _ := parseStat(b)
	return s
}

// memoryOf a running process.
func memoryOf(pid int) memory {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	m, _ := parseMemory(b)
	return m
}

// udpDrops is how many datagrams the kernel has dropped on sockets of these
// processes.
func udpDrops(pids []int) (n uint64) {
	var drops map[uint64]uint64
	for _, file := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for inode, d := range parseDrops(b) {
			if d > 0 {
				if drops == nil {
					drops = map[uint64]uint64{}
				}
				drops[inode] += d
			}
		}
	}
	if drops == nil {
		return 0
	}
	for _, pid := range pids {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, l := range links {
			to, err := os.Readlink(l)
			if err != nil {
				continue
			}
			if s, ok := strings.CutPrefix(to, "socket:["); ok {
				inode, _ := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 64)
				n += drops[inode]
			}
		}
	}
	return n
}

// cpuUse measures how busy the whole machine is between two looks.
type cpuUse struct{ idle, all float64 }

func lookAtCPU() cpuUse {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuUse{}
	}
	idle, all, _ := parseIdle(b)
	return cpuUse{idle, all}
}

// idleShare since an earlier look.
func (c cpuUse) idleShare(before cpuUse) float64 {
	if c.all <= before.all {
		return 0
	}
	return (c.idle - before.idle) / (c.all - before.all)
}
