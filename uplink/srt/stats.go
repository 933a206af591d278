package srt

// #include "shim.h"
import "C"

// Stats are libsrt's counters of one connection since it began, under libsrt's
// names, and its gauges of this moment. Nothing is cleared by reading.
type Stats struct {
	MSTimestamp int64 `json:"ms_time_stamp"` // age of the connection

	// Sent by us.
	PktSentTotal        int64  `json:"pkt_sent_total"`        // data packets, retransmissions included
	PktSentUniqueTotal  int64  `json:"pkt_sent_unique_total"` // without retransmissions and filter packets
	PktSndLossTotal     int64  `json:"pkt_snd_loss_total"`    // reported lost by the far end
	PktRetransTotal     int64  `json:"pkt_retrans_total"`
	PktSndDropTotal     int64  `json:"pkt_snd_drop_total"` // too late to send
	ByteSentTotal       uint64 `json:"byte_sent_total"`
	ByteSentUniqueTotal uint64 `json:"byte_sent_unique_total"`
	ByteRetransTotal    uint64 `json:"byte_retrans_total"`
	ByteSndDropTotal    uint64 `json:"byte_snd_drop_total"`
	PktRecvACKTotal     int64  `json:"pkt_recv_ack_total"`
	PktRecvNAKTotal     int64  `json:"pkt_recv_nak_total"`
	USSndDurationTotal  int64  `json:"us_snd_duration_total"` // time with something to send

	// Received by us.
	PktRecvTotal          int64  `json:"pkt_recv_total"`
	PktRecvUniqueTotal    int64  `json:"pkt_recv_unique_total"`
	PktRcvLossTotal       int64  `json:"pkt_rcv_loss_total"` // found missing, later repaired or not
	PktRcvDropTotal       int64  `json:"pkt_rcv_drop_total"` // given up: too late to play
	PktRcvUndecryptTotal  int64  `json:"pkt_rcv_undecrypt_total"`
	PktRcvBelated         int64  `json:"pkt_rcv_belated"` // came after their time
	PktRcvRetrans         int64  `json:"pkt_rcv_retrans"`
	ByteRecvTotal         uint64 `json:"byte_recv_total"`
	ByteRecvUniqueTotal   uint64 `json:"byte_recv_unique_total"`
	ByteRcvLossTotal      uint64 `json:"byte_rcv_loss_total"`
	ByteRcvDropTotal      uint64 `json:"byte_rcv_drop_total"`
	ByteRcvUndecryptTotal uint64 `json:"byte_rcv_undecrypt_total"`
	PktSentACKTotal       int64  `json:"pkt_sent_ack_total"`
	PktSentNAKTotal       int64  `json:"pkt_sent_nak_total"`
	PktReorderDistance    int64  `json:"pkt_reorder_distance"`
	PktReorderTolerance   int64  `json:"pkt_reorder_tolerance"`

	// SRT's own packet filter (XOR FEC), when one is in use.
	PktSndFilterExtraTotal  int64 `json:"pkt_snd_filter_extra_total"`
	PktRcvFilterExtraTotal  int64 `json:"pkt_rcv_filter_extra_total"`
	PktRcvFilterSupplyTotal int64 `json:"pkt_rcv_filter_supply_total"`
	PktRcvFilterLossTotal   int64 `json:"pkt_rcv_filter_loss_total"`

	// Gauges of this moment.
	MSRTT               float64 `json:"ms_rtt"`         // smoothed round trip
	MbpsBandwidth       float64 `json:"mbps_bandwidth"` // libsrt's estimate of the link
	MbpsSendRate        float64 `json:"mbps_send_rate"` // mean since the start
	MbpsRecvRate        float64 `json:"mbps_recv_rate"`
	MbpsMaxBW           float64 `json:"mbps_max_bw"` // ceiling in force
	USPktSndPeriod      float64 `json:"us_pkt_snd_period"`
	PktFlowWindow       int64   `json:"pkt_flow_window"`
	PktCongestionWindow int64   `json:"pkt_congestion_window"`
	PktFlightSize       int64   `json:"pkt_flight_size"` // sent, not yet acknowledged
	PktSndBuf           int64   `json:"pkt_snd_buf"`
	ByteSndBuf          int64   `json:"byte_snd_buf"`
	MSSndBuf            int64   `json:"ms_snd_buf"`
	ByteAvailSndBuf     int64   `json:"byte_avail_snd_buf"`
	PktRcvBuf           int64   `json:"pkt_rcv_buf"`
	ByteRcvBuf          int64   `json:"byte_rcv_buf"`
	MSRcvBuf            int64   `json:"ms_rcv_buf"`
	ByteAvailRcvBuf     int64   `json:"byte_avail_rcv_buf"`
	ByteMSS             int64   `json:"byte_mss"`
	MSSndTsbPdDelay     int64   `json:"ms_snd_tsb_pd_delay"` // negotiated latency at the far end
	MSRcvTsbPdDelay     int64   `json:"ms_rcv_tsb_pd_delay"` // negotiated latency here
}

func (s *Stats) read(p *C.SRT_TRACEBSTATS) {
	*s = Stats{
		MSTimestamp: int64(p.msTimeStamp),

		PktSentTotal:        int64(p.pktSentTotal),
		PktSentUniqueTotal:  int64(p.pktSentUniqueTotal),
		PktSndLossTotal:     int64(uint32(p.pktSndLossTotal)),
		PktRetransTotal:     int64(uint32(p.pktRetransTotal)),
		PktSndDropTotal:     int64(uint32(p.pktSndDropTotal)),
		ByteSentTotal:       uint64(p.byteSentTotal),
		ByteSentUniqueTotal: uint64(p.byteSentUniqueTotal),
		ByteRetransTotal:    uint64(p.byteRetransTotal),
		ByteSndDropTotal:    uint64(p.byteSndDropTotal),
		PktRecvACKTotal:     int64(uint32(p.pktRecvACKTotal)),
		PktRecvNAKTotal:     int64(uint32(p.pktRecvNAKTotal)),
		USSndDurationTotal:  int64(p.usSndDurationTotal),

		PktRecvTotal:          int64(p.pktRecvTotal),
		PktRecvUniqueTotal:    int64(p.pktRecvUniqueTotal),
		PktRcvLossTotal:       int64(uint32(p.pktRcvLossTotal)),
		PktRcvDropTotal:       int64(uint32(p.pktRcvDropTotal)),
		PktRcvUndecryptTotal:  int64(uint32(p.pktRcvUndecryptTotal)),
		PktRcvBelated:         int64(p.pktRcvBelated),
		PktRcvRetrans:         int64(uint32(p.pktRcvRetrans)),
		ByteRecvTotal:         uint64(p.byteRecvTotal),
		ByteRecvUniqueTotal:   uint64(p.byteRecvUniqueTotal),
		ByteRcvLossTotal:      uint64(p.byteRcvLossTotal),
		ByteRcvDropTotal:      uint64(p.byteRcvDropTotal),
		ByteRcvUndecryptTotal: uint64(p.byteRcvUndecryptTotal),
		PktSentACKTotal:       int64(uint32(p.pktSentACKTotal)),
		PktSentNAKTotal:       int64(uint32(p.pktSentNAKTotal)),
		PktReorderDistance:    int64(p.pktReorderDistance),
		PktReorderTolerance:   int64(p.pktReorderTolerance),

		PktSndFilterExtraTotal:  int64(uint32(p.pktSndFilterExtraTotal)),
		PktRcvFilterExtraTotal:  int64(uint32(p.pktRcvFilterExtraTotal)),
		PktRcvFilterSupplyTotal: int64(uint32(p.pktRcvFilterSupplyTotal)),
		PktRcvFilterLossTotal:   int64(uint32(p.pktRcvFilterLossTotal)),

		MSRTT:               float64(p.msRTT),
		MbpsBandwidth:       float64(p.mbpsBandwidth),
		MbpsSendRate:        float64(p.mbpsSendRate),
		MbpsRecvRate:        float64(p.mbpsRecvRate),
		MbpsMaxBW:           float64(p.mbpsMaxBW),
		USPktSndPeriod:      float64(p.usPktSndPeriod),
		PktFlowWindow:       int64(p.pktFlowWindow),
		PktCongestionWindow: int64(p.pktCongestionWindow),
		PktFlightSize:       int64(p.pktFlightSize),
		PktSndBuf:           int64(p.pktSndBuf),
		ByteSndBuf:          int64(p.byteSndBuf),
		MSSndBuf:            int64(p.msSndBuf),
		ByteAvailSndBuf:     int64(p.byteAvailSndBuf),
		PktRcvBuf:           int64(p.pktRcvBuf),
		ByteRcvBuf:          int64(p.byteRcvBuf),
		MSRcvBuf:            int64(p.msRcvBuf),
		ByteAvailRcvBuf:     int64(p.byteAvailRcvBuf),
		ByteMSS:             int64(p.byteMSS),
		MSSndTsbPdDelay:     int64(p.msSndTsbPdDelay),
		MSRcvTsbPdDelay:     int64(p.msRcvTsbPdDelay),
	}
}
