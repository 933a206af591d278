package main

import (
	"cmp"
	"crypto/rand"
	"time"

	"quartet/capture"
	"quartet/capture/engine"
	capsrt "quartet/capture/srt"
	"quartet/capture/udp"
	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/fec"
	"quartet/uplink"
)

// listenControl opens the control socket.
func (b *box) listenControl() (*control.Server, error) {
	return control.Listen(control.Config{
		Socket: b.opts.socket, Media: b, Health: b.watch.health,
		Wall: b.wall, Instance: rand.Text(), Log: b.opts.log,
	})
}

// wall turns a process time into a wall-clock time.
func (b *box) wall(d time.Duration) time.Time { return b.opts.start.Add(d) }

// Status implements control.Media.
func (b *box) Status() control.Status {
	doc, set := b.current()
	now := b.opts.now()
	s := control.Status{
		Name: doc.Name, Version: version, Time: time.Now(), UptimeS: now.Seconds(),
		Input: b.inputStatus(doc), Plan: planStatus(set.plan, b.chain.sender.Stats().FEC),
	}
	s.Input.Monitor = monitorStatus(b.chain.in, b.wall)
	s.Input.Confidence = b.confidenceStatus(set.limits)
	s.Output.Monitor = monitorStatus(b.chain.out, b.wall)
	for i, p := range b.chain.sender.Paths() {
		s.Paths = append(s.Paths, pathStatus(now, doc, i, &set.paths[i], p.Stats(), b.watch.rates(set.paths[i].Name)))
	}
	return s
}

func (b *box) inputStatus(doc *config.Box) control.Input {
	st := b.chain.input.Stats()
	in := control.Input{
		Type: doc.Input.Type, URL: config.RedactURL(doc.Input.URL), State: control.InputOK, Reason: st.SourceFailure,
		OnLoss: doc.Input.OnInputLoss, Filling: !st.Present && st.NullPackets > 0 && !st.Silenced,
		BitrateBPS: st.RateBPS, Packets: st.TSPackets, Losses: st.Losses,
	}
	in.ContinuityErrors, in.TransportErrors = b.chain.damage()
	if p := b.chain.sender.Stats().Pacer; p != nil {
		in.JitterMS = p.JitterMS
	}
	switch {
	case st.Present:
	case st.TSPackets == 0:
		in.State = control.InputWaiting
	default:
		in.State = control.InputLost
	}
	sourceStatus(&in, b.chain.feed, &doc.Input)
	if e, ok := b.chain.source.(*engine.Source); ok {
		engineStatus(&in, e.Stats())
	}
	if a := b.chain.adapter; a != nil && in.Engine != nil {
		in.Engine.LowestBPS, in.Engine.HighestBPS = a.bounds()
	}
	if in.State == control.InputOK {
		in.Reason = ""
	}
	return in
}

// sourceStatus adds what only the kind of source knows.
func sourceStatus(in *control.Input, source capture.Source, doc *config.Input) {
	switch s := source.(type) {
	case *capsrt.Source:
		st := s.Stats()
		in.SyncLosses, in.SkippedBytes = st.Framer.SyncLosses, st.Framer.SkippedBytes
		in.Reason = cmp.Or(in.Reason, st.Error)
	case *udp.Source:
		st := s.Stats()
		in.SyncLosses, in.SkippedBytes = st.Framer.SyncLosses, st.Framer.SkippedBytes
		urls := []string{doc.URL}
		if doc.Second != nil {
			urls = append(urls, doc.Second.URL)
		}
		garbage := false // if the input is not ok
		for i := range min(len(st.Legs), len(urls)) {
			l := &st.Legs[i]
			in.Reason = cmp.Or(in.Reason, l.Error)
			in.Malformed += l.Malformed
			garbage = garbage || l.LastMS >= 0 && l.LastMS < float64(doc.LossAfterMS)/2
			if doc.Second == nil {
				continue
			}
			leg := control.InputLeg{URL: config.RedactURL(urls[i]), State: control.InputOK}
			switch {
			case l.LastMS < 0:
				leg.State = control.InputWaiting
			case l.LastMS > float64(doc.LossAfterMS):
				leg.State = control.InputLost
			}
			if st.RTP != nil && i < len(st.RTP.Legs) {
				leg.Received, leg.Missing = st.RTP.Legs[i].Received, st.RTP.Legs[i].LostHere
			}
			in.Legs = append(in.Legs, leg)
		}
		in.SyncLosses += in.Malformed
		if garbage || in.Packets == 0 && in.Malformed > 0 {
			in.Reason = cmp.Or(in.Reason, "datagrams come, and none of them is transport stream")
		}
	}
}

// engineStatus adds what the media engine says. The feed is the engine's input,
// not its output, which never ends.
func engineStatus(in *control.Input, st engine.Stats) {
	in.Engine = &control.Engine{
		Up: st.Up, Reason: cmp.Or(st.Capture, st.Failure), Encoder: st.Encoder, OnAir: string(st.Splice.Origin), InputPresent: st.Present,
		Starts: st.Starts, Frames: st.Frames, LateFrames: st.Splice.LateFrames, RateBPS: st.RateBPS, Stuffing: st.Splice.Stuffer.Nulls,
		LeadMS: st.Splice.LeadMS, DelayMS: st.DelayMS, MemoryMiB: st.MemoryMiB, SlateSeconds: st.Splice.SlateMS / 1000, LastOutageMS: st.BackAfterMS,
		PeakDB: st.PeakDB, RMSDB: st.RMSDB,
		ClockPPM: st.Lock.PPM, FrameJitterMS: st.Lock.JitterMS, Repeated: st.Lock.Repeated, Surplus: st.Lock.Surplus,
		SoundPresent: st.Sound, SoundReason: st.SoundError, SoundPPM: st.Lock.SoundPPM, ResamplePPM: st.Lock.ResamplePPM,
		SoundOffsetMS: st.Lock.OffsetMS, SoundSlips: st.Lock.Slips,
	}
	if g := st.Signal; g.Is != "" {
		in.Engine.Signal = &control.Signal{State: g.Is, Format: g.Format, Text: g.Text, Remedy: g.Remedy, Card: g.Card, Input: g.Input}
	}
	if st.Reforming {
		in.Engine.Up = true // it is being replaced, which is no fault
	}
	switch {
	case st.Present && st.Splice.Origin == engine.FromEngine:
		if st.Slate {
			in.Engine.OnAir = "slate"
		}
		in.State = control.InputOK
	case st.Frames == 0:
		in.State = control.InputWaiting
	default:
		in.State = control.InputLost
		in.Filling = true
	}
	if s := in.Engine.Signal; s != nil && !st.Signal.Good {
		in.Reason = s.Text
	} else if !st.Present || !st.Up {
		in.Reason = cmp.Or(st.Capture, st.Failure)
	}
}

func planStatus(p uplink.Plan, did *fec.EncoderStats) control.Plan {
	c := boxplan.View(p)
	if did != nil && did.Source > 0 && p.Streams > 0 {
		c.OverheadNow = 100 * float64(did.Repair) / float64(did.Source) / float64(p.Streams)
	}
	return c
}

// pathStatus is what is shown of path i.
func pathStatus(now time.Duration, box *config.Box, i int, set *pathParts, st uplink.PathStats, rate pathRates) control.Path {
	doc := &box.Paths[i]
	p := control.Path{
		Name: st.Name, Leg: st.Leg, Profile: st.Profile, State: string(st.State), Reason: st.Reason,
		Interface: doc.Interface, Encrypted: doc.Passphrase != "" && doc.Profile != config.ProfileRTP,
		LatencyMS: inMS(set.SRTLatency), StaggerMS: st.Stagger, BitrateBPS: rate.bps, SendLossPercent: rate.sendLoss,
		Reachable: st.State == uplink.StateUp || st.Answered,
		Shed:      st.Shed, ParityShed: st.Bare, Sent: st.Sent, QueueDropped: st.Dropped + st.Stale, Connects: st.Connects, Disconnects: st.Disconnects,
	}
	if doc.Profile == config.ProfileRTPFEC {
		p.Group = box.MergeGroupOf(i)
	}
	if st.State == uplink.StateUp {
		p.UpS = now.Seconds() - st.UpSince
	}
	if l := st.Link; l != nil && st.State == uplink.StateUp {
		p.Remote, p.Local = l.Remote, l.Local
		if s := l.SRT; s != nil {
			p.RTTMS = s.MSRTT
			p.SendLoss, p.Retransmits, p.SendDropped = uint64(s.PktSndLossTotal), uint64(s.PktRetransTotal), uint64(s.PktSndDropTotal)
		}
	}
	switch {
	case doc.Profile == config.ProfileTS:
		p.ArrivalUnknown = "a receiver of profile ts does not report"
	case doc.Profile == config.ProfileRTP:
		p.ArrivalUnknown = "plain RTP has no way back"
	case st.Arrival == nil:
		p.ArrivalUnknown = "no report yet"
	default:
		a := st.Arrival
		p.Arrival = &control.Arrival{
			AgeMS: a.Age, Received: a.Received, LostHere: a.LostHere, ByOther: a.ByOther, ByParity: a.ByParity, Unrecovered: a.Unrecovered,
			Late: a.Late, BadTag: a.BadTag, SkewMS: a.Skew, JitterMS: a.Jitter, LossPercent: rate.lossHere,
			Merged: control.Merged{
				Delivered: a.Merged.Delivered, ByParity: a.Merged.ByParity, Lost: a.Merged.Lost, MarginMS: a.Merged.Margin,
				LatencyMS: a.Merged.Latency, BitrateBPS: int64(a.Merged.BitRate),
			},
			Digest: control.Digest{
				Compared: a.Digest.Equal + a.Digest.Different, Equal: a.Digest.Equal, Different: a.Digest.Different,
			},
		}
	}
	return p
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
