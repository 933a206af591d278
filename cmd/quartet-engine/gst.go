package main

/*
#cgo pkg-config: gstreamer-1.0
#include <stdlib.h>
#include "gst.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// The binding: what the engine needs of GStreamer's core, and no more. No frame
// crosses into Go.

// initGStreamer must be called before all else.
func initGStreamer() error {
	var err *C.GError
	if C.gst_init_check(nil, nil, &err) == 0 {
		return fmt.Errorf("GStreamer does not start: %w", takeError(err))
	}
	return nil
}

func takeError(err *C.GError) error {
	if err == nil {
		return errors.New("no reason given")
	}
	defer C.g_error_free(err)
	return errors.New(C.GoString(err.message))
}

// exists tells whether an element can be made.
func exists(factory string) bool {
	name := C.CString(factory)
	defer C.free(unsafe.Pointer(name))
	f := C.gst_element_factory_find(name)
	if f == nil {
		return false
	}
	C.gst_object_unref(C.gpointer(f))
	return true
}

// pipeline is a GStreamer pipeline. Its methods may be called from several
// goroutines, close only once and last.
type pipeline struct {
	element  *C.GstElement
	counters []*C.uint64_t
}

// parse makes a pipeline of a description in gst-launch's form.
func parse(description string) (*pipeline, error) {
	text := C.CString(description)
	defer C.free(unsafe.Pointer(text))
	var err *C.GError
	e := C.gst_parse_launch(text, &err)
	if err != nil {
		if e != nil {
			C.gst_object_unref(C.gpointer(e))
		}
		return nil, fmt.Errorf("pipeline: %w", takeError(err))
	}
	return &pipeline{element: e}, nil
}

// play starts the pipeline. An element that refuses says why on the bus.
func (p *pipeline) play() bool {
	return C.gst_element_set_state(p.element, C.GST_STATE_PLAYING) != C.GST_STATE_CHANGE_FAILURE
}

// baseTime returns the instant of running time zero on the system's monotonic
// clock, in nanoseconds; 0 before the pipeline plays.
func (p *pipeline) baseTime() int64 { return int64(C.gst_element_get_base_time(p.element)) }

// close stops and frees the pipeline. It waits for its threads.
func (p *pipeline) close() {
	C.gst_element_set_state(p.element, C.GST_STATE_NULL)
	C.gst_object_unref(C.gpointer(p.element))
	for _, c := range p.counters {
		C.free(unsafe.Pointer(c))
	}
}

// message is what a pipeline says.
type message struct {
	kind            messageKind
	source, factory string
	text            string
}

type messageKind int

const (
	nothing messageKind = C.QUARTET_NOTHING
	failure messageKind = C.QUARTET_ERROR
	warning messageKind = C.QUARTET_WARNING
	element messageKind = C.QUARTET_ELEMENT
	ended   messageKind = C.QUARTET_EOS
)

// next waits for a message, no longer than d.
func (p *pipeline) next(d time.Duration) message {
	var m C.quartet_message
	C.quartet_bus_next(p.element, C.int(d.Milliseconds()), &m)
	take := func(s *C.char) string {
		defer C.g_free(C.gpointer(s))
		return C.GoString(s)
	}
	return message{messageKind(m.kind), take(m.source), take(m.factory), take(m.text)}
}

// counter counts the buffers that pass a pad.
type counter struct{ at *C.uint64_t }

func (c counter) value() uint64 { return uint64(C.quartet_counted(c.at)) }

// count begins to count; the counter must not be read after close.
func (p *pipeline) count(element, pad string) (counter, error) {
	e, d := C.CString(element), C.CString(pad)
	defer C.free(unsafe.Pointer(e))
	defer C.free(unsafe.Pointer(d))
	c := (*C.uint64_t)(C.calloc(1, 8))
	p.counters = append(p.counters, c)
	if C.quartet_count(p.element, e, d, c) == 0 {
		return counter{}, fmt.Errorf("no pad %s of %s", pad, element)
	}
	return counter{c}, nil
}

// keyFrame asks an encoder for one.
func (p *pipeline) keyFrame(element string) bool {
	e := C.CString(element)
	defer C.free(unsafe.Pointer(e))
	return C.quartet_key_frame(p.element, e) != 0
}

// set sets a property of an element.
func (p *pipeline) set(element, property, value string) error {
	e, k, v := C.CString(element), C.CString(property), C.CString(value)
	defer C.free(unsafe.Pointer(e))
	defer C.free(unsafe.Pointer(k))
	defer C.free(unsafe.Pointer(v))
	if C.quartet_set(p.element, e, k, v) == 0 {
		return fmt.Errorf("%s has no property %s", element, property)
	}
	return nil
}

// choose makes an input-selector let one of its pads through.
func (p *pipeline) choose(selector, pad string) bool {
	s, d := C.CString(selector), C.CString(pad)
	defer C.free(unsafe.Pointer(s))
	defer C.free(unsafe.Pointer(d))
	return C.quartet_select(p.element, s, d) != 0
}
