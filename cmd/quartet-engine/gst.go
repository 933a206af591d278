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
	element *C.GstElement
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
	return &pipeline{e}, nil
}

// play starts the pipeline. An element that refuses says why on the bus.
func (p *pipeline) play() bool {
	return C.gst_element_set_state(p.element, C.GST_STATE_PLAYING) != C.GST_STATE_CHANGE_FAILURE
}

// systemTime has the pipeline's running time be the system's monotonic clock. To
// be called before play.
func (p *pipeline) systemTime() { C.quartet_system_time(p.element) }

// close stops and frees the pipeline. It waits for its threads.
func (p *pipeline) close() {
	C.gst_element_set_state(p.element, C.GST_STATE_NULL)
	C.gst_object_unref(C.gpointer(p.element))
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
