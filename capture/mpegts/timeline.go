package mpegts

import "time"

// Timeline says when each packet of a finished stretch of stream (a file) is
// due, by the PCRs of one PID.
type Timeline struct {
	pid     PID
	packets int64
}

// NewTimeline returns an empty Timeline clocked by pid; 0 means the first PID
// that carries a PCR.
func NewTimeline(pid PID) *Timeline { return &Timeline{pid: pid} }

// Add takes the next packets, n·188 bytes.
func (t *Timeline) Add(ts []byte) { t.packets += int64(len(ts) / PacketSize) }

// PCRPID returns the PID that is the clock, false when no PCR has been seen.
func (t *Timeline) PCRPID() (PID, bool) { return t.pid, t.pid != 0 }

// Packets returns how many packets were added.
func (t *Timeline) Packets() int64 { return t.packets }

// Ticks returns the duration of one pass in 27 MHz ticks: from the first
// packet to the instant at which the packet behind the last one would be due,
// which is when the first one comes again. 0 means that no clock was found.
func (t *Timeline) Ticks() int64 { return 0 }

// Duration returns Ticks as time.
func (t *Timeline) Duration() time.Duration { return TicksToDuration(t.Ticks()) }

// At returns when packet i is due, in 27 MHz ticks after packet 0. i may go
// beyond the last packet: passes then follow each other.
func (t *Timeline) At(i int64) int64 { return 0 }
