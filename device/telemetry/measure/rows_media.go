package measure

import (
	"quartet/device/control"
	"quartet/device/health"
)

// Record names each record that goes home; who sends it fills it in. It is not
// in a Sample.
var Record = Def{Name: "quartet.telemetry.record", Unit: "{record}", Labels: []string{"epoch", "boot", "clock"},
	Text: "Number of the record that the points of this instant came in. With `service.instance.id` and `epoch` (of the process that made it) it is the record's identity, by which doubles are found; `boot` is the machine's boot, `clock` how its time was found."}

// overall is what a box has once, whatever it does.
var overall = []row[Snapshot]{
	gauge("quartet.up", "{box}", nil, 0, "1 when the media plane answers.", "", func(n *Snapshot) float64 { return flag(n.Box != nil) }),
	gauge("quartet.streaming", "{box}", nil, 0, "1 while a feed is there and at least one path is up.", "Link: Streaming",
		func(n *Snapshot) float64 { return flag(n.Box != nil && Streaming(n.Box)) }),
	gauge("quartet.telemetry.queued", "{record}", nil, 0, "Records of metrics that home does not have yet.", "", func(n *Snapshot) float64 { return float64(n.Self.Queued) }),
	gauge("quartet.telemetry.queued_events", "{record}", nil, 0, "Alarms and audit records that home does not have yet.", "", func(n *Snapshot) float64 { return float64(n.Self.QueuedEvents) }),
	gauge("quartet.telemetry.oldest", "s", nil, 0, "Age of the oldest record that home does not have yet.", "", func(n *Snapshot) float64 { return n.Self.OldestSeconds }),
	gauge("quartet.telemetry.disk.usage", "By", nil, 0, "Size of the log on disk.", "", func(n *Snapshot) float64 { return float64(n.Self.DiskBytes) }),
	gauge("quartet.telemetry.disk.failing", "{disk}", nil, 0, "1 while records are held in memory because the disk fails.", "", func(n *Snapshot) float64 { return flag(n.Self.DiskFailing) }),
	gauge("quartet.telemetry.memory.records", "{record}", nil, 0, "Records that are in memory and not on disk.", "", func(n *Snapshot) float64 { return float64(n.Self.MemoryRecords) }),
	gauge("quartet.telemetry.reachable", "{home}", nil, 0, "1 when home accepted the last request.", "", func(n *Snapshot) float64 { return flag(n.Self.Reachable) }),
	gauge("quartet.telemetry.clock.trusted", "{clock}", nil, 0, "1 while the clock is kept by somebody, or agrees with home's.", "", func(n *Snapshot) float64 { return flag(n.Self.ClockTrusted) }),
	counter(Manage, "quartet.telemetry.sent", "{record}", nil, 0, "Records of metrics that home accepted.", "", func(n *Snapshot) float64 { return float64(n.Self.Sent) }),
	counter(Manage, "quartet.telemetry.sent_events", "{record}", nil, 0, "Alarms and audit records that home accepted.", "", func(n *Snapshot) float64 { return float64(n.Self.SentEvents) }),
	counter(Manage, "quartet.telemetry.retries", "{request}", nil, 0, "Requests that home did not answer, or asked to have again.", "", func(n *Snapshot) float64 { return float64(n.Self.Retries) }),
	counter(Manage, "quartet.telemetry.refused", "{record}", nil, 0, "Records that home refused for good; they are in quarantine.", "", func(n *Snapshot) float64 { return float64(n.Self.Refused) }),
	counter(Manage, "quartet.telemetry.lost", "{record}", nil, 0, "Records thinned out, removed or dropped for want of room.", "", func(n *Snapshot) float64 { return float64(n.Self.Lost) }),
	counter(Manage, "process.cpu.time", "s", nil, 0, "Processor time of the management plane.", "", func(n *Snapshot) float64 { return n.Self.ProcessCPU }),
	gauge("process.memory.usage", "By", nil, 0, "Resident memory of the management plane.", "", func(n *Snapshot) float64 { return n.Self.ProcessResident }),
	only(gauge("hw.host.power", "W", nil, 0, "Power that the box takes.", "", func(n *Snapshot) float64 { return n.Energy.Watts }), powered),
	only(counter(Manage, "hw.host.energy", "J", nil, 0, "Energy that the box has taken.", "", func(n *Snapshot) float64 { return n.Energy.Joules }), powered),
	only(gauge("quartet.energy.per_streamed_hour", "J/h", nil, 0, "Energy for each hour of streaming, standby included. 3600 J are one watt-hour.", "",
		func(n *Snapshot) float64 { return n.Energy.Joules / n.Energy.StreamedHours }),
		func(n *Snapshot) bool { return powered(n) && n.Energy.StreamedHours > 0 }),
}

func powered(n *Snapshot) bool { return n.Energy.Known }

// Streaming tells whether a box has a feed and brings it somewhere.
func Streaming(b *control.Status) bool {
	if b.Input.State != control.InputOK {
		return false
	}
	for i := range b.Paths {
		if b.Paths[i].State == control.PathUp {
			return true
		}
	}
	return false
}

// boxRows is the feed and the plan.
var boxRows = []row[control.Status]{
	gauge("quartet.uptime", "s", nil, 0, "Since the media plane started.", "MediaConnect: SourceUptime", func(b *control.Status) float64 { return b.UptimeS }),
	gauge("quartet.input.locked", "{input}", nil, 0, "1 while the feed is there.", "Link: InputLocked", func(b *control.Status) float64 { return flag(b.Input.State == control.InputOK) }),
	gauge("quartet.input.filling", "{input}", nil, 0, "1 while null packets stand in for the feed.", "", func(b *control.Status) float64 { return flag(b.Input.Filling) }),
	gauge("quartet.input.bitrate", "bit/s", nil, 0, "Transport stream of the feed.", "Link: EncoderBitrate; MediaConnect: SourceBitRate", func(b *control.Status) float64 { return float64(b.Input.BitrateBPS) }),
	gauge("quartet.input.jitter", "s", nil, 0, "Jitter of the feed's arrival.", "MediaConnect: SourceJitter", func(b *control.Status) float64 { return b.Input.JitterMS / 1000 }),
	counter(Box, "quartet.input.packets", "{packet}", nil, 0, "TS packets of the feed.", "", func(b *control.Status) float64 { return float64(b.Input.Packets) }),
	counter(Box, "quartet.input.continuity_errors", "{error}", nil, 0, "Continuity errors of the feed, with monitoring switched off too.", "MediaConnect: ContinuityCounter", func(b *control.Status) float64 { return float64(b.Input.ContinuityErrors) }),
	counter(Box, "quartet.input.transport_errors", "{error}", nil, 0, "Packets of the feed with the error flag.", "MediaConnect: TransportError", func(b *control.Status) float64 { return float64(b.Input.TransportErrors) }),
	counter(Box, "quartet.input.sync_losses", "{loss}", nil, 0, "Times the feed's packets could not be found.", "MediaConnect: TSSyncLoss", func(b *control.Status) float64 { return float64(b.Input.SyncLosses) }),
	counter(Box, "quartet.input.malformed", "{packet}", nil, 0, "Datagrams of the feed that carry no transport stream.", "", func(b *control.Status) float64 { return float64(b.Input.Malformed) }),
	counter(Box, "quartet.input.losses", "{loss}", nil, 0, "Times the feed was lost.", "", func(b *control.Status) float64 { return float64(b.Input.Losses) }),
	gauge("quartet.plan.latency", "s", nil, 0, "Total latency that is planned.", "", func(b *control.Status) float64 { return b.Plan.LatencyMS / 1000 }),
	gauge("quartet.plan.srt_latency", "s", nil, 0, "SRT latency that is planned.", "", func(b *control.Status) float64 { return b.Plan.SRTLatencyMS / 1000 }),
	gauge("quartet.plan.overhead", "1", nil, 0, "Repair packets to source packets, as measured.", "", func(b *control.Status) float64 { return b.Plan.OverheadNow / 100 }),
	gauge("quartet.plan.bitrate", "bit/s", nil, 0, "One stream on the wire at the highest rate.", "", func(b *control.Status) float64 { return float64(b.Plan.WireBPS) }),
	gauge("quartet.plan.feasible", "{plan}", nil, 0, "1 when latency and overhead fit rate and round trip.", "", func(b *control.Status) float64 { return flag(b.Plan.Problem == "") }),
}

var inputLegRows = []row[control.InputLeg]{
	gauge("quartet.input.leg.receiving", "{leg}", []string{"copy"}, 0, "1 while this copy of an ST 2022-7 feed arrives.", "MediaConnect: SourceConnected", func(l *control.InputLeg) float64 { return flag(l.State == control.InputOK) }),
	counter(Box, "quartet.input.leg.received", "{packet}", []string{"copy"}, 0, "Packets of this copy.", "MediaConnect: SourceTotalPackets", func(l *control.InputLeg) float64 { return float64(l.Received) }),
	counter(Box, "quartet.input.leg.missing", "{packet}", []string{"copy"}, 0, "Packets that did not come in this copy; the other may have had them.", "MediaConnect: SourceMissingPackets", func(l *control.InputLeg) float64 { return float64(l.Missing) }),
}

var engineRows = []row[control.Engine]{
	gauge("quartet.engine.up", "{engine}", nil, 0, "1 while the media engine runs.", "Link: EncoderRunning", func(e *control.Engine) float64 { return flag(e.Up) }),
	gauge("quartet.engine.input_present", "{input}", nil, 0, "1 while the picture's source has a signal.", "Link: InputLocked", func(e *control.Engine) float64 { return flag(e.InputPresent) }),
	gauge("quartet.engine.on_air", "{engine}", nil, 0, "1 while the engine's stream is sent, 0 while the slate or nothing is.", "Link: Streaming", func(e *control.Engine) float64 { return flag(e.OnAir == "engine") }),
	gauge("quartet.engine.bitrate", "bit/s", nil, 0, "Whole stream, as asked for.", "Link: ConfiguredBitrate", func(e *control.Engine) float64 { return float64(e.RateBPS) }),
	counter(Box, "quartet.engine.starts", "{start}", nil, 0, "Starts of the engine.", "", func(e *control.Engine) float64 { return float64(e.Starts) }),
	counter(Box, "quartet.engine.frames", "{frame}", nil, 0, "Frames captured.", "", func(e *control.Engine) float64 { return float64(e.Frames) }),
	counter(Box, "quartet.engine.late_frames", "{frame}", nil, 0, "Frames encoded after they were to be shown.", "", func(e *control.Engine) float64 { return float64(e.LateFrames) }),
	counter(Box, "quartet.engine.slate", "s", nil, 0, "Time the engine was not on air.", "", func(e *control.Engine) float64 { return e.SlateSeconds }),
	gauge("quartet.engine.lead", "s", nil, 0, "What a frame is ahead of its time.", "", func(e *control.Engine) float64 { return e.LeadMS / 1000 }),
	gauge("quartet.engine.delay", "s", nil, 0, "Of a picture, from the encoder's input to the stream.", "", func(e *control.Engine) float64 { return e.DelayMS / 1000 }),
	gauge("quartet.engine.memory", "By", nil, 0, "Memory of the engine.", "", func(e *control.Engine) float64 { return float64(e.MemoryMiB) * (1 << 20) }),
}

// level is one channel of sound.
type level struct{ peak, rms float64 }

var levelRows = []row[level]{
	gauge("quartet.engine.audio.peak", "dB", []string{"channel"}, 0, "Peak, of full scale.", "", func(l *level) float64 { return l.peak }),
	gauge("quartet.engine.audio.rms", "dB", []string{"channel"}, 0, "Mean level, of full scale.", "", func(l *level) float64 { return l.rms }),
}

var byPlace = []string{"place"}

// streamRows and those below are ETSI TR 101 290's, at the input and at the
// output.
var streamRows = []row[control.Monitor]{
	gauge("quartet.ts.synced", "{stream}", byPlace, 0, "1 while a transport stream is there.", "MediaConnect: SourceConnected", func(m *control.Monitor) float64 { return flag(m.Synced) }),
	gauge("quartet.ts.bitrate", "bit/s", byPlace, 0, "Transport stream, by arrival.", "MediaConnect: SourceBitRate", func(m *control.Monitor) float64 { return float64(m.BitrateBPS) }),
	gauge("quartet.ts.null_share", "1", byPlace, 0, "Null packets, of all.", "", func(m *control.Monitor) float64 { return m.NullShare }),
	counter(Box, "quartet.ts.priority1_errors", "{error}", byPlace, 0, "Errors of first priority: it cannot be decoded.", "", func(m *control.Monitor) float64 { return float64(m.Priority1) }),
	counter(Box, "quartet.ts.priority2_errors", "{error}", byPlace, 0, "Errors of second priority: to be watched all the time.", "", func(m *control.Monitor) float64 { return float64(m.Priority2) }),
}

var checkRows = []row[control.StreamCheck]{
	counter(Box, "quartet.ts.errors", "{error}", []string{"place", "clause", "check", "priority"}, 2,
		"Errors of one check of ETSI TR 101 290; `check` is the standard's name ([monitoring.md](monitoring.md)).",
		"MediaConnect: TSSyncLoss (1.1), TSByteError (1.2), PATError (1.3.a), ContinuityCounter (1.4), PMTError (1.5.a), PIDError (1.6), TransportError (2.1), CRCError (2.2), PCRError (2.3), PCRAccuracyError (2.4), PTSError (2.5), CATError (2.6)",
		func(c *control.StreamCheck) float64 { return float64(c.Count) }),
}

var byClock = []string{"place", "pid"}

var clockRows = []row[control.StreamClock]{
	gauge("quartet.ts.pcr.interval", "s", byClock, 0, "Longest interval from PCR to PCR of late.", "", func(c *control.StreamClock) float64 { return c.LongestMS / 1000 }),
	gauge("quartet.ts.pcr.jitter", "s", byClock, 0, "Arrival against PCR, peak to peak.", "MediaConnect: SourceJitter", func(c *control.StreamClock) float64 { return c.JitterMS / 1000 }),
	only(gauge("quartet.ts.pcr.accuracy", "ns", byClock, 0, "Worst PCR accuracy of late, where the rate is constant.", "", func(c *control.StreamClock) float64 { return c.AccuracyNS }),
		func(c *control.StreamClock) bool { return c.Constant }),
}

var byPath = []string{"path", "leg"}

// pathRows is what this end knows of a path. Names of SRT's own statistics are
// libsrt's.
var pathRows = []row[control.Path]{
	gauge("quartet.path.up", "{path}", byPath, 1, "1 while the path is connected.", "Link: LinkedToStreamEndpoint; MediaConnect: SourceConnected", func(p *control.Path) float64 { return flag(p.State == control.PathUp) }),
	gauge("quartet.path.uptime", "s", byPath, 1, "Since the path connected.", "MediaConnect: SourceUptime", func(p *control.Path) float64 { return p.UpS }),
	gauge("quartet.path.bitrate", "bit/s", byPath, 1, "What is sent on the path.", "MediaConnect: SourceBitRate", func(p *control.Path) float64 { return float64(p.BitrateBPS) }),
	gauge("quartet.path.encrypted", "{path}", byPath, 1, "1 when SRT encrypts.", "", func(p *control.Path) float64 { return flag(p.Encrypted) }),
	gauge("quartet.path.srt.ms_rtt", "ms", byPath, 1, "libsrt msRTT: round trip.", "MediaConnect: SourceRoundTripTime", func(p *control.Path) float64 { return p.RTTMS }),
	gauge("quartet.path.srt.ms_latency", "ms", byPath, 1, "SRT latency that was agreed on.", "", func(p *control.Path) float64 { return p.LatencyMS }),
	counter(Box, "quartet.path.srt.pkt_sent", "{packet}", byPath, 1, "libsrt pktSent: messages given to the socket.", "MediaConnect: SourceTotalPackets", func(p *control.Path) float64 { return float64(p.Sent) }),
	counter(Box, "quartet.path.srt.pkt_snd_loss", "{packet}", byPath, 1, "libsrt pktSndLoss: packets that the far end asked for again.", "MediaConnect: SourceARQRequests", func(p *control.Path) float64 { return float64(p.SendLoss) }),
	counter(Box, "quartet.path.srt.pkt_retrans", "{packet}", byPath, 1, "libsrt pktRetrans: packets sent again.", "MediaConnect: SourceARQRecovered", func(p *control.Path) float64 { return float64(p.Retransmits) }),
	counter(Box, "quartet.path.srt.pkt_snd_drop", "{packet}", byPath, 1, "libsrt pktSndDrop: packets too late in the socket's buffer.", "MediaConnect: SourceDroppedPackets", func(p *control.Path) float64 { return float64(p.SendDropped) }),
	counter(Box, "quartet.path.queue_dropped", "{packet}", byPath, 1, "Packets pushed out of the path's queue.", "MediaConnect: SourceOverflowPackets", func(p *control.Path) float64 { return float64(p.QueueDropped) }),
	gauge("quartet.path.send_loss", "1", byPath, 1, "Share of packets that the far end asked for again of late, before any repair.", "MediaConnect: SourcePacketLossPercent", func(p *control.Path) float64 { return p.SendLossPercent / 100 }),
	counter(Box, "quartet.path.connects", "{connection}", byPath, 1, "Times the path connected.", "", func(p *control.Path) float64 { return float64(p.Connects) }),
	counter(Box, "quartet.path.disconnects", "{connection}", byPath, 1, "Times the connection broke.", "MediaConnect: SourceDisconnections", func(p *control.Path) float64 { return float64(p.Disconnects) }),
}

// arrivalRows is what a gateway reports; absent where arrival is unknown.
var arrivalRows = []row[control.Arrival]{
	gauge("quartet.path.arrival.age", "s", byPath, 1, "Age of the gateway's last report.", "", func(a *control.Arrival) float64 { return a.AgeMS / 1000 }),
	counter(Box, "quartet.path.arrival.received", "{packet}", byPath, 1, "Packets that arrived on this path in time.", "MediaConnect: SourceTotalPackets", func(a *control.Arrival) float64 { return float64(a.Received) }),
	counter(Box, "quartet.path.arrival.lost_here", "{packet}", byPath, 1, "Packets that did not arrive on this path in time; the sum of the next three.", "MediaConnect: SourceMissingPackets", func(a *control.Arrival) float64 { return float64(a.LostHere) }),
	counter(Box, "quartet.path.arrival.by_other", "{packet}", byPath, 1, "Of those, delivered by another path.", "MediaConnect: SourceRecoveredPackets; Link: RecoveredPackets", func(a *control.Arrival) float64 { return float64(a.ByOther) }),
	counter(Box, "quartet.path.arrival.by_parity", "{packet}", byPath, 1, "Of those, recovered by parity.", "MediaConnect: SourceFECRecovered; Link: RecoveredPackets", func(a *control.Arrival) float64 { return float64(a.ByParity) }),
	counter(Box, "quartet.path.arrival.unrecovered", "{packet}", byPath, 1, "Of those, lost to viewers.", "MediaConnect: SourceNotRecoveredPackets; Link: NotRecoveredPackets", func(a *control.Arrival) float64 { return float64(a.Unrecovered) }),
	counter(Box, "quartet.path.arrival.late", "{packet}", byPath, 1, "Packets that arrived after their release.", "MediaConnect: SourceDroppedPackets", func(a *control.Arrival) float64 { return float64(a.Late) }),
	counter(Box, "quartet.path.arrival.bad_tag", "{packet}", byPath, 1, "Packets that could not be authenticated.", "", func(a *control.Arrival) float64 { return float64(a.BadTag) }),
	gauge("quartet.path.arrival.loss", "1", byPath, 1, "Share of packets lost on this path of late.", "MediaConnect: SourcePacketLossPercent", func(a *control.Arrival) float64 { return a.LossPercent / 100 }),
	gauge("quartet.path.arrival.skew", "s", byPath, 1, "How much later than on the fastest path packets come.", "MediaConnect: SourceMergeLatency", func(a *control.Arrival) float64 { return a.SkewMS / 1000 }),
	gauge("quartet.path.arrival.jitter", "s", byPath, 1, "Interarrival jitter at the gateway (RFC 3550).", "MediaConnect: SourceJitter", func(a *control.Arrival) float64 { return a.JitterMS / 1000 }),
	counter(Box, "quartet.path.merged.delivered", "{packet}", byPath, 1, "Packets that this path's gateway released.", "MediaConnect: SourceTotalPackets", func(a *control.Arrival) float64 { return float64(a.Merged.Delivered) }),
	counter(Box, "quartet.path.merged.by_parity", "{packet}", byPath, 1, "Of those, recovered by parity.", "MediaConnect: SourceFECRecovered", func(a *control.Arrival) float64 { return float64(a.Merged.ByParity) }),
	counter(Box, "quartet.path.merged.lost", "{packet}", byPath, 1, "Packets missing in what this path's gateway released.", "MediaConnect: SourceNotRecoveredPackets; Link: NotRecoveredPackets", func(a *control.Arrival) float64 { return float64(a.Merged.Lost) }),
	gauge("quartet.path.merged.margin", "s", byPath, 1, "Least time that a packet was there before its release.", "", func(a *control.Arrival) float64 { return a.Merged.MarginMS / 1000 }),
	gauge("quartet.path.merged.latency", "s", byPath, 1, "Latency of the gateway's release clock.", "MediaConnect: SourceMergeLatency", func(a *control.Arrival) float64 { return a.Merged.LatencyMS / 1000 }),
	gauge("quartet.path.merged.bitrate", "bit/s", byPath, 1, "Transport stream that the gateway releases.", "MediaConnect: SourceBitRate", func(a *control.Arrival) float64 { return float64(a.Merged.BitrateBPS) }),
	counter(Box, "quartet.path.merged.digest.compared", "{window}", byPath, 1, "Windows of 1024 packets in which what was sent and what was released were compared.", "", func(a *control.Arrival) float64 { return float64(a.Digest.Compared) }),
	counter(Box, "quartet.path.merged.digest.different", "{window}", byPath, 1, "Of those, not equal.", "MediaConnect: SourceMergeStatusWarnMismatch", func(a *control.Arrival) float64 { return float64(a.Digest.Different) }),
}

var byScope = []string{"scope", "name"}

// reliabilityRows is the yardstick of television: always on.
var reliabilityRows = []row[Reliability]{
	gauge("quartet.available", "{scope}", byScope, 0, "1 while the path, the leg, or the pair of legs brings the feed to its gateways.", "MediaConnect: SourceConnected", func(r *Reliability) float64 { return flag(r.Now) }),
	counter(Ever, "quartet.time.observed", "s", byScope, 0, "Time in which availability was looked at.", "", func(r *Reliability) float64 { return r.Observed }),
	counter(Ever, "quartet.time.unavailable", "s", byScope, 0, "Of it, time without the feed.", "", func(r *Reliability) float64 { return r.Unavailable }),
	counter(Ever, "quartet.time.errored", "s", byScope, 0, "Of it, seconds with the feed in which something was lost: on a path before repair, on a leg and on the pair after it.", "Link: ErrorSeconds", func(r *Reliability) float64 { return r.Errored }),
	gauge("quartet.availability", "1", byScope, 0, "Share of the last 30 days with the feed. Five nines leave 26 s.", "", func(r *Reliability) float64 { return r.Month.Availability() }),
}

var severityRows = []row[float64]{
	gauge("quartet.conditions", "{condition}", []string{"severity"}, 0, "Active conditions that are not the consequence of another.", "", func(v *float64) float64 { return *v }),
}

var conditionRows = []row[control.Condition]{
	gauge("quartet.condition", "{condition}", []string{"code", "resource", "severity"}, 2, "1 for each active condition that is not the consequence of another; absent otherwise.", "", func(c *control.Condition) float64 { return flag(c.Active && c.Severity >= health.Info) }),
}
