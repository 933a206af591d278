package uplink

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quartet/uplink/rtp"
)

func TestReportsTellTheLatencyInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		link := newGatewayLink(func() time.Duration { return time.Since(begun) }, testKey)
		link.latency = 60 * time.Millisecond // negotiated; the plan says 100
		s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) { return link, nil }, func(c *SenderConfig) { c.Paths[0].SRTLatency = 40 * time.Millisecond })
		told := func() (d time.Duration) {
			link.mu.Lock()
			defer link.mu.Unlock()
			for _, m := range link.msgs {
				if r, err := rtp.ParseReport(m[:len(m)-rtp.TagSize]); err == nil && r.Settings != nil {
					d = r.Settings.SRTLatency
				}
			}
			return d
		}
		time.Sleep(time.Second)
		if d := told(); d != 60*time.Millisecond {
			t.Errorf("%v told, want the 60 ms that were negotiated", d)
		}
		if err := s.SetPlan(Plan{K: 8, Rows: 2, Streams: 1, MaxBlock: 50 * time.Millisecond, SRTLatency: 200 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if d := told(); d != 60*time.Millisecond {
			t.Errorf("%v told after a change of plan, want the 60 ms of the connection", d)
		}
		stop()
	})
}

func TestForeignReportsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		other, _ := rtp.DeriveTagKey(bytes.Repeat([]byte{8}, 32))
		link := newGatewayLink(func() time.Duration { return time.Since(begun) }, other)
		s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) { return link, nil }, nil)
		time.Sleep(900 * time.Millisecond)
		if st := s.Paths()[0].Stats(); st.Refused == 0 || st.Arrival != nil {
			t.Errorf("%d refused, arrival %v; want some and none", st.Refused, st.Arrival)
		}
		s.SetKey(testKey, []rtp.TagKey{other})
		time.Sleep(900 * time.Millisecond)
		before := s.Paths()[0].Stats()
		if before.Arrival == nil {
			t.Error("no report is accepted although its key is")
		}
		time.Sleep(time.Second)
		if st := s.Paths()[0].Stats(); st.Refused != before.Refused {
			t.Errorf("%d refused, %d before", st.Refused, before.Refused)
		}
		stop()
	})
}
