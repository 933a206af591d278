package main

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"quartet/capture/genlock"
)

// mail brings what the captures' streaming threads see to the bridge. Pictures
// stay in C; of them only the handle is passed on.
type mail struct{ box *C.quartet_mail }

func newMail() mail { return mail{C.quartet_mail_new()} }

// kind of a letter.
type kind int

const (
	video kind = C.QUARTET_VIDEO
	audio kind = C.QUARTET_AUDIO
)

// letter is a frame, or a block of sound.
type letter struct {
	kind   kind
	source int
	at     time.Duration // CLOCK_MONOTONIC of its capture
	rate   genlock.Rate
	frame  *C.GstBuffer
}

// tap has every buffer that reaches an element of a pipeline sent here. The
// pipeline must be closed before the mail.
func (m mail) tap(p *pipeline, element string, k kind, source int) error {
	e := C.CString(element)
	defer C.free(unsafe.Pointer(e))
	if C.quartet_tap(m.box, p.element, e, C.int(k), C.int(source)) == 0 {
		return fmt.Errorf("no element %s", element)
	}
	return nil
}

// wait returns the next letter, or false after d.
func (m mail) wait(d time.Duration) (l letter, ok bool) {
	var c C.quartet_letter
	if C.quartet_mail_wait(m.box, C.int64_t(d.Microseconds()), &c) == 0 {
		return l, false
	}
	return letter{kind(c.kind), int(c.source), time.Duration(c.at), genlock.Rate{Num: int(c.rate_num), Den: int(c.rate_den)}, c.buffer}, true
}

func (m mail) close() { C.quartet_mail_free(m.box) }

// release gives a frame back.
func release(b *C.GstBuffer) {
	if b != nil {
		C.gst_buffer_unref(b)
	}
}

// samples copies a block's samples; it may use into.
func samples(b *C.GstBuffer, into []float32) []float32 {
	n := int(C.gst_buffer_get_size(b)) / 4
	if cap(into) < n {
		into = make([]float32, n)
	}
	into = into[:n]
	if n > 0 {
		C.gst_buffer_extract(b, 0, C.gpointer(unsafe.Pointer(&into[0])), C.gsize(4*n))
	}
	return into
}

// appsrc is where the bridge puts things into the encode pipeline.
type appsrc struct{ element *C.GstElement }

func (p *pipeline) appsrc(name string) (appsrc, error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	e := C.gst_bin_get_by_name((*C.GstBin)(unsafe.Pointer(p.element)), n)
	if e == nil {
		return appsrc{}, fmt.Errorf("no element %s", name)
	}
	return appsrc{e}, nil
}

var errPush = errors.New("the encode pipeline takes nothing")

func (a appsrc) picture(b *C.GstBuffer, pts, duration time.Duration) error {
	if C.quartet_push_picture(a.element, b, C.uint64_t(pts), C.uint64_t(duration)) == 0 {
		return errPush
	}
	return nil
}

func (a appsrc) sound(s []float32, pts, duration time.Duration) error {
	return a.bytes(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 4*len(s)), pts, duration)
}

// bytes pushes a copy of anything.
func (a appsrc) bytes(b []byte, pts, duration time.Duration) error {
	if C.quartet_push_bytes(a.element, unsafe.Pointer(&b[0]), C.size_t(len(b)), C.uint64_t(pts), C.uint64_t(duration)) == 0 {
		return errPush
	}
	return nil
}

// end ends the stream.
func (a appsrc) end() { C.quartet_push_end(a.element) }

func (a appsrc) close() { C.gst_object_unref(C.gpointer(a.element)) }
