package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/tests/freeport"
	"quartet/tests/relay"
	"quartet/uplink"
)

// The matrix of SMPTE ST 2022-1 in this test: 8 columns, 5 rows, both protected.
const columns, rows, matrix = 8, 5, 40

// Two paths of the profile rtp, with column and row parity, go through losses on
// the media's port to GStreamer, which repairs them. A third path, without
// losses and parity, tells what was sent.
func TestRTPProfileToGStreamer(t *testing.T) {
	t.Parallel()
	timed(t, rtpProfileToGStreamer)
}

func rtpProfileToGStreamer(t testing.TB) {
	_, content := encoded(t)
	const matrices = 20
	need := matrices * matrix
	imp := relay.Impairment{Burst: relay.Burst{Loss: 0.05, MeanPackets: 3}}
	seed, lost := lossesToRepair(t, imp, need)

	group, err := relay.NewGroup(relay.GroupConfig{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	reference := listen(t)
	paths := []uplink.PathConfig{{Name: "reference", Profile: uplink.ProfileRTP,
		Dialer: uplink.NewUDPDialer(uplink.UDPConfig{Addr: reference.LocalAddr().String()})}}
	var receivers []*repairer
	for i := range 2 {
		r := gstreamerRepairs(t)
		receivers = append(receivers, r)
		if _, err := group.Add(relay.Config{Name: relayName(i), Listen: loopback(r.send), Upstream: loopback(r.media), Up: imp}); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, uplink.PathConfig{
			Name: relayName(i), Profile: uplink.ProfileRTP, Columns: columns, Rows: rows, RowFEC: true,
			Dialer: uplink.NewUDPDialer(uplink.UDPConfig{Addr: local(r.send), FEC: true}),
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { group.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); group.Close() })

	s := run(t, uplink.SenderConfig{Paths: paths})
	s.up(t)
	// Padding closes the last matrix and takes its columns along.
	s.pour(t, feedRate, append(content[:need*7*packet:need*7*packet], nulls(3*matrix*7)...))

	var sent [][]byte
	buf := make([]byte, 2048)
	reference.SetReadDeadline(time.Now().Add(20 * time.Second))
	for len(sent) < need {
		n, err := reference.Read(buf)
		if err != nil {
			t.Fatalf("after %d packets: %v", len(sent), err)
		}
		sent = append(sent, bytes.Clone(buf[:n]))
	}
	if got := payload(sent); !bytes.Equal(got, content[:len(got)]) {
		t.Errorf("the reference differs from byte %d", same(got, content))
	}
	for i, r := range receivers {
		repaired := r.check(sent)
		for n := range lost[i] {
			if !repaired[n] {
				t.Errorf("path %d: packet %d was lost and did not come out repaired", i, n)
			}
		}
		if st := group.Relays()[i].Stats().Up; int(st.Dropped.Burst) < len(lost[i]) || len(lost[i]) < 10 {
			t.Errorf("path %d: %d packets lost, the relay says %d", i, len(lost[i]), st.Dropped.Burst)
		}
		t.Logf("path %d: %d of %d packets lost and repaired", i, len(lost[i]), need)
	}
}

func relayName(i int) string { return fmt.Sprint("rtp path ", i) }

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

func listen(t testing.TB) *net.UDPConn {
	t.Helper()
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l.SetReadBuffer(4 << 20)
	t.Cleanup(func() { l.Close() })
	return l
}

// lossesToRepair finds a seed with which every loss of both paths can be
// repaired: with one seed, the n-th packet of a relay has always the same fate.
// It tells which packets are lost on each path.
func lossesToRepair(t testing.TB, imp relay.Impairment, packets int) (seed uint64, lost [2]map[int]bool) {
	t.Helper()
	for seed = 1; seed < 1000; seed++ {
		whole := true
		for i := range lost {
			ch, err := relay.NewChannel(relay.ChannelConfig{Seed: seed, Name: relayName(i), Direction: relay.Up, Impairment: imp})
			if err != nil {
				t.Fatal(err)
			}
			gone := map[int]bool{}
			for n := range packets {
				if ch.Decide(uint64(n), 0, 1328).Drop != relay.Pass {
					gone[n] = true
				}
			}
			lost[i] = maps.Clone(gone)
			peel(gone)
			whole = whole && len(gone) == 0
		}
		if whole {
			return seed, lost
		}
	}
	t.Fatal("no seed found")
	return 0, lost
}

// peel takes from gone what the parity gives back: any packet that is missing
// alone in its row or column, as long as there is one.
func peel(gone map[int]bool) {
	for found := true; found; {
		found = false
		for n := range gone {
			base, row, column := n/matrix*matrix, n%matrix/columns, n%columns
			inRow, inColumn := 0, 0
			for c := range columns {
				if gone[base+row*columns+c] {
					inRow++
				}
			}
			for r := range rows {
				if gone[base+r*columns+column] {
					inColumn++
				}
			}
			if inRow == 1 || inColumn == 1 {
				delete(gone, n)
				found = true
			}
		}
	}
}

// repairer is a GStreamer pipeline that gives out what it received and
// repaired, each packet behind its length (RFC 4571).
type repairer struct {
	*child
	send, media int // port that the box sends to, and that GStreamer receives on
	in          *bufio.Reader
}

func gstreamerRepairs(t testing.TB) *repairer {
	t.Helper()
	r := &repairer{send: freeport.UDP(t, 2, 4), media: freeport.UDP(t)}
	const media = "media=video,clock-rate=90000,encoding-name=MP2T,payload=33"
	const fec = "media=application,clock-rate=90000,encoding-name=PARITYFEC,payload=96"
	source := func(port int, caps string) string {
		return fmt.Sprintf("udpsrc address=127.0.0.1 port=%d buffer-size=2000000 caps=application/x-rtp,%s !", port, caps)
	}
	r.child = start(t, true, "gst-launch-1.0", strings.Fields(strings.Join([]string{
		"-q rtpst2022-1-fecdec name=d size-time=5000000000",
		source(r.media, media), "d.sink", source(r.send+2, fec), "d.fec_0", source(r.send+4, fec), "d.fec_1",
		"d.src ! rtpstreampay ! fdsink fd=1 sync=false async=false",
	}, " "))...)
	r.in = bufio.NewReader(r.out)
	until(t, 15*time.Second, "GStreamer receives", func() bool { return bound(r.media) && bound(r.send+2) && bound(r.send+4) })
	return r
}

// check reads until all that was sent has come out, and tells which packets were
// repaired. GStreamer gives a repaired packet SSRC 0: the parity does not cover
// that field. It may repair one that is only late, since the relay holds the
// media up and not the parity; then the packet comes out twice.
func (r *repairer) check(sent [][]byte) (repaired map[int]bool) {
	r.t.Helper()
	index, zeroed := map[string]int{}, map[string]int{}
	for i, p := range sent {
		index[string(p)] = i
		p = bytes.Clone(p)
		copy(p[8:12], []byte{0, 0, 0, 0})
		zeroed[string(p)] = i
	}
	repaired, seen := map[int]bool{}, map[int]bool{}
	for len(seen) < len(sent) {
		var n [2]byte
		_, err := io.ReadFull(r.in, n[:])
		p := make([]byte, binary.BigEndian.Uint16(n[:]))
		if err == nil {
			_, err = io.ReadFull(r.in, p)
		}
		if err != nil {
			r.t.Errorf("GStreamer: %v; %d of %d packets are missing", err, len(sent)-len(seen), len(sent))
			return repaired
		}
		i, whole := index[string(p)]
		if j, again := zeroed[string(p)]; again {
			i, whole, repaired[j] = j, true, true
		}
		switch {
		case whole:
			seen[i] = true
		case binary.BigEndian.Uint16(p[2:])-binary.BigEndian.Uint16(sent[0][2:]) < uint16(len(sent)): // else it is padding
			r.t.Errorf("GStreamer altered sequence number %d", binary.BigEndian.Uint16(p[2:]))
		}
	}
	return repaired
}
