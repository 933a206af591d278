package uplink

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture/mpegts"
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

// The instant of a sender report is told on two clocks, which agree with the
// timestamps of the packets: also before there are any, and although a packet
// waits for its last TS packet.
func TestSenderReportTellsTheSourceClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		link := newGatewayLink(func() time.Duration { return time.Since(begun) }, testKey)
		s, now, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) { return link, nil }, nil)
		time.Sleep(500 * time.Millisecond)
		first := now()
		for range 50 {
			for range 7 {
				if err := s.WriteTS(now(), mpegts.AppendNull(nil, 1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		stop()
		link.mu.Lock()
		defer link.mu.Unlock()
		var offset uint32 // RTP timestamp of the instant 0
		packets := uint32(0)
		for _, m := range link.msgs {
			if h, _, err := rtp.ParseSource(m[:len(m)-rtp.TagSize]); err == nil {
				if packets++; packets == 1 {
					offset = h.Timestamp - uint32(rtp.Ticks(first))
				}
			}
		}
		reports, before := 0, 0
		for _, m := range link.msgs {
			r, err := rtp.ParseReport(m[:len(m)-rtp.TagSize])
			if err != nil || r.Sender == nil {
				continue
			}
			reports++
			at := time.Duration(r.Sender.NTP>>32)*time.Second + time.Duration(r.Sender.NTP&(1<<32-1)*uint64(time.Second)>>32)
			if r.Sender.Packets == 0 {
				before++
			}
			if d := int32(r.Sender.Timestamp - offset - uint32(rtp.Ticks(at))); d < -1 || d > 1 {
				t.Errorf("report at %v, %d packets: off by %d ticks", at, r.Sender.Packets, d)
			}
			if r.Sender.Octets != r.Sender.Packets*7*mpegts.PacketSize || r.Sender.Packets > packets {
				t.Errorf("%d packets, %d octets, of %d packets", r.Sender.Packets, r.Sender.Octets, packets)
			}
		}
		if packets != 50 || reports < 6 || before < 2 {
			t.Errorf("%d packets, %d reports, %d of them before the first packet", packets, reports, before)
		}
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
