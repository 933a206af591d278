package sdi

import (
	"encoding/binary"
	"fmt"
)

// The structures of linux/videodev2.h (kernel 6.1, UAPI: they do not change) as
// bytes, since two of them are packed. 64-bit Linux; amd64 and arm64 lay them
// out alike. layout_test.go compares all of this with the header.
const (
	capabilitySize   = 104
	inputSize        = 80
	timingsSize      = 132 // packed
	timingsCapSize   = 144
	eventSize        = 136
	subscriptionSize = 32

	// v4l2_capability
	capDriver, capCard, capBus, capAll, capDevice = 0, 16, 48, 84, 88
	// v4l2_input
	inputIndex, inputName, inputType, inputStatus, inputCaps = 0, 4, 36, 56, 60
	// v4l2_dv_timings, bt begins at 4
	dvType, dvWidth, dvHeight, dvInterlaced, dvClock      = 0, 4, 8, 12, 20
	dvHFront, dvHSync, dvHBack                            = 28, 32, 36
	dvVFront, dvVSync, dvVBack                            = 40, 44, 48
	dvILFront, dvILSync, dvILBack, dvStandards, dvFlagsAt = 52, 56, 60, 64, 68
	// v4l2_dv_timings_cap, bt begins at 16
	capMinWidth, capMaxWidth, capMinHeight, capMaxHeight = 16, 20, 24, 28
	capMinClock, capMaxClock, capStandards, capScans     = 32, 40, 48, 52
	// v4l2_event
	eventType, eventChanges, eventPending = 0, 8, 72
)

// Direction and size of an ioctl, as asm-generic/ioctl.h composes them.
const (
	read, write = 2, 1
	letter      = 'V'
)

func ioc(direction, number, size uintptr) uintptr {
	return direction<<30 | size<<16 | letter<<8 | number
}

var (
	queryCap       = ioc(read, 0, capabilitySize)
	enumInput      = ioc(read|write, 26, inputSize)
	getInput       = ioc(read, 38, 4)
	setTimings     = ioc(read|write, 87, timingsSize)
	getTimings     = ioc(read|write, 88, timingsSize)
	dequeueEvent   = ioc(read, 89, eventSize)
	subscribeEvent = ioc(write, 90, subscriptionSize)
	queryTimings   = ioc(read, 99, timingsSize)
	timingsCap     = ioc(read|write, 100, timingsCapSize)
)

// Values of the header that are used here.
const (
	typeBT656_1120     = 0
	capVideoCapture    = 0x00000001
	capVideoMultiplane = 0x00001000
	capStreaming       = 0x04000000
	capHasDevice       = 0x80000000

	inNoPower   = 0x00000001
	inNoSignal  = 0x00000002
	inNoHLock   = 0x00000100
	inNoVLock   = 0x00000400
	inNoSync    = 0x00010000
	inNoCarrier = 0x00040000

	inputHasTimings = 0x00000002

	eventSourceChange = 5

	flagCanReduceFPS = 1 << 1
	flagReducedFPS   = 1 << 2

	scanInterlaced  = 1 << 0
	scanProgressive = 1 << 1
)

// The kernel's byte order is the machine's.
var order = binary.NativeEndian

func u32(b []byte, at int) uint32 { return order.Uint32(b[at:]) }

// text is a C string in an array.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// parseTimings reads a v4l2_dv_timings.
func parseTimings(b []byte) (t Timings, err error) {
	if len(b) < timingsSize {
		return t, fmt.Errorf("sdi: timings of %d bytes, want %d", len(b), timingsSize)
	}
	if n := u32(b, dvType); n != typeBT656_1120 {
		return t, fmt.Errorf("sdi: timings of type %d are not known", n)
	}
	t = Timings{
		Width: u32(b, dvWidth), Height: u32(b, dvHeight), Interlaced: u32(b, dvInterlaced) != 0, PixelClock: order.Uint64(b[dvClock:]),
		HBlank: u32(b, dvHFront) + u32(b, dvHSync) + u32(b, dvHBack),
		VBlank: u32(b, dvVFront) + u32(b, dvVSync) + u32(b, dvVBack),
	}
	if t.Interlaced {
		t.VBlank += u32(b, dvILFront) + u32(b, dvILSync) + u32(b, dvILBack)
	}
	flags := u32(b, dvFlagsAt)
	t.Reduced = flags&flagCanReduceFPS != 0 && flags&flagReducedFPS != 0
	copy(t.raw[:], b)
	return t, nil
}

// Limits are what a device can lock to.
type Limits struct {
	MinWidth, MaxWidth, MinHeight, MaxHeight uint32
	MinClock, MaxClock                       uint64
	Interlaced, Progressive                  bool
}

func parseLimits(b []byte) Limits {
	scans := u32(b, capScans)
	return Limits{
		MinWidth: u32(b, capMinWidth), MaxWidth: u32(b, capMaxWidth), MinHeight: u32(b, capMinHeight), MaxHeight: u32(b, capMaxHeight),
		MinClock: order.Uint64(b[capMinClock:]), MaxClock: order.Uint64(b[capMaxClock:]),
		Interlaced: scans&scanInterlaced != 0, Progressive: scans&scanProgressive != 0,
	}
}
