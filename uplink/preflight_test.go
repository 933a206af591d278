package uplink

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"quartet/uplink/rtp"
)

func TestPreflight(t *testing.T) {
	other, _ := rtp.DeriveTagKey(bytes.Repeat([]byte{8}, 32))
	for _, tc := range []struct {
		name   string
		change func(*gatewayLink)
		key    rtp.TagKey
		fits   int
		ok     bool
		step   string // that tells
	}{
		{"sound", func(*gatewayLink) {}, testKey, 7, true, "mtu"},
		// 1400 − 44 = 1356 bytes: the source packets' 1336 fit, the 1361 of a
		// repair packet do not.
		{"tunnel of 1400 bytes", func(l *gatewayLink) { l.drops = 1356 }, testKey, 6, false, "mtu"},
		{"nothing fits", func(l *gatewayLink) { l.drops = 100 }, testKey, 0, false, "probe"},
		{"own MSS of 1300 bytes", func(l *gatewayLink) { l.limit = 1256 }, testKey, 6, false, "mtu"},
		{"another key", func(*gatewayLink) {}, other, 0, false, "key"},
		{"mute", func(l *gatewayLink) { l.mute.Store(true) }, testKey, 0, false, "report"},
		{"breaks", func(l *gatewayLink) { l.breakWith(errors.New("gone")) }, testKey, 0, false, "probe"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			clock := func() time.Duration { return time.Since(begun) }
			s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) { return newGatewayLink(clock, testKey), nil }, nil)
			defer stop()
			link := newGatewayLink(clock, tc.key)
			tc.change(link)
			r := s.Preflight(t.Context(), 0, PathConfig{Profile: ProfileRTPFEC, Dialer: toLink(link)}, testKey, nil)
			if last := r.Steps[len(r.Steps)-1]; r.OK != tc.ok || r.PacketsPerMessage != tc.fits || last.Name != tc.step {
				t.Errorf("%s: %+v; want ok %v by step %s, and %d packets", tc.name, r, tc.ok, tc.step, tc.fits)
			}
			if link.closes.Load() != 1 {
				t.Errorf("%s: the link was closed %d times, want once", tc.name, link.closes.Load())
			}
		})
	}
}
