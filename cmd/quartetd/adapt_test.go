package main

import (
	"testing"

	"quartet/uplink"
	"quartet/uplink/srt"
)

// A path that is late as a whole, as a connection may be that was made while the
// machine started, brings everything: no reason for a lower rate. What never
// comes is one.
func TestLateIsNotMissed(t *testing.T) {
	st := uplink.PathStats{State: uplink.StateUp, Link: &uplink.LinkStats{SRT: &srt.Stats{}},
		Arrival: &uplink.Arrival{Received: 10, LostHere: 990, Late: 980}}
	if s := sampleOf(st); !s.Reported || s.Received != 10 || s.Missed != 10 {
		t.Errorf("%+v", s)
	}
	st.Arrival.Late = 991 // a report from between two counters
	if s := sampleOf(st); s.Missed != 0 {
		t.Errorf("%+v", s)
	}
	st.Arrival.Late = 0
	if s := sampleOf(st); s.Missed != 990 {
		t.Errorf("%+v", s)
	}
}
