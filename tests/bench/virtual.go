package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"time"

	"quartet/fec"
	"quartet/uplink"
)

// virtualResult is part two: everything in it comes from virtual time.
type virtualResult struct {
	Cells   []virtualCell `json:"cells"`
	Packets int           `json:"packets"` // of each system and cell
	Seeds   int           `json:"seeds"`
	Seconds float64       `json:"wall_s"`
}

type virtualCell struct {
	Cell    string          `json:"cell"`
	RTTMS   int             `json:"rtt_ms"`
	Link    string          `json:"link"`
	Systems []virtualSystem `json:"systems"`
}

type virtualSystem struct {
	System   string   `json:"system"`
	Title    string   `json:"title"`
	Residual Estimate `json:"residual"`
	Lost     float64  `json:"lost"`
	Total    float64  `json:"total"`
	Runs     uint64   `json:"runs"`
	MaxRun   uint64   `json:"max_run"`
	Sent     float64  `json:"sent"` // packets on the wire, all paths, for each source packet
	Plan     string   `json:"plan,omitempty"`
}

// simSystem is a system in virtual time. Without paths' parity and decoder
// (plain) it is SRT alone.
type simSystem struct {
	id, title string
	paths     int
	parity    bool
	arq       bool
	plain     bool
	stagger   []int // of each path, ms; nil: simStagger on every second one
}

// staggerOf a path.
func (s simSystem) staggerOf(path int) time.Duration {
	if s.stagger != nil {
		return time.Duration(s.stagger[path]) * time.Millisecond
	}
	return time.Duration(path%2) * simStagger
}

func simSystems() (all []simSystem) {
	all = append(all, simSystem{id: "srt-model", title: "SRT as modelled, 1 path", paths: 1, arq: true, plain: true})
	for _, n := range []int{1, 2, 4} {
		p := plural(n, "path")
		all = append(all,
			simSystem{id: fmt.Sprintf("quartet-%d", n), title: "Quartet, " + p + ", parity", paths: n, parity: true, arq: true},
			simSystem{id: fmt.Sprintf("quartet-%d-r0", n), title: "Quartet, " + p + ", r = 0", paths: n, arq: true})
	}
	for _, n := range []int{2, 4} {
		all = append(all, simSystem{id: fmt.Sprintf("quartet-%d-noarq", n), title: "Quartet, " + plural(n, "path") + ", parity, no retransmission", paths: n, parity: true})
	}
	for _, s := range moreSystems() {
		all = append(all, simSystem{id: s.ID, title: s.Title, paths: s.Paths, arq: true, stagger: s.Stagger})
	}
	return all
}

const (
	simPayload   = 16 // bytes: what the packets say does not matter, only their number
	simPacket    = 12 + simPayload
	simPacketMax = 22 + 3 + simPacket + 16 // a repair packet, padded
	simStep      = time.Millisecond
	simStagger   = 15 * time.Millisecond // as quartetd's default within a group
	simSSRC      = 0x51
	simWarmup    = 1000 // packets that do not count
)

// simOutcome is one seed's.
type simOutcome struct {
	tally
	runs, maxRun uint64
	wire         uint64
	wrong        uint64
}

// simulation is a system at work in virtual time.
type simulation struct {
	paths   []*arqPath
	fifo    []staggered
	dec     *fec.Decoder
	enc     *fec.Encoder
	packets uint64 // to be sent
	out     simOutcome
	seen    uint64 // source packets that came out or were given up
	run     uint64
	err     error
}

// staggered are packets that wait for their path's stagger, in order.
type staggered struct {
	by    time.Duration
	queue []waiting
	head  int
}

type waiting struct {
	due time.Duration
	n   int
	pkt [simPacketMax]byte
}

func (s *staggered) push(due time.Duration, pkt []byte) {
	w := waiting{due: due + s.by}
	w.n = copy(w.pkt[:], pkt)
	s.queue = append(s.queue, w)
}

func (s *staggered) pop(now time.Duration, send func(time.Duration, []byte)) {
	for s.head < len(s.queue) && s.queue[s.head].due <= now {
		w := &s.queue[s.head]
		send(now, w.pkt[:w.n])
		s.head++
	}
	if s.head > 1024 {
		s.queue = append(s.queue[:0], s.queue[s.head:]...)
		s.head = 0
	}
}

// planFor asks the project's planner, as quartetd does.
func planFor(o options, c cell, sys simSystem) (uplink.Plan, error) {
	if sys.plain {
		return uplink.Plan{SRTLatency: o.latency}, nil
	}
	d := uplink.Demand{BitrateBPS: o.rateBPS, PacketsPerMessage: tsPerDatagram, Latency: o.latency, Streams: sys.paths, RTT: c.RTT}
	if sys.parity {
		d.OverheadPercent = float64(o.overhead)
	}
	for i := range sys.paths {
		d.Stagger = max(d.Stagger, sys.staggerOf(i))
	}
	return uplink.NewPlan(d)
}

// simulate sends packets through a system under a cell's conditions.
func simulate(o options, c cell, sys simSystem, plan uplink.Plan, seed, packets int) (simOutcome, error) {
	s := &simulation{packets: uint64(packets)}
	if err := s.build(o, c, sys, plan, seed); err != nil {
		return s.out, err
	}
	gap := packetTime(o.rateBPS)
	pkt := make([]byte, simPacket)
	pkt[0], pkt[1] = 0x80, fec.SourcePT
	binary.BigEndian.PutUint32(pkt[8:], simSSRC)
	end := time.Duration(packets)*gap + o.latency + c.RTT + time.Second
	n := 0
	for now := time.Duration(0); now < end && s.err == nil; now += simStep {
		for at := time.Duration(n) * gap; at <= now && n < packets; at = time.Duration(n) * gap {
			binary.BigEndian.PutUint16(pkt[2:], uint16(n))
			binary.BigEndian.PutUint32(pkt[4:], uint32(at*90/time.Millisecond))
			binary.BigEndian.PutUint64(pkt[12:], uint64(n))
			for i := range s.fifo {
				s.fifo[i].push(at, pkt)
			}
			if s.enc != nil {
				if err := s.enc.Add(at, pkt); err != nil {
					return s.out, err
				}
			}
			n++
		}
		if s.enc != nil {
			s.enc.Tick(now)
		}
		for i, p := range s.paths {
			s.fifo[i].pop(now, p.send)
			p.step(now)
		}
		if s.dec != nil {
			s.dec.Tick(now)
		}
	}
	for _, p := range s.paths {
		s.out.wire += p.sent + p.resent
	}
	if s.out.wrong > 0 {
		return s.out, fmt.Errorf("%s, %s, seed %d: %d packets came out altered or out of order", sys.id, c.id(), seed, s.out.wrong)
	}
	return s.out, s.err
}

func (s *simulation) build(o options, c cell, sys simSystem, plan uplink.Plan, seed int) (err error) {
	if !sys.plain {
		s.dec, err = fec.NewDecoder(fec.DecoderConfig{Latency: o.latency, MaxPacket: simPacket, Deliver: s.delivered})
		if err != nil {
			return err
		}
		if plan.Rows > 0 {
			ssrc, seq := make([]uint32, sys.paths), make([]uint16, sys.paths)
			s.enc, err = fec.NewEncoder(fec.EncoderConfig{
				Params: plan.Params(), SSRC: ssrc, Seq: seq, MaxPacket: simPacket,
				Emit: func(stream int, at time.Duration, pkt []byte) { s.fifo[stream].push(at, pkt) },
			})
			if err != nil {
				return err
			}
		}
	}
	for i := range sys.paths {
		by, latency := sys.staggerOf(i), plan.SRTLatency
		if sys.stagger != nil {
			latency += plan.Stagger - by
		}
		p, err := newARQPath(fmt.Sprintf("path %d", i+1), uint64(seed), c.impairment(o.rateBPS), c.RTT/2, latency, sys.arq)
		if err != nil {
			return err
		}
		s.paths, s.fifo = append(s.paths, p), append(s.fifo, staggered{by: by})
		if sys.plain {
			p.deliver = func(_ time.Duration, pkt []byte) { s.came(binary.BigEndian.Uint64(pkt[12:])) }
			p.giveUp = func(time.Duration) { s.lost(1) }
			continue
		}
		s.dec.SetPath(i, latency+by, true)
		p.deliver = func(at time.Duration, pkt []byte) { s.dec.Push(i, at, pkt) }
	}
	return nil
}

// delivered is called by the decoder, in sequence.
func (s *simulation) delivered(d *fec.Delivery) {
	if d.Lost {
		s.lost(d.Count)
		return
	}
	n := binary.BigEndian.Uint64(d.Packet[12:])
	if s.seen == 0 {
		s.seen = n // the first ones may have been lost before the decoder knew of any
	}
	s.came(n)
}

func (s *simulation) came(n uint64) {
	if n != s.seen {
		s.out.wrong++
	}
	s.seen++
	s.run = 0
	if s.seen > simWarmup {
		s.out.total++
	}
}

func (s *simulation) lost(count uint64) {
	for range count {
		s.seen++
		if s.seen <= simWarmup || s.seen > s.packets {
			continue
		}
		if s.run == 0 {
			s.out.runs++
		}
		s.run++
		s.out.maxRun = max(s.out.maxRun, s.run)
		s.out.lost++
		s.out.total++
	}
}

// simulateAll runs part two on all processors.
func simulateAll(ctx context.Context, o options) (*virtualResult, error) {
	begun := time.Now()
	res := &virtualResult{Packets: o.virtual, Seeds: max(o.seeds, 2)}
	type job struct{ cell, system, seed int }
	type outcome struct {
		job
		out simOutcome
	}
	systems, cells := simSystems(), o.cells()
	plans := make([][]uplink.Plan, len(cells))
	var jobs []job
	for i, c := range cells {
		for j, sys := range systems {
			plan, err := planFor(o, c, sys)
			if err != nil {
				return nil, fmt.Errorf("virtual: %s, %s: %w", c.id(), sys.id, err)
			}
			plans[i] = append(plans[i], plan)
			for seed := range res.Seeds {
				jobs = append(jobs, job{i, j, seed + 1})
			}
		}
	}
	say("virtual time: %d systems in %d cells, %d packets each", len(systems), len(cells), o.virtual)
	work := make(chan job)
	var mu sync.Mutex
	var all []outcome
	var failed error
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for k := range work {
				out, err := simulate(o, cells[k.cell], systems[k.system], plans[k.cell][k.system], k.seed, simWarmup+o.virtual/res.Seeds)
				mu.Lock()
				all = append(all, outcome{k, out})
				if err != nil && failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for i, k := range jobs {
		if ctx.Err() != nil {
			break
		}
		if i > 0 && k.cell != jobs[i-1].cell {
			say("virtual time: %s done", cells[k.cell-1].id())
		}
		work <- k
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, c := range cells {
		vc := virtualCell{Cell: c.id(), RTTMS: int(c.RTT.Milliseconds()), Link: c.Link.ID}
		for j, sys := range systems {
			v := virtualSystem{System: sys.id, Title: sys.title}
			if !sys.plain {
				v.Plan = plans[i][j].String()
			}
			var tallies []tally
			var wire, sent float64
			for _, x := range all {
				if x.cell != i || x.system != j {
					continue
				}
				tallies = append(tallies, x.out.tally)
				v.Lost, v.Total, v.Runs = v.Lost+x.out.lost, v.Total+x.out.total, v.Runs+x.out.runs
				v.MaxRun = max(v.MaxRun, x.out.maxRun)
				wire, sent = wire+float64(x.out.wire), sent+float64(simWarmup+o.virtual/res.Seeds)
			}
			v.Residual, v.Sent = estimate(tallies), wire/max(1, sent)
			vc.Systems = append(vc.Systems, v)
		}
		res.Cells = append(res.Cells, vc)
	}
	res.Seconds = time.Since(begun).Seconds()
	return res, failed
}
