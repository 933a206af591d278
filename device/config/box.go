package config

// Box is the document of one box: one input, carried to up to eight
// destinations. It is read by quartetd.
type Box struct {
	// Schema version of the document; this program reads 1.
	Version int `json:"version" required:"yes" enum:"1"`
	// Name of the box in status, logs and alarms.
	Name string `json:"name" required:"yes" format:"name"`
	// The feed to carry.
	Input Input `json:"input" required:"yes"`
	// Picture, sound and rate of what the box encodes itself: input.type sdi and
	// test, and what input.transcode is set for.
	Encoder Encoder `json:"encoder"`
	// When picture and sound count as wrong.
	Confidence Confidence `json:"confidence"`
	// What holds for the contribution as a whole: latency, redundancy, key.
	Output Output `json:"output" required:"yes"`
	// The destinations. Usually four: two for each of two legs.
	Paths []Path `json:"paths" required:"yes" len:"1..8"`
	// The local control socket that quartetctl talks to.
	Control Control `json:"control"`
	// What is logged, and how.
	Log Log `json:"log"`
}

// Input is the feed that the box carries.
type Input struct {
	// Kind of feed: udp (transport stream in UDP), rtp (transport stream in
	// RTP), srt (transport stream in SRT), file (a looped file), sdi (a V4L2
	// device, encoded here), test (a test picture, encoded here).
	Type string `json:"type" required:"yes" enum:"udp|rtp|srt|file|sdi|test"`
	// Where the feed is. udp://239.1.1.1:5000 joins a group, udp://:5000
	// receives unicast; rtp:// likewise; srt://host:port calls, srt://:port
	// listens; file:///path reads a file; sdi:///dev/video0 is a V4L2 device;
	// test://bars is the test picture, with a tone, a clock and a counter. An
	// srt:// line may carry streamid, passphrase, pbkeylen, latency and mode as
	// parameters.
	URL string `json:"url" required:"yes" format:"url"`
	// Network interface that receives the feed, by name. Absent: the system's
	// choice.
	Interface string `json:"interface" format:"interface"`
	// Types udp, rtp, srt and file: decode the feed and encode it anew, as encoder
	// says. false: it is passed through as it is.
	Transcode bool `json:"transcode"`
	// Number of the programme that is transcoded, or whose picture and sound are
	// watched, of a feed with several. 0: the first with a picture.
	Service int `json:"service" range:"0..65535"`
	// Source address of a source-specific multicast (RFC 4607). Absent: any
	// source. With type srt and mode caller: the local address to call from.
	Source string `json:"source" format:"ip"`
	// The second copy of an RTP feed (SMPTE ST 2022-7), merged hitlessly with
	// the first.
	Second *Leg `json:"second"`
	// Recovery columns and rows that come with an RTP feed on its port + 2 and
	// + 4: none, or st2022-1.
	FEC string `json:"fec" default:"none" enum:"none|st2022-1"`
	// With type rtp: the skew between the two copies that is bridged, which is
	// also what both are delayed by; 10 to 450 are the classes A to C of SMPTE ST
	// 2022-7. Without a second copy: how long a packet waits for one before it
	// that is missing. 0: 50 with a second copy, 10 without.
	MergeWindowMS Milliseconds `json:"merge_window_ms" range:"0..2000"`
	// With fec st2022-1: time given to the repair, by which the feed is delayed;
	// the matrix must fit. 0: 250.
	FECWindowMS Milliseconds `json:"fec_window_ms" range:"0..2000"`
	// PID of the clock (PCR) that paces the output: of a feed with several
	// programmes, that of the one that matters. All programmes are carried in
	// any case. 0: the first PID that carries a clock.
	PCRPID int `json:"pcr_pid" range:"0..8190"`
	// Time for which arriving packets are held so that jitter of the feed does
	// not become jitter of the output. A file has none.
	JitterMS Milliseconds `json:"jitter_ms" default:"20" range:"1..1000"`
	// The feed counts as lost after this time without a packet.
	LossAfterMS Milliseconds `json:"loss_after_ms" default:"300" range:"50..60000"`
	// What is sent while the feed is lost: the slate (of what the box encodes),
	// null packets at the last rate, or nothing (stop), so that the other box of a
	// pair takes over. Absent: slate where the box encodes, else null.
	OnInputLoss string `json:"on_input_loss" enum:"slate|null|stop"`
	// With on_input_loss stop: null packets, or the slate, for this long, then
	// silence.
	StopAfterMS Milliseconds `json:"stop_after_ms" default:"1000" range:"0..600000"`
	// How the transport stream is watched, where it comes in and where it is
	// sent.
	Monitor Monitor `json:"monitor"`
	// With type srt: caller or listener. Absent: listener when the URL names no
	// host, else caller.
	Mode string `json:"mode" enum:"caller|listener"`
	// With type srt: the passphrase. Absent: not encrypted.
	Passphrase Secret `json:"passphrase" format:"passphrase"`
	// With type srt: AES key length in bytes.
	KeyLength int `json:"key_length" default:"16" enum:"16|24|32"`
	// With type srt: the stream id sent (caller) or demanded (listener). It
	// travels in clear.
	StreamID string `json:"stream_id" format:"streamid"`
	// With type srt: receiver latency.
	LatencyMS Milliseconds `json:"latency_ms" default:"200" range:"20..15000"`
	// With type srt: settings of the socket.
	SRT SRT `json:"srt"`
	// With type sdi: the ALSA device of the sound, such as hw:1. Absent: silence.
	AudioDevice string `json:"audio_device" format:"alsa"`
	// With type file: start again at the end, with clocks and counters carried
	// on without a step.
	Loop bool `json:"loop" default:"true"`
}

// Leg is the second address of an ST 2022-7 pair, received or sent.
type Leg struct {
	// Address of the second copy, written like the first.
	URL string `json:"url" required:"yes" format:"url"`
	// Network interface of the second copy. Absent: the system's choice.
	Interface string `json:"interface" format:"interface"`
	// Received: source address of a source-specific multicast. Sent: the local
	// address to send from.
	Source string `json:"source" format:"ip"`
}

// Monitor says how the transport stream is watched (ETSI TR 101 290), as it
// comes in and as it is sent.
type Monitor struct {
	// Watch the stream at both ends, raise conditions for errors, and show what
	// the stream is. It takes some 20 ns a packet and 1.5 MB.
	Enabled bool `json:"enabled" default:"true"`
	// Time for which a picture, a sound or a clock that the tables name may be
	// away before that is an error (check 1.6).
	PIDMissingMS Milliseconds `json:"pid_missing_ms" default:"5000" range:"100..60000"`
	// Checks of third priority as well: service information, PIDs that no table
	// names. For broadcast multiplexes; contribution feeds often have none.
	Priority3 bool `json:"priority3" default:"false"`
	// With priority3: PIDs that are in use and named by no table, with commas
	// between them, such as 0x1f0,8000.
	PrivatePIDs string `json:"private_pids" format:"pids"`
}

// Output is what holds for all paths of the box.
type Output struct {
	// Total latency from the instant at which the box sends a packet to its
	// release by the gateway. The network's own one-way delay and the hold of
	// input.jitter_ms come on top. The planner divides it between SRT's
	// retransmissions, stagger, skew and the FEC block, and refuses what does
	// not fit.
	LatencyMS Milliseconds `json:"latency_ms" default:"500" range:"20..15000"`
	// Repair packets of each path, in percent of its source packets. 0: none,
	// retransmission and the other paths alone repair. A single rtp-fec path gets
	// none while the latency has room for a retransmission, which does more.
	OverheadPercent int `json:"overhead_percent" default:"10" range:"0..200"`
	// Highest bit rate of the feed. Buffers, blocks and path capacity are
	// planned for it.
	MaxBitrateKbps Kbps `json:"max_bitrate_kbps" default:"20000" range:"100..200000"`
	// Transport stream packets in a message. 7 fills an ordinary network's
	// packet; lower it where the preflight finds a smaller path MTU.
	TSPacketsPerMessage int `json:"ts_packets_per_message" default:"7" range:"1..7"`
	// The contribution key, at least 32 bytes in hex: authenticates every
	// message to the gateway, which must have the same. Needed by rtp-fec
	// paths.
	Key Secret `json:"key" format:"hexkey"`
	// A key that is about to become the key: accepted already from the
	// gateway's reports, not yet used for sending.
	NextKey Secret `json:"next_key" format:"hexkey"`
	// The key that was in use before: still accepted from the gateway's reports
	// until it is removed here.
	PreviousKey Secret `json:"previous_key" format:"hexkey"`
	// Overrides of what the planner would choose for the FEC.
	FEC FEC `json:"fec"`
	// Round-trip time of the longest path, for which the planner plans.
	RTTMS Milliseconds `json:"rtt_ms" default:"50" range:"0..2000"`
	// Packet loss that the planner plans for.
	LossPercent float64 `json:"loss_percent" default:"1" range:"0..50"`
	// Largest difference of one-way delay among the paths of a merge group.
	// Packets that only the slower path delivers come that much later.
	SkewMS Milliseconds `json:"skew_ms" default:"10" range:"0..5000"`
	// Latency between two gateways of a merge group that forward to each other;
	// 0 where they do not.
	PeerHopMS Milliseconds `json:"peer_hop_ms" default:"20" range:"0..1000"`
}

// FEC overrides the planner's Reed-Solomon parameters.
type FEC struct {
	// Source packets of a block (the code's dimension). 0: planned.
	K int `json:"k" range:"0..254"`
	// Repair rows of a full block on each rtp-fec path; k must be given, too.
	// Absent: planned from overhead_percent; 0: none.
	Rows *int `json:"rows" range:"0..254"`
	// A block is closed after this time even if it is not full. 0: planned, at
	// most 70.
	MaxBlockMS Milliseconds `json:"max_block_ms" range:"0..1000"`
}

// Path is one destination of the box.
type Path struct {
	// Name of the path in status, logs and alarms.
	Name string `json:"name" required:"yes" format:"name"`
	// Leg that the path belongs to: the far ends of a leg sit in one region.
	Leg int `json:"leg" default:"1" range:"1..8"`
	// Paths whose streams meet in one decoder, because they end at one gateway
	// or at gateways that are peers. Their stagger and repair rows are chosen
	// to complement each other. Absent: the paths of the leg.
	MergeGroup string `json:"merge_group" format:"name"`
	// What is on the wire: ts (plain transport stream in SRT, for any
	// receiver), rtp-fec (RTP, repair packets and tag in SRT, for
	// quartet-gateway), rtp (plain RTP over UDP, for private networks only).
	Profile string `json:"profile" default:"rtp-fec" enum:"ts|rtp-fec|rtp"`
	// Where the path leads: srt://host:port for ts and rtp-fec (srt://:port
	// listens), rtp://host:port for rtp. A pasted srt:// line may carry
	// streamid, passphrase, pbkeylen, latency, mode and key as parameters.
	URL string `json:"url" required:"yes" format:"url"`
	// caller: the box connects; listener: the far end does. Absent: listener
	// when the URL names no host, else caller.
	Mode string `json:"mode" enum:"caller|listener"`
	// SRT's passphrase of this path, 10 to 79 bytes. Absent: not encrypted.
	Passphrase Secret `json:"passphrase" format:"passphrase"`
	// AES key length in bytes.
	KeyLength int `json:"key_length" default:"32" enum:"16|24|32"`
	// SRT's stream id. It travels in clear and authenticates nothing.
	StreamID string `json:"stream_id" format:"streamid"`
	// SRT's own latency on this path (the larger side wins): the time for
	// retransmissions. 0: planned.
	LatencyMS Milliseconds `json:"latency_ms" range:"0..15000"`
	// Network interface that the path is bound to, by name. Redundant paths
	// should not share one.
	Interface string `json:"interface" format:"interface"`
	// Local address that the path sends from. Absent: the system's choice.
	Source string `json:"source" format:"ip"`
	// Delay of this path's stream against the box's clock, so that one common
	// glitch hits different packets of each path. Absent: planned, 0 and 15 ms
	// in turn within a merge group.
	StaggerMS *Milliseconds `json:"stagger_ms" range:"0..1000"`
	// Capacity of the path, which SRT then never exceeds, retransmissions and
	// headers included. 0: not limited.
	MaxBitrateKbps Kbps `json:"max_bitrate_kbps" range:"0..1000000"`
	// Transport stream packets in a message of this path, fewer than output
	// says; profile ts only, because the other profiles carry the same packets on
	// every path. 0: as output says.
	TSPacketsPerMessage int `json:"ts_packets_per_message" range:"0..7"`
	// Settings of the SRT socket.
	SRT SRT `json:"srt"`
	// Profile rtp only: SMPTE ST 2022-1 recovery packets on port + 2 (columns)
	// and + 4 (rows). Absent: none.
	ST20221 *ST20221 `json:"st2022_1"`
	// Profile rtp only: time to live of the packets. 0: the system's default
	// for unicast, 16 for multicast.
	TTL int `json:"ttl" range:"0..255"`
}

// ST20221 is the matrix of SMPTE ST 2022-1.
type ST20221 struct {
	// Columns of the matrix (L).
	Columns int `json:"columns" required:"yes" range:"1..20"`
	// Rows of the matrix (D).
	Rows int `json:"rows" required:"yes" range:"4..20"`
	// Send row recovery packets as well as column ones.
	RowFEC bool `json:"row_fec" default:"true"`
}

// SRT is what may be set on an SRT socket. Most boxes need none of it: the
// planner derives latency, and buffers follow from bit rate, latency and
// round-trip time. Settings that must not vary are not here: payload size,
// enforced encryption, too-late packet drop and the drift tracer on, socket
// groups off.
type SRT struct {
	// Fixed ceiling of the sending rate (SRTO_MAXBW). 0: the path's
	// max_bitrate_kbps, or, where inputbw_kbps or mininputbw_kbps is set, relative
	// to the input rate; else none.
	MaxBWKbps Kbps `json:"maxbw_kbps" range:"0..10000000"`
	// Input rate that the ceiling is relative to (SRTO_INPUTBW). 0: measured.
	InputBWKbps Kbps `json:"inputbw_kbps" range:"0..10000000"`
	// Lower bound of the measured input rate (SRTO_MININPUTBW), to which the
	// ceiling is relative. 0: none.
	MinInputBWKbps Kbps `json:"mininputbw_kbps" range:"0..10000000"`
	// Room for retransmissions above the input rate (SRTO_OHEADBW), where the
	// ceiling is relative to it.
	OverheadBWPercent int `json:"oheadbw_percent" default:"25" range:"5..100"`
	// Flight window in packets (SRTO_FC). 0: sized from rate and latency.
	FC int `json:"fc_packets" range:"0..262144"`
	// Send buffer in bytes (SRTO_SNDBUF). 0: sized from rate and latency.
	SndBuf int `json:"sndbuf_bytes" range:"0..1073741824"`
	// Receive buffer in bytes (SRTO_RCVBUF). 0: sized from rate and latency.
	RcvBuf int `json:"rcvbuf_bytes" range:"0..1073741824"`
	// The system's UDP send buffer in bytes (SRTO_UDP_SNDBUF). 0: the
	// library's default.
	UDPSndBuf int `json:"udp_sndbuf_bytes" range:"0..100000000"`
	// The system's UDP receive buffer in bytes (SRTO_UDP_RCVBUF). 0: the
	// library's default.
	UDPRcvBuf int `json:"udp_rcvbuf_bytes" range:"0..100000000"`
	// Retransmission algorithm (SRTO_RETRANSMITALGO): 0 repairs sooner and
	// needs spare capacity, 1 sends less. Absent: 0, or 1 on a path with
	// max_bitrate_kbps.
	RetransmitAlgo *int `json:"retransmit_algo" enum:"0|1"`
	// Packets of reordering that are tolerated before loss is reported
	// (SRTO_LOSSMAXTTL).
	LossMaxTTL int `json:"lossmaxttl_packets" default:"40" range:"0..10000"`
	// Delay added before the sender drops a late packet (SRTO_SNDDROPDELAY).
	// -1: the sender never drops.
	SndDropDelayMS Milliseconds `json:"snd_drop_delay_ms" default:"0" range:"-1..10000"`
	// Longest connection attempt (SRTO_CONNTIMEO).
	ConnectTimeoutMS Milliseconds `json:"connect_timeout_ms" default:"1500" range:"250..10000"`
	// The peer counts as gone after this silence (SRTO_PEERIDLETIMEO).
	PeerIdleTimeoutMS Milliseconds `json:"peer_idle_timeout_ms" default:"2500" range:"1000..30000"`
	// Type of service of the IP packets (SRTO_IPTOS); 136 is DSCP AF41.
	IPTOS int `json:"ip_tos" default:"136" range:"0..255"`
	// Time to live of the IP packets (SRTO_IPTTL). 0: the system's default.
	IPTTL int `json:"ip_ttl" range:"0..255"`
	// Largest UDP/IP packet (SRTO_MSS). The whole packet, IP header included.
	MSS int `json:"mss_bytes" default:"1500" range:"1000..1500"`
	// SRT's packet filter (SRTO_PACKETFILTER), for peers that are not Quartet.
	PacketFilter string `json:"packet_filter" format:"packetfilter"`
}

// Control is the local socket that quartetctl and the box's page use.
type Control struct {
	// Path of the Unix socket.
	Socket string `json:"socket" default:"/run/quartet/control.sock" format:"path"`
}

// Log says what is logged, and how.
type Log struct {
	// Least important level that is logged.
	Level string `json:"level" default:"info" enum:"debug|info|warn|error"`
	// text: key=value lines; json: one object a line.
	Format string `json:"format" default:"text" enum:"text|json"`
}

// Words of the enumerated fields, for those who switch on them.
const (
	TypeUDP  = "udp"
	TypeRTP  = "rtp"
	TypeSRT  = "srt"
	TypeFile = "file"
	TypeSDI  = "sdi"
	TypeTest = "test"

	LossSlate  = "slate"
	SlateImage = "image"
	CodecHEVC  = "hevc"

	ProfileTS     = "ts"
	ProfileRTPFEC = "rtp-fec"
	ProfileRTP    = "rtp"

	ModeCaller   = "caller"
	ModeListener = "listener"

	LossNull = "null"
	LossStop = "stop"

	FECNone    = "none"
	FECST20221 = "st2022-1"

	FromBox  = "box"
	FromPeer = "peer"
)
