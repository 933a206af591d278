package gateway

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"quartet/capture/tr101290"
)

// collector turns Status into metrics when Prometheus asks; nothing is counted
// for it in between. Names follow ours in status: packets are RTP source
// packets unless the name says otherwise; srt_ metrics carry libsrt's names.
type collector struct{ g *Gateway }

// Describe implements prometheus.Collector: the metrics depend on the
// configuration, so none is promised beforehand.
func (collector) Describe(chan<- *prometheus.Desc) {}

// metric is one series of a kind: a name, its help, and how to read it.
type metric[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*T) float64
}

const prefix = "quartet_gateway_"

func counter[T any](name, help string, labels []string, read func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.CounterValue, read}
}

func gauge[T any](name, help string, labels []string, read func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.GaugeValue, read}
}

func emit[T any](ch chan<- prometheus.Metric, ms []metric[T], v *T, labels ...string) {
	for i := range ms {
		ch <- prometheus.MustNewConstMetric(ms[i].desc, ms[i].kind, ms[i].read(v), labels...)
	}
}

// stream counts errors of checks on the transport stream that is released.
func stream(name, what string, checks ...tr101290.Check) metric[StreamStatus] {
	return counter(name, "Errors of what is released by ETSI TR 101 290 "+what+".", byContribution,
		func(s *StreamStatus) float64 { return s.count(checks...) })
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	st := c.g.Status(context.Background())
	ch <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, st.Name, st.Version)
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, flag(st.Ready))
	for i := range st.Ports {
		emit(ch, portMetrics, &st.Ports[i], st.Ports[i].Listen)
	}
	for i := range st.Contributions {
		k := &st.Contributions[i]
		emit(ch, contributionMetrics, k, k.Name)
		if k.Stream != nil {
			emit(ch, streamMetrics, k.Stream, k.Name)
		}
		for j := range k.Inputs {
			in := &k.Inputs[j]
			emit(ch, inputMetrics, in, k.Name, in.Name, in.From)
			if n := len(in.Connection); n > 0 {
				emit(ch, srtInMetrics, &in.Connection[n-1], k.Name, in.Name, in.From)
			}
		}
		for j := range k.Peers {
			p := &k.Peers[j]
			emit(ch, peerMetrics, p, k.Name, p.Name)
			if n := len(p.Connection); n > 0 {
				emit(ch, srtPeerMetrics, &p.Connection[n-1], k.Name, p.Name)
			}
		}
		for j := range k.Outputs {
			o := &k.Outputs[j]
			emit(ch, outputMetrics, o, k.Name, o.Name, o.Type)
		}
	}
}

var (
	infoDesc  = prometheus.NewDesc(prefix+"info", "1, labelled with the gateway's name and version.", []string{"name", "version"}, nil)
	readyDesc = prometheus.NewDesc(prefix+"ready", "1 when all SRT ports are open.", nil, nil)

	portLabels  = []string{"listen"}
	portMetrics = []metric[PortStats]{
		counter("port_accepted_total", "Connections handed to an input.", portLabels, func(p *PortStats) float64 { return float64(p.Accepted) }),
		counter("port_refused_total", "Callers with a stream id that no input has.", portLabels, func(p *PortStats) float64 { return float64(p.Refused) }),
	}

	byContribution      = []string{"contribution"}
	contributionMetrics = []metric[ContributionStatus]{
		gauge("responding", "1 when the contribution's goroutine answers.", byContribution, func(k *ContributionStatus) float64 { return flag(k.Responding) }),
		gauge("streaming", "1 while packets are released (MediaConnect: SourceConnected).", byContribution, func(k *ContributionStatus) float64 { return flag(k.State == Streaming) }),
		gauge("bit_rate_bps", "Transport stream released, bit/s (MediaConnect: SourceBitRate).", byContribution, func(k *ContributionStatus) float64 { return float64(k.RateBPS) }),
		gauge("latency_seconds", "D of the release clock.", byContribution, func(k *ContributionStatus) float64 { return k.LatencyMS / 1000 }),
		gauge("latency_needed_seconds", "Least D at which no path's packets are late now.", byContribution, func(k *ContributionStatus) float64 { return k.LatencyNeededMS / 1000 }),
		gauge("latency_too_small", "1 when D is less than what is needed.", byContribution, func(k *ContributionStatus) float64 { return flag(k.LatencyNote != "") }),
		gauge("tick_late_seconds", "Latest tick of the last 10 s: what a starved processor costs.", byContribution, func(k *ContributionStatus) float64 { return k.TickLateMS / 1000 }),
		counter("packets_delivered_total", "Packets released (MediaConnect: SourceTotalPackets).", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Delivered) }),
		counter("packets_recovered_parity_total", "Of those, recovered by parity (MediaConnect: SourceFECRecovered).", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.RecoveredParity) }),
		counter("packets_lost_total", "Packets not there at their release (MediaConnect: SourceNotRecoveredPackets).", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Lost) }),
		counter("packets_duplicate_total", "Copies beyond the first on the same path.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Duplicates) }),
		counter("packets_late_total", "Copies that arrived after the release.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Late) }),
		counter("packets_overdue_total", "Packets released after their instant, because nothing newer had come.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Overdue) }),
		counter("packets_malformed_total", "Packets with a right tag that make no sense.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Malformed) }),
		counter("epochs_total", "Starts of the source.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Merged.Epochs) }),
		counter("digest_windows_total", "Digest windows of 1024 packets released complete.", byContribution, func(k *ContributionStatus) float64 { return float64(k.Digest.Complete) }),
	}

	streamMetrics = []metric[StreamStatus]{
		stream("ts_sync_losses_total", "1.1 (MediaConnect: SourceTSSyncLoss)", tr101290.TSSyncLoss),
		stream("ts_byte_errors_total", "1.2 (MediaConnect: SourceTSByteError)", tr101290.SyncByteError),
		stream("ts_pat_errors_total", "1.3.a (MediaConnect: SourcePATError)", tr101290.PATError2),
		stream("ts_continuity_counter_errors_total", "1.4 (MediaConnect: SourceContinuityCounter)", tr101290.ContinuityCountError),
		stream("ts_pmt_errors_total", "1.5.a (MediaConnect: SourcePMTError)", tr101290.PMTError2),
		stream("ts_pid_errors_total", "1.6 (MediaConnect: SourcePIDError)", tr101290.PIDError),
		stream("ts_transport_errors_total", "2.1 (MediaConnect: SourceTransportError)", tr101290.TransportError),
		stream("ts_crc_errors_total", "2.2 (MediaConnect: SourceCRCError)", tr101290.CRCError),
		stream("ts_pcr_errors_total", "2.3a and 2.3b (MediaConnect: SourcePCRError)", tr101290.PCRRepetitionError, tr101290.PCRDiscontinuityIndicatorError),
		stream("ts_pcr_accuracy_errors_total", "2.4 (MediaConnect: SourcePCRAccuracyError)", tr101290.PCRAccuracyError),
		stream("ts_pts_errors_total", "2.5 (MediaConnect: SourcePTSError)", tr101290.PTSError),
		stream("ts_cat_errors_total", "2.6 (MediaConnect: SourceCATError)", tr101290.CATError),
	}

	byInput      = []string{"contribution", "input", "from"}
	inputMetrics = []metric[InputStatus]{
		gauge("input_connected", "1 while a connection stands.", byInput, func(s *InputStatus) float64 { return flag(len(s.Connection) > 0) }),
		gauge("input_receiving", "1 while messages with a right tag come.", byInput, func(s *InputStatus) float64 { return flag(s.State == "receiving") }),
		counter("input_messages_total", "Messages of any kind.", byInput, func(s *InputStatus) float64 { return float64(s.Messages) }),
		counter("input_bytes_total", "Their bytes.", byInput, func(s *InputStatus) float64 { return float64(s.Bytes) }),
		counter("input_refused_total", "Callers with the input's stream id and another passphrase.", byInput, func(s *InputStatus) float64 { return float64(s.Refused) }),
		counter("input_bad_tag_total", "Messages with a wrong tag: they count as lost.", byInput, func(s *InputStatus) float64 { return float64(s.BadTag) }),
		counter("input_connects_total", "Connections made (MediaConnect: SourceDisconnections, plus one).", byInput, func(s *InputStatus) float64 { return float64(s.Connects) }),
		counter("input_packets_received_total", "Packets that came on this path in time.", byInput, func(s *InputStatus) float64 { return float64(s.Path.InTime) }),
		counter("input_packets_lost_here_total", "Packets that did not come on this path in time (MediaConnect: SourceMissingPackets).", byInput, func(s *InputStatus) float64 { return float64(s.Path.LostHere) }),
		counter("input_packets_by_other_path_total", "Of those, delivered by another path.", byInput, func(s *InputStatus) float64 { return float64(s.Path.ByOtherPath) }),
		counter("input_packets_by_parity_total", "Of those, recovered by parity.", byInput, func(s *InputStatus) float64 { return float64(s.Path.ByParity) }),
		counter("input_packets_unrecovered_total", "Of those, lost to the output.", byInput, func(s *InputStatus) float64 { return float64(s.Path.Unrecovered) }),
		counter("input_packets_late_total", "Packets that came on this path after their release.", byInput, func(s *InputStatus) float64 { return float64(s.Path.Late) }),
		gauge("input_skew_seconds", "How much later than on the fastest path packets come.", byInput, func(s *InputStatus) float64 { return s.Path.SkewMS / 1000 }),
		gauge("input_jitter_seconds", "Interarrival jitter, RFC 3550 (MediaConnect: SourceJitter).", byInput, func(s *InputStatus) float64 { return s.JitterMS / 1000 }),
	}

	srtInMetrics = []metric[LinkStatus]{
		gauge("input_srt_ms_rtt", "libsrt msRTT (MediaConnect: SourceRoundTripTime).", byInput, func(l *LinkStatus) float64 { return l.SRT.MSRTT }),
		gauge("input_srt_ms_latency", "Negotiated SRT latency.", byInput, func(l *LinkStatus) float64 { return l.LatencyMS }),
		counter("input_srt_pkt_recv_total", "libsrt pktRecvTotal.", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktRecvTotal) }),
		counter("input_srt_pkt_rcv_loss_total", "libsrt pktRcvLossTotal: found missing, repaired or not.", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktRcvLossTotal) }),
		counter("input_srt_pkt_rcv_drop_total", "libsrt pktRcvDropTotal: given up (MediaConnect: SourceDroppedPackets).", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktRcvDropTotal) }),
		counter("input_srt_pkt_rcv_undecrypt_total", "libsrt pktRcvUndecryptTotal.", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktRcvUndecryptTotal) }),
		counter("input_srt_pkt_rcv_retrans_total", "libsrt pktRcvRetrans (MediaConnect: SourceARQRecovered).", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktRcvRetrans) }),
		counter("input_srt_pkt_sent_nak_total", "libsrt pktSentNAKTotal (MediaConnect: SourceARQRequests).", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.PktSentNAKTotal) }),
		gauge("input_srt_ms_rcv_buf", "libsrt msRcvBuf.", byInput, func(l *LinkStatus) float64 { return float64(l.SRT.MSRcvBuf) }),
	}

	byPeer      = []string{"contribution", "peer"}
	peerMetrics = []metric[PeerStatus]{
		gauge("peer_connected", "1 while the peer is connected.", byPeer, func(p *PeerStatus) float64 { return flag(len(p.Connection) > 0) }),
		counter("peer_messages_sent_total", "Messages forwarded.", byPeer, func(p *PeerStatus) float64 { return float64(p.Sent) }),
		counter("peer_messages_dropped_total", "Messages the peer's connection did not take.", byPeer, func(p *PeerStatus) float64 { return float64(p.Dropped) }),
		counter("peer_connects_total", "Connections made.", byPeer, func(p *PeerStatus) float64 { return float64(p.Connects) }),
	}
	srtPeerMetrics = []metric[LinkStatus]{
		gauge("peer_srt_ms_rtt", "libsrt msRTT.", byPeer, func(l *LinkStatus) float64 { return l.SRT.MSRTT }),
		counter("peer_srt_pkt_snd_loss_total", "libsrt pktSndLossTotal.", byPeer, func(l *LinkStatus) float64 { return float64(l.SRT.PktSndLossTotal) }),
		counter("peer_srt_pkt_snd_drop_total", "libsrt pktSndDropTotal.", byPeer, func(l *LinkStatus) float64 { return float64(l.SRT.PktSndDropTotal) }),
	}

	byOutput      = []string{"contribution", "output", "type"}
	outputMetrics = []metric[OutputStats]{
		gauge("output_open", "1 when the output can send.", byOutput, func(o *OutputStats) float64 { return flag(o.State == "open" || o.State == "connected") }),
		counter("output_packets_sent_total", "Datagrams or messages sent, per destination.", byOutput, func(o *OutputStats) float64 { return float64(o.SentPackets) }),
		counter("output_bytes_sent_total", "Their bytes.", byOutput, func(o *OutputStats) float64 { return float64(o.SentBytes) }),
		counter("output_packets_dropped_total", "Packets that the kernel, disk or far end did not take.", byOutput, func(o *OutputStats) float64 { return float64(o.DroppedPackets) }),
		counter("output_null_ts_packets_total", "Null TS packets made up while the feed was lost.", byOutput, func(o *OutputStats) float64 { return float64(o.NullPackets) }),
		gauge("output_connections", "Far ends connected (srt).", byOutput, func(o *OutputStats) float64 { return float64(o.Connections) }),
	}
)
