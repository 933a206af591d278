package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/uplink"
)

// listenControl opens the control socket.
func (b *box) listenControl() (*control.Server, error) {
	return control.Listen(control.Config{
		Socket: b.opts.socket, Media: b, Health: b.watch.health,
		Wall: func(d time.Duration) time.Time { return b.opts.start.Add(d) }, Instance: rand.Text(), Log: b.opts.log,
	})
}

// Status implements control.Media.
func (b *box) Status() control.Status {
	doc, plan, now := b.document(), b.plan(), b.opts.now()
	s := control.Status{
		Name: doc.Name, Version: version, Time: time.Now(), UptimeS: now.Seconds(),
		Input: b.inputStatus(doc), Plan: planStatus(plan),
	}
	for i, p := range b.sender.Paths() {
		s.Paths = append(s.Paths, b.pathStatus(now, doc.Paths[i], plan, p))
	}
	return s
}

func (b *box) inputStatus(doc *config.Box) control.Input {
	st := b.input.Stats()
	in := control.Input{
		Type: doc.Input.Type, URL: config.RedactURL(doc.Input.URL), State: control.InputOK, Reason: st.SourceFailure,
		OnLoss: doc.Input.OnInputLoss, Filling: !st.Present && st.NullPackets > 0 && !st.Silenced,
		BitrateBPS: st.RateBPS, Packets: st.TSPackets, Losses: st.Losses,
	}
	if p := b.sender.Stats().Pacer; p != nil {
		in.JitterMS = p.JitterMS
	}
	switch {
	case st.Present:
	case st.TSPackets == 0:
		in.State = control.InputWaiting
	default:
		in.State = control.InputLost
	}
	return in
}

func planStatus(p uplink.Plan) control.Plan {
	return control.Plan{
		K: p.K, Rows: p.Rows, Streams: p.Streams, MaxBlockMS: inMS(p.MaxBlock), FECBoundMS: inMS(p.FECBound),
		SRTLatencyMS: inMS(p.SRTLatency), StaggerMS: inMS(p.Stagger), LatencyMS: inMS(p.Latency), SpareMS: inMS(p.Spare),
		ARQRounds: p.ARQRounds, OverheadPercent: 100 * p.Overhead, WireBPS: p.WireBPS, Notes: p.Notes,
	}
}

func (b *box) pathStatus(now time.Duration, doc config.Path, plan uplink.Plan, path *uplink.Path) control.Path {
	st := path.Stats()
	rate := b.watch.rates(doc.Name)
	p := control.Path{
		Name: st.Name, Leg: st.Leg, Group: doc.MergeGroup, Profile: st.Profile, State: string(st.State), Reason: st.Reason,
		Interface: doc.Interface, Encrypted: doc.Passphrase != "" && doc.Profile != config.ProfileRTP,
		LatencyMS: inMS(plan.SRTLatency), StaggerMS: st.Stagger, BitrateBPS: rate.bps, SendLossPercent: rate.sendLoss,
		Sent: st.Sent, QueueDropped: st.Dropped + st.Stale, Connects: st.Connects, Disconnects: st.Disconnects,
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

// Reload implements control.Media.
func (b *box) Reload(context.Context) (control.Reload, error) {
	changed, warnings, err := b.reload()
	b.watch.set(health.ConfigInvalid, health.ResourceBox, err != nil, errText(err))
	return control.Reload{Changed: changed, Warnings: warnings}, err
}

// Preflight implements control.Media.
func (b *box) Preflight(ctx context.Context, name string) (control.Preflight, error) {
	doc, plan := b.document(), b.plan()
	for i := range doc.Paths {
		if doc.Paths[i].Name != name {
			continue
		}
		if doc.Paths[i].Mode == config.ModeListener {
			return control.Preflight{}, fmt.Errorf("path %s listens: a preflight can only call; start it at the far end", name)
		}
		pc, err := buildPath(doc, i, plan, boxplan.Staggers(doc)[i])
		if err != nil {
			return control.Preflight{}, err
		}
		key, accept, err := keysOf(doc.Output)
		if err != nil {
			return control.Preflight{}, err
		}
		defer pc.Dialer.Close()
		r := b.sender.Preflight(ctx, i, pc, key, accept)
		out := control.Preflight{Path: name, OK: r.OK, LargestBytes: r.Largest, TSPacketsPerMessage: r.PacketsPerMessage}
		for _, s := range r.Steps {
			out.Steps = append(out.Steps, control.Step{Name: s.Name, OK: s.OK, Text: s.Text, Remedy: s.Remedy})
		}
		return out, nil
	}
	return control.Preflight{}, control.ErrNoPath
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
