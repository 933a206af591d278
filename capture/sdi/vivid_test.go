//go:build qemu

package sdi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"quartet/capture/sdi"
)

// The kernel's vivid, with an HDMI input, stands for a capture card: the lab
// image has it, and tests/qemu runs this test there.
var (
	device = flag.String("device", "", "node of the kernel's vivid driver, for TestVivid and TestTurn")
	turn   = flag.String("turn", "", "what TestTurn does: control=choice;…")
)

// knobs are vivid's own controls of the signal at its input.
type knobs struct {
	t  *testing.T
	fd int
}

// Of linux/videodev2.h.
const (
	queryCtrl = 3<<30 | 68<<16 | 'V'<<8 | 36 // VIDIOC_QUERYCTRL
	queryMenu = 3<<30 | 44<<16 | 'V'<<8 | 37 // VIDIOC_QUERYMENU
	setCtrl   = 3<<30 | 8<<16 | 'V'<<8 | 28  // VIDIOC_S_CTRL
	nextCtrl  = 0x80000000
)

func (k knobs) call(request uintptr, b []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(k.fd), request, uintptr(unsafe.Pointer(&b[0]))); e != 0 {
		return e
	}
	return nil
}

func name(b []byte) string { return string(b[:max(0, bytes.IndexByte(b, 0))]) }

// menu finds a control by its name: its id and the numbers of its choices.
func (k knobs) menu(control string) (id uint32, choices map[string]uint32) {
	k.t.Helper()
	order := binary.NativeEndian
	for at := uint32(0); ; at = id {
		b := make([]byte, 68) // id, type, name[32], minimum, maximum
		order.PutUint32(b, at|nextCtrl)
		if err := k.call(queryCtrl, b); err != nil {
			k.t.Fatalf("the device has no control %q, so it is not vivid's HDMI input: %v", control, err)
		}
		id = order.Uint32(b)
		if name(b[8:40]) != control {
			continue
		}
		choices = map[string]uint32{}
		for i := order.Uint32(b[40:]); i <= order.Uint32(b[44:]); i++ {
			m := make([]byte, 44) // id, index, name[32]; packed
			order.PutUint32(m, id)
			order.PutUint32(m[4:], i)
			if k.call(queryMenu, m) == nil {
				choices[name(m[8:40])] = i
			}
		}
		return id, choices
	}
}

// set turns a control to a choice.
func (k knobs) set(control, choice string) {
	k.t.Helper()
	id, choices := k.menu(control)
	n, ok := choices[choice]
	if !ok {
		k.t.Fatalf("%s has no %q; it has %v", control, choice, choices)
	}
	b := make([]byte, 8)
	binary.NativeEndian.PutUint32(b, id)
	binary.NativeEndian.PutUint32(b[4:], n)
	if err := k.call(setCtrl, b); err != nil {
		k.t.Fatalf("%s = %s: %v", control, choice, err)
	}
}

// TestVivid follows a real driver's signal: lock, loss, no lock, out of range,
// another format.
func TestVivid(t *testing.T) {
	if *device == "" {
		t.Fatal("-device is missing: the node of the kernel's vivid; tests/qemu gives it")
	}
	fd, err := unix.Open(*device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("%s: %v", *device, err)
	}
	defer unix.Close(fd)
	k := knobs{t, fd}
	const mode = "DV Timings Signal Mode"
	k.set(mode, "Current DV Timings")

	begin := time.Now()
	var mu sync.Mutex
	running := false
	set := func(on bool) func(sdi.State) {
		return func(sdi.State) {
			mu.Lock()
			defer mu.Unlock()
			if running == on {
				t.Errorf("start or stop twice in a row (%v)", on)
			}
			running = on
		}
	}
	w := sdi.NewWatcher(sdi.Config{Path: *device, Start: set(true), Stop: set(false), Now: func() time.Duration { return time.Since(begin) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	defer func() { cancel(); <-done }()

	until := func(want sdi.Signal, format string) {
		t.Helper()
		from := time.Now()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			s := w.State()
			mu.Lock()
			on := running
			mu.Unlock()
			if s.Signal == want && on == want.Good() && (format == "" || s.Format() == format) {
				t.Logf("%s %s after %d ms: %s", want, s.Format(), time.Since(from).Milliseconds(), s.Text())
				return
			}
			if time.Since(from) > 10*time.Second {
				t.Fatalf("not %s %s within 10 s, it is %+v, capture runs: %v", want, format, s, on)
			}
			<-tick.C
		}
	}
	until(sdi.Locked, "")
	first := w.State()
	k.set(mode, "No Signal")
	until(sdi.NoSignal, "")
	k.set(mode, "No Lock")
	until(sdi.Unlocked, "")
	k.set(mode, "Out of Range")
	until(sdi.Unsupported, "")
	k.set(mode, "Current DV Timings")
	until(sdi.Locked, first.Format())

	// Another format: the capture ends, the card gets the new timings, the capture
	// begins.
	const format = "1280x720p50"
	k.set("DV Timings", format)
	k.set(mode, "Selected DV Timings")
	until(sdi.Locked, "720p50")
	d, err := sdi.OpenNode(*device)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now, err := d.Current()
	if err != nil || now.String() != "720p50" {
		t.Errorf("the card is set to %v (%v), want 720p50", now, err)
	}
	if q, err := d.Query(); err != nil && !errors.Is(err, sdi.ErrBusy) || q.String() != now.String() {
		t.Errorf("the signal is %v (%v), the card is set to %v", q, err, now)
	}
}

// TestTurn turns vivid's controls for a test of somebody else's, and prints when,
// in nanoseconds since 1970.
func TestTurn(t *testing.T) {
	if *device == "" || *turn == "" {
		t.Fatal("-device and -turn are missing; tests/qemu gives them")
	}
	fd, err := unix.Open(*device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("%s: %v", *device, err)
	}
	defer unix.Close(fd)
	for s := range strings.SplitSeq(*turn, ";") {
		control, choice, _ := strings.Cut(s, "=")
		knobs{t, fd}.set(control, choice)
	}
	fmt.Println("turned", time.Now().UnixNano())
}
