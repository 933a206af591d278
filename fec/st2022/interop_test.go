package st2022

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// RTP packets travel to and from GStreamer through pipes, each behind its
// length (RFC 4571).
const (
	mediaCaps = "application/x-rtp-stream,media=video,clock-rate=90000,encoding-name=MP2T,payload=33"
	fecCaps   = "application/x-rtp-stream,media=application,clock-rate=90000,encoding-name=PARITYFEC,payload=96"
)

// gst is a running pipeline; in and out are its file descriptors from 3 on.
type gst struct {
	t   *testing.T
	cmd *exec.Cmd
	log bytes.Buffer
	in  []*os.File
	out []*os.File
}

// startGst runs gst-launch-1.0 with the ends of ins + outs pipes as file
// descriptors 3, 4, ….
func startGst(t *testing.T, element string, ins, outs int, pipeline ...string) *gst {
	t.Helper()
	if exec.Command("gst-inspect-1.0", element).Run() != nil {
		t.Skipf("NOT TESTED AGAINST GSTREAMER: element %s is missing (apt install gstreamer1.0-tools gstreamer1.0-plugins-good)", element)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	g := &gst{t: t, cmd: exec.CommandContext(ctx, "gst-launch-1.0", append([]string{"-q"}, pipeline...)...)}
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	var theirs []*os.File
	for i := range ins + outs {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if i < ins {
			g.in, theirs = append(g.in, w), append(theirs, r)
		} else {
			g.out, theirs = append(g.out, r), append(theirs, w)
		}
	}
	g.cmd.ExtraFiles = theirs
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range theirs {
		f.Close()
	}
	t.Cleanup(func() {
		for _, f := range append(g.in, g.out...) {
			f.Close()
		}
		cancel()
		_ = g.cmd.Wait() // killed, or at its end; what counts is what it wrote
		if t.Failed() {
			t.Logf("gst-launch-1.0 said:\n%s", g.log.String())
		}
	})
	return g
}

// write sends packets into the i-th input; from any goroutine.
func (g *gst) write(i int, pkts ...[]byte) {
	for _, p := range pkts {
		if _, err := g.in[i].Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)); err != nil {
			g.t.Errorf("GStreamer input %d: %v", i, err)
			return
		}
	}
}

// read takes the next packet of the i-th output; nil at the end.
func (g *gst) read(i int) []byte {
	g.t.Helper()
	var n [2]byte
	if _, err := io.ReadFull(g.out[i], n[:]); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		g.t.Fatalf("GStreamer output %d: %v", i, err)
	}
	p := make([]byte, binary.BigEndian.Uint16(n[:]))
	if _, err := io.ReadFull(g.out[i], p); err != nil {
		g.t.Fatalf("GStreamer output %d: %v", i, err)
	}
	return p
}

// TestGStreamerDecodesOurs: rtpst2022-1-fecdec repairs what our encoder
// protected. It gives repaired packets SSRC 0, so the stream has SSRC 0.
func TestGStreamerDecodesOurs(t *testing.T) {
	for _, p := range []Params{{5, 10, false}, {4, 5, true}, {20, 5, true}} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			n := 3 * p.Columns * p.Rows
			pkts := source(rngOf(uint64(n)), 0, 65500, 0xFFFFF000, n)
			for i := range pkts {
				pkts[i][1] |= byte(i % 3 / 2 << 7) // M is protected too
			}
			lost := map[int]bool{}
			for m := 0; m < n; m += p.Columns * p.Rows {
				for c := range p.Columns { // a whole row
					lost[m+2*p.Columns+c] = true
				}
				if p.RowFEC { // and what only rows and columns together repair
					lost[m+3*p.Columns] = true
				}
			}
			if left := peel(p, n, lost, nil); len(left) > 0 {
				t.Fatalf("the test loses too much: %v", left)
			}
			// identity gives every packet a timestamp: the decoder forgets
			// packets with one as soon as a packet without one comes.
			g := startGst(t, "rtpst2022-1-fecdec", 3, 1,
				"rtpst2022-1-fecdec", "name=d", "size-time=60000000000",
				"fdsrc", "fd=3", "!", mediaCaps, "!", "rtpstreamdepay", "!", "identity", "datarate=1000000000", "!", "d.sink",
				"fdsrc", "fd=4", "!", fecCaps, "!", "rtpstreamdepay", "!", "identity", "datarate=1000000000", "!", "d.fec_0",
				"fdsrc", "fd=5", "!", fecCaps, "!", "rtpstreamdepay", "!", "identity", "datarate=1000000000", "!", "d.fec_1",
				"d.src", "!", "rtpstreampay", "!", "fdsink", "fd=6", "sync=false", "async=false")
			got := map[string]int{}
			writing := make(chan struct{})
			wire := encode(t, p, pkts)
			go func() {
				defer close(writing)
				for _, s := range wire {
					if !s.fec && !lost[s.src] {
						g.write(0, s.pkt)
					}
				}
			}()
			for range n - len(lost) {
				got[string(g.read(0))]++
			}
			<-writing
			// The media has passed; now the parity, rows first.
			for _, kind := range []Kind{Row, Column} {
				for _, s := range wire {
					if s.fec && Kind(s.pkt[rtpHeader+12]>>6&1) == kind {
						g.write(1+int(kind), s.pkt)
					}
				}
			}
			for len(got) < n {
				b := g.read(0)
				if b == nil {
					for i, pkt := range pkts {
						if got[string(pkt)] == 0 {
							t.Errorf("packet %d, sequence %d is missing", i, uint16(65500+i))
						}
					}
					t.Fatalf("GStreamer ended with %d of %d packets", len(got), n)
				}
				got[string(b)]++
				if len(got) > n {
					t.Fatal("GStreamer repaired a packet that was never sent")
				}
			}
			for i, pkt := range pkts {
				if got[string(pkt)] == 0 {
					t.Errorf("packet %d (lost %v) did not come out as it was", i, lost[i])
				}
			}
		})
	}
}

// TestWeDecodeGStreamers: our encoder and rtpst2022-1-fecenc make the same
// parity, and our decoder repairs with theirs.
func TestWeDecodeGStreamers(t *testing.T) {
	for _, p := range []Params{{5, 10, true}, {4, 4, true}, {20, 5, true}} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			size := p.Columns * p.Rows
			n := 3 * size // the encoder sends a matrix's columns during the next one
			pkts := source(rngOf(uint64(n)), 0, 65500, 0xFFFFF000, n)
			g := startGst(t, "rtpst2022-1-fecenc", 1, 2,
				"fdsrc", "fd=3", "!", mediaCaps, "!", "rtpstreamdepay", "!",
				"rtpst2022-1-fecenc", fmt.Sprintf("rows=%d", p.Rows), fmt.Sprintf("columns=%d", p.Columns), "name=e",
				"e.src", "!", "fakesink", "async=false",
				"e.fec_0", "!", "rtpstreampay", "!", "fdsink", "fd=4", "sync=false", "async=false",
				"e.fec_1", "!", "rtpstreampay", "!", "fdsink", "fd=5", "sync=false", "async=false")
			writing := make(chan struct{})
			go func() {
				defer close(writing)
				g.write(0, pkts...)
				g.in[0].Close()
			}()
			columns := make(chan [][]byte, 1)
			go func() {
				var all [][]byte
				for b := g.read(0); b != nil; b = g.read(0) {
					all = append(all, b)
				}
				columns <- all
			}()
			var theirs [][]byte
			for b := g.read(1); b != nil; b = g.read(1) {
				theirs = append(theirs, b)
			}
			rows := len(theirs)
			theirs = append(theirs, <-columns...)
			<-writing
			if rows < 2*p.Rows || len(theirs)-rows < 2*p.Columns {
				t.Fatalf("GStreamer made %d rows and %d columns", rows, len(theirs)-rows)
			}

			ours := map[Kind][][]byte{}
			for _, s := range encode(t, p, pkts) {
				if s.fec {
					k := Kind(s.pkt[rtpHeader+12] >> 6 & 1)
					ours[k] = append(ours[k], s.pkt)
				}
			}
			for i, b := range theirs {
				k, own := Row, i
				if i >= rows {
					k, own = Column, i-rows
				}
				if o := ours[k][own]; b[0] != o[0] || b[1] != o[1] || !bytes.Equal(b[rtpHeader:], o[rtpHeader:]) {
					t.Errorf("%v packet %d differs:\n theirs %x\n   ours %x", k, own, b[:28], o[:28])
				}
			}

			// Lose a row and a column of the first two matrices.
			lost := map[int]bool{}
			for m := 0; m < 2*size; m += size {
				for c := range p.Columns {
					lost[m+p.Columns+c] = true
				}
				lost[m+2*p.Columns+1] = true
			}
			d, got := collect(t, DecoderConfig{Latency: time.Second})
			for i, pkt := range pkts {
				if !lost[i] {
					d.PushSource(time.Duration(i), pkt)
				}
			}
			for _, b := range theirs {
				d.PushFEC(time.Duration(n), b)
			}
			drain(d)
			for i, g := range *got {
				if !bytes.Equal(g.pkt, pkts[i]) {
					t.Errorf("packet %d: lost %v, recovered %v, or not as it was", i, g.Lost, g.Recovered)
				}
			}
			if s := d.Stats(); len(*got) != n || int(s.Recovered) != len(lost) {
				t.Errorf("%d delivered, stats %+v", len(*got), s)
			}
		})
	}
}
