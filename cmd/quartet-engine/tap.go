package main

/*
#include <stdlib.h>
#include "tap.h"
*/
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// tap is an appsink or an appsrc: where buffers leave a pipeline for Go, or come
// into it.
type tap struct{ e *C.GstElement }

// tap finds one by its name; who has it releases it.
func (p *pipeline) tap(name string) (tap, error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	e := C.gst_bin_get_by_name((*C.GstBin)(unsafe.Pointer(p.element)), n)
	if e == nil {
		return tap{}, fmt.Errorf("no element %s", name)
	}
	return tap{e}, nil
}

func (t tap) release() { C.gst_object_unref(C.gpointer(t.e)) }

// pullWait is how long a pull waits before it looks whether the pipeline has
// been stopped.
const pullWait = 200 * time.Millisecond

// pull waits for the next buffer and copies it to the memory at to. It returns
// false once the stream or the pipeline has ended.
func (t tap) pull(to unsafe.Pointer, room int) (n int, running time.Duration, ok bool) {
	for {
		var at C.int64_t
		switch got := C.quartet_pull(t.e, C.int(pullWait.Milliseconds()), to, C.size_t(room), &at); {
		case got == C.QUARTET_PULL_ENDED:
			return 0, 0, false
		case got > 0 && at >= 0:
			return int(got), time.Duration(at), true
		}
	}
}

// push hands bytes to an appsrc, with no time; false: it takes no more.
func (t tap) push(b []byte) bool { return t.pushAt(-1, b) }

// pushAt hands over bytes of a running time.
func (t tap) pushAt(at time.Duration, b []byte) bool {
	return len(b) == 0 || C.quartet_tap_push(t.e, unsafe.Pointer(&b[0]), C.size_t(len(b)), C.int64_t(at)) != 0
}

// tally counts what leaves an element. It is freed with free, after the pipeline
// has been closed.
type tally struct{ at *C.uint64_t }

func (p *pipeline) tally(element string) (tally, error) {
	e := C.CString(element)
	defer C.free(unsafe.Pointer(e))
	c := tally{(*C.uint64_t)(C.calloc(1, 8))}
	if C.quartet_tally(p.element, e, c.at) == 0 {
		c.free()
		return tally{}, fmt.Errorf("no element %s", element)
	}
	return c, nil
}

func (c tally) value() uint64 { return uint64(C.quartet_tallied(c.at)) }
func (c tally) free()         { C.free(unsafe.Pointer(c.at)) }

// still has a decoder give back the pictures that it holds.
func (p *pipeline) still(decoder string) {
	d := C.CString(decoder)
	defer C.free(unsafe.Pointer(d))
	C.quartet_still(p.element, d)
}
