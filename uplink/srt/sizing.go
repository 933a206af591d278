package srt

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPackets bounds a socket's buffers (256 Ki packets are 386 MB).
	maxPackets = 1 << 18
	// sizedFor is the payload of a packet by which buffers are reckoned.
	sizedFor = TSPayload
	// perPacket is what libsrt counts for one packet of the usual MSS.
	perPacket = defaultMSS - udpHeaders
	// kernelHold is how long the kernel's UDP buffer must hold the stream while
	// libsrt's thread is not scheduled.
	kernelHold = 50 * time.Millisecond
)

// PacketsNeeded is how many packets a buffer must hold for a stream of bitrate
// bit/s, latency and round trip rtt: rate · (latency + rtt) / (8 · 1316), and a
// quarter more for retransmissions and bursts.
func PacketsNeeded(bitrate int64, latency, rtt time.Duration) int {
	if bitrate <= 0 {
		return 0
	}
	n := float64(bitrate) * (latency + rtt).Seconds() / (8 * sizedFor) * 1.25
	if n > 1<<30 {
		return 1 << 30
	}
	return int(n) + 1
}

// packets is PacketsNeeded for these options, whose messages may be shorter.
func (o Options) packets(bitrate int64, rtt time.Duration) int {
	n := PacketsNeeded(bitrate, o.Latency, rtt)
	if o.PayloadSize < sizedFor {
		n = n*sizedFor/max(1, o.PayloadSize) + 1
	}
	return n
}

// kernelBytes is the least UDP buffer for a stream, with SRT, UDP and IP headers.
func kernelBytes(bitrate int64) int {
	n := float64(bitrate) / 8 * kernelHold.Seconds() * perPacket / sizedFor
	if n > 1<<30 {
		return 1 << 30
	}
	return max(65536, int(n))
}

// Sized returns o with FC and the buffers that are left zero made large enough
// for a stream of bitrate bit/s over a round trip of rtt, never smaller than
// libsrt's defaults. What is set already stays, for Check to judge. Messages are
// taken to be 1316 bytes long, or PayloadSize if that is less: set it when a
// stream is sent in shorter ones.
func (o Options) Sized(bitrate int64, rtt time.Duration) Options {
	d := o.withDefaults()
	n := max(d.packets(bitrate, rtt), defaultBufPackets)
	if o.FC == 0 {
		o.FC = max(n, defaultFC)
	}
	if o.SndBuf == 0 {
		o.SndBuf = n * (d.MSS - udpHeaders)
	}
	if o.RcvBuf == 0 {
		o.RcvBuf = n * (d.MSS - udpHeaders)
	}
	if o.UDPSndBuf == 0 {
		o.UDPSndBuf = max(kernelBytes(bitrate), 65536)
	}
	if o.UDPRcvBuf == 0 {
		o.UDPRcvBuf = max(4*kernelBytes(bitrate), defaultBufPackets*defaultMSS)
	}
	return o
}

// Check refuses options whose buffers cannot hold a stream of bitrate bit/s for
// the latency and a round trip of rtt, or whose rate limits lie below the
// stream. The error names the setting and the value that would fit.
func (o Options) Check(bitrate int64, rtt time.Duration) error {
	if err := o.Validate(); err != nil {
		return err
	}
	d := o.withDefaults()
	need := d.packets(bitrate, rtt)
	what := fmt.Sprintf("%s for %v latency and %v round trip", megabits(bitrate), d.Latency, rtt)
	tooSmall := func(name string, value, want any) error {
		return &OptionError{Option: name, Value: fmt.Sprint(value), Remedy: fmt.Sprintf("too small for %s: needs at least %v", what, want)}
	}
	unit := d.MSS - udpHeaders
	switch {
	case bitrate <= 0:
		return &OptionError{Option: "bitrate", Value: fmt.Sprint(bitrate), Remedy: "must be the stream's bit/s"}
	case rtt < 0:
		return &OptionError{Option: "rtt", Value: rtt.String(), Remedy: "must not be negative"}
	case need > maxPackets:
		fits := time.Duration(float64(maxPackets) / 1.25 * 8 * sizedFor / float64(bitrate) * float64(time.Second))
		return &OptionError{Option: "latency", Value: d.Latency.String(), Remedy: fmt.Sprintf("%s would need %d packets of buffer, more than %d: use at most %v", what, need, maxPackets, max(0, fits-rtt).Round(time.Millisecond))}
	case d.FC < need:
		return tooSmall("fc", d.FC, need)
	case d.RcvBuf/unit < need:
		return tooSmall("rcvbuf", d.RcvBuf, need*unit)
	case d.SndBuf/unit < need:
		return tooSmall("sndbuf", d.SndBuf, need*unit)
	case d.UDPRcvBuf > 0 && d.UDPRcvBuf < kernelBytes(bitrate):
		return tooSmall("udprcvbuf", d.UDPRcvBuf, kernelBytes(bitrate))
	case d.UDPSndBuf > 0 && d.UDPSndBuf < kernelBytes(bitrate):
		return tooSmall("udpsndbuf", d.UDPSndBuf, kernelBytes(bitrate))
	}
	// Each packet takes 44 bytes of headers from the rate libsrt counts.
	gross := (bitrate*(sizedFor+udpHeaders+srtHeader)/sizedFor + 7) / 8
	switch {
	case d.MaxBW > 0 && d.MaxBW < gross:
		return tooSmall("maxbw", d.MaxBW, gross)
	case d.InputBW > 0 && d.InputBW < (bitrate+7)/8:
		return tooSmall("inputbw", d.InputBW, (bitrate+7)/8)
	}
	return nil
}

// CheckKernel refuses a stream of bitrate bit/s when the kernel's limits
// (net.core.rmem_max and wmem_max, bytes) grant less UDP buffer than 50 ms of it.
// One listener's port carries all its callers: give their sum.
func CheckKernel(bitrate int64, rmemMax, wmemMax int) error {
	need := kernelBytes(bitrate)
	for _, l := range []struct {
		name  string
		value int
	}{{"net.core.rmem_max", rmemMax}, {"net.core.wmem_max", wmemMax}} {
		if l.value > 0 && l.value < need {
			return &OptionError{Option: l.name, Value: strconv.Itoa(l.value), Remedy: fmt.Sprintf("too small for %s: set it to at least %d (sysctl -w %s=%d)", megabits(bitrate), need, l.name, need)}
		}
	}
	return nil
}

// KernelLimits reads net.core.rmem_max and net.core.wmem_max, bytes; zero where
// the system does not tell.
func KernelLimits() (rmemMax, wmemMax int) {
	read := func(name string) int {
		b, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			return 0
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return 0
		}
		return n
	}
	return read("rmem_max"), read("wmem_max")
}

func megabits(bps int64) string {
	return strconv.FormatFloat(float64(bps)/1e6, 'f', -1, 64) + " Mbit/s"
}
