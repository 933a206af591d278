package gateway

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quartet/fec"
	"quartet/uplink/rtp"
)

// bench is a contribution with two first-hand paths and one from a peer, and a
// peer of its own, all in virtual time.
type bench struct {
	t      *testing.T
	now    time.Duration
	c      *contribution
	conns  [3]*fakeConn
	peer   *fakeConn
	out    *fakeOutput
	tagger *rtp.Tagger
}

func newBench(t *testing.T, latency time.Duration) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Second}
	b.out = &fakeOutput{now: &b.now}
	key := newKey(t)
	cfg := Contribution{
		Name: "v", Keys: [][]byte{key}, Latency: latency, Outputs: []OutputConfig{b.out},
		Inputs: []Input{{Name: "a", Offset: -1}, {Name: "b", Offset: -1}, {Name: "c", Offset: -1, FromPeer: true}},
		Peers:  []Peer{{Name: "p", Call: "127.0.0.1:1"}},
	}
	var err error
	if b.c, err = newContribution(cfg, func() time.Duration { return b.now }, time.Millisecond, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for i := range b.conns {
		b.conns[i] = &fakeConn{now: &b.now, latency: 20 * time.Millisecond, keep: true}
		b.c.addLink(b.c.paths[i], &link{conn: b.conns[i], gone: make(chan struct{})})
	}
	b.peer = &fakeConn{now: &b.now, keep: true}
	b.c.peers[0].conn = b.peer
	tk, _ := rtp.DeriveTagKey(key)
	b.tagger = rtp.NewTagger(tk)
	return b
}

// comes lets a packet arrive on a path now.
func (b *bench) comes(path int, pkt []byte) {
	b.conns[path].queue = append(b.conns[path].queue, delayed{b.now, b.tagger.AppendTag(bytes.Clone(pkt), pkt)})
}

// runs for so many milliseconds, with what each one brings.
func (b *bench) runs(ms int, each func(i int)) {
	for i := range ms {
		if each != nil {
			each(i)
		}
		b.c.turn(b.now)
		b.now += time.Millisecond
	}
}

// source is packet n of a stream of one packet a millisecond.
func source(ssrc uint32, n int) []byte {
	b := make([]byte, rtp.HeaderSize, rtp.HeaderSize+188)
	rtp.Header{PayloadType: rtp.PayloadTypeTS, Seq: rtp.Seq(n), Timestamp: uint32(n) * 90, SSRC: ssrc}.Put(b)
	return append(b, nullMessages(1)[0][:188]...)
}

// reports gives what a path was told, in order.
func (b *bench) reports(path int) (all []*rtp.Report) {
	b.t.Helper()
	for _, m := range b.conns[path].sent {
		r, err := rtp.ParseReport(m[:len(m)-rtp.TagSize])
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// A box hears of the gateway from the moment that it is connected, although it
// sends nothing yet; what is not known is zero then.
func TestReportsBeforeMedia(t *testing.T) {
	b := newBench(t, 0)
	b.runs(1000, nil)
	all := b.reports(0)
	if len(all) < 5 || len(all) > 6 {
		t.Fatalf("%d reports in a second, want one in 200 ms", len(all))
	}
	for i, r := range all {
		p, m := r.Path, r.Merged
		if len(r.Blocks) != 0 || p == nil || m == nil || p.Number != uint32(i+1) || m.Number != p.Number {
			t.Fatalf("report %d: %+v", i, r)
		}
		if diff := cmp.Diff(&rtp.PathReport{Path: rtp.PathUnknown, Number: p.Number}, p); diff != "" {
			t.Errorf("report %d: QRTP %s", i, diff)
		}
		if diff := cmp.Diff(&rtp.MergedReport{Latency: untoldLatency, Number: p.Number}, m); diff != "" {
			t.Errorf("report %d: QRTM %s", i, diff)
		}
	}
	if len(b.conns[2].sent) != 0 {
		t.Error("a peer was sent a report")
	}

	// The path index as soon as it is told, RR's block with the first packet on
	// the path itself.
	settings, err := (&rtp.Report{Sender: &rtp.SenderInfo{}, Settings: &rtp.Settings{Path: 5, TotalLatency: 300 * time.Millisecond, K: 8}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.comes(0, settings)
	b.runs(1000, func(i int) { b.comes(1, source(7, i)) })
	all = b.reports(0)
	r := all[len(all)-1]
	if p := r.Path; len(r.Blocks) != 0 || p.Path != 5 || p.SSRC != 7 || p.HighestSeq != 0 || p.Received+p.LostHere != 0 {
		t.Errorf("on the silent path: %+v, %+v", r.Blocks, p)
	}
	if m := r.Merged; m.SSRC != 7 || m.Latency != 300*time.Millisecond || m.Delivered == 0 || m.Epochs != 1 || m.Paths != 1<<5 { // path 1 has not told its index
		t.Errorf("%+v", m)
	}
	all = b.reports(1)
	if r := all[len(all)-1]; len(r.Blocks) != 1 || r.Blocks[0].SSRC != 7 || r.Path.Received != r.Merged.Delivered || r.Path.Path != rtp.PathUnknown {
		t.Errorf("on the other: %+v, %+v", r.Blocks, r.Path)
	}
}

// In every report, also around a change of SSRC, what a path received and what
// it lost are together what was released since it joined.
func TestReportsAddUp(t *testing.T) {
	b := newBench(t, 300*time.Millisecond)
	for epoch := range uint32(3) {
		b.runs(1000, func(i int) {
			pkt := source(100+epoch, 60_000+i)
			if i%10 != 3 {
				b.comes(0, pkt)
			}
			if i%10 != 3 && i%4 != 1 {
				b.comes(1, pkt)
			}
		})
	}
	b.runs(1000, nil)
	seen := map[uint32]int{}
	for path := range 2 {
		for i, r := range b.reports(path) {
			p, m := r.Path, r.Merged
			seen[p.SSRC]++
			if p.Received+p.LostHere != m.Delivered+m.Lost || p.LostHere != p.ByOther+p.ByParity+p.Unrecovered || p.Unrecovered != m.Lost || m.Delivered+m.Lost > 1000 {
				t.Errorf("path %d, report %d: QRTP %+v\nQRTM %+v", path, i, p, m)
			}
		}
		all := b.reports(path)
		if r := all[len(all)-1]; r.Path.SSRC != 102 || r.Merged.Delivered != 900 || r.Merged.Lost != 100 || r.Merged.Epochs != 3 || path == 0 && r.Path.ByOther != 0 || path == 1 && r.Path.ByOther != 200 {
			t.Errorf("path %d: QRTP %+v\nQRTM %+v", path, r.Path, r.Merged)
		}
	}
	if len(seen) != 3 {
		t.Errorf("reports on the SSRCs %v", seen)
	}
}

// What is no packet of the stream by its form is counted, reported, and goes no
// further, whoever sends it; nor does a probe.
func TestMalformedGoesNoFurther(t *testing.T) {
	b := newBench(t, 100*time.Millisecond)
	short := source(7, 20)
	short = short[:len(short)-1]
	noSync := source(7, 20)
	noSync[rtp.HeaderSize] = 0
	unknown := source(7, 20)
	unknown[1] = 96
	repair := append([]byte{0x81, fec.RepairPT}, make([]byte, 100)...) // K = 0
	probe, err := (&rtp.Report{Sender: &rtp.SenderInfo{}, Settings: &rtp.Settings{Path: 1}, Probe: &rtp.Probe{ID: 1, Size: 1200}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := (&rtp.Report{Sender: &rtp.SenderInfo{}, Settings: &rtp.Settings{Path: 1}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := [][]byte{short, noSync, unknown, repair, {0x80, 200, 0, 9, 0, 0, 0, 0}}
	b.runs(400, func(i int) {
		if i == 10 {
			for _, path := range []int{0, 2} {
				for _, p := range bad {
					b.comes(path, p)
				}
			}
			b.comes(0, probe)
			b.comes(0, settings)
		}
		b.comes(1, source(7, i))
	})
	all := b.reports(0)
	if p := all[len(all)-1].Path; p.Malformed != uint64(len(bad)) || p.Received+p.LostHere != 0 {
		t.Errorf("%+v", p)
	}
	if got := b.c.paths[2].malformed; got != uint64(len(bad)) {
		t.Errorf("%d malformed from the peer, want %d", got, len(bad))
	}
	if st := b.c.dec.Stats(); st.Lost != 0 || b.c.unusable != 0 {
		t.Errorf("%d unusable packets were released, %d lost", b.c.unusable, st.Lost)
	}
	forwarded := 0
	for _, m := range b.peer.sent {
		if bytes.Equal(m[:len(m)-rtp.TagSize], settings) {
			forwarded++
		} else if _, _, err := rtp.ParseSource(m[:len(m)-rtp.TagSize]); err != nil {
			t.Errorf("forwarded: %x…", m[:min(len(m), 16)])
		}
	}
	if forwarded != 1 || len(b.peer.sent) != 401 {
		t.Errorf("%d messages forwarded, settings %d times", len(b.peer.sent), forwarded)
	}
}
