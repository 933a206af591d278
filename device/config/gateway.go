package config

// Gateway is the document of one gateway process: any number of contributions,
// each merged from its inputs and handed on. It is read by quartet-gateway.
type Gateway struct {
	// Schema version of the document; this program reads 1.
	Version int `json:"version" required:"yes" enum:"1"`
	// Name of the gateway in status, logs and metrics.
	Name string `json:"name" required:"yes" format:"name"`
	// The HTTP server for metrics and status.
	HTTP HTTP `json:"http"`
	// SRT ports that boxes and peers call. Streams on one port are told apart
	// by their stream id.
	Listeners []Listener `json:"listeners" len:"0..64"`
	// The contributions.
	Contributions []Contribution `json:"contributions" required:"yes" len:"1..1000"`
	// What is logged, and how.
	Log Log `json:"log"`
}

// HTTP is the gateway's HTTP server: /metrics for Prometheus, /status as JSON,
// /healthz for an orchestrator.
type HTTP struct {
	// Address to listen on. Empty: no HTTP server.
	Listen string `json:"listen" default:"127.0.0.1:9464" format:"listen-or-empty"`
}

// Listener is one SRT port.
type Listener struct {
	// Name by which inputs choose this listener.
	Name string `json:"name" required:"yes" format:"name"`
	// Address and port to listen on; :9000 is every address of the machine.
	Address string `json:"address" required:"yes" format:"listen"`
	// Settings of the sockets that are accepted here.
	SRT SRT `json:"srt"`
}

// Contribution is one feed: its streams come in, are merged and repaired, and
// go out once.
type Contribution struct {
	// Name of the contribution in status, logs and metrics.
	Name string `json:"name" required:"yes" format:"name"`
	// Time from the instant at which the box sends a packet to its release here,
	// beyond the network's one-way delay. 0: what the box says, its
	// output.latency_ms.
	LatencyMS Milliseconds `json:"latency_ms" range:"0..15000"`
	// Highest bit rate of the feed; memory is bounded with it.
	MaxBitrateKbps Kbps `json:"max_bitrate_kbps" default:"20000" range:"100..200000"`
	// The contribution key, at least 32 bytes in hex, as the box has it.
	Key Secret `json:"key" required:"yes" format:"hexkey"`
	// A key that the box is about to use: accepted besides the first.
	NextKey Secret `json:"next_key" format:"hexkey"`
	// The streams of this contribution: from the box, and from peers.
	Inputs []GatewayInput `json:"inputs" required:"yes" len:"1..16"`
	// Gateways that every packet received first-hand is forwarded to.
	Peers []Peer `json:"peers" len:"0..8"`
	// Where the merged feed goes.
	Outputs []GatewayOutput `json:"outputs" len:"0..16"`
	// Watch the merged feed (ETSI TR 101 290) and show errors in status and
	// metrics. It takes some 20 ns a packet and 0.7 MB; to be switched off where
	// one process carries hundreds of contributions.
	Monitor bool `json:"monitor" default:"true"`
	// The feed counts as lost after this time without a packet.
	LossAfterMS Milliseconds `json:"loss_after_ms" default:"300" range:"50..60000"`
	// What the outputs do while the feed is lost: null packets at the last
	// rate, or nothing (stop), so that what follows takes its other source.
	OnInputLoss string `json:"on_input_loss" default:"stop" enum:"null|stop"`
	// With on_input_loss stop: null packets for this long, then silence.
	StopAfterMS Milliseconds `json:"stop_after_ms" default:"0" range:"0..600000"`
}

// GatewayInput is one stream of a contribution.
type GatewayInput struct {
	// Name of the input in status, logs and metrics.
	Name string `json:"name" required:"yes" format:"name"`
	// Who sends it: the box, or another gateway that forwards what it received.
	// What comes from a peer is never forwarded again.
	From string `json:"from" default:"box" enum:"box|peer"`
	// listener: the far end calls one of this gateway's listeners; caller: the
	// gateway calls the far end.
	Mode string `json:"mode" default:"listener" enum:"caller|listener"`
	// With mode listener: name of the listener.
	Listener string `json:"listener" format:"name"`
	// With mode caller: srt://host:port, with the same parameters as a box's
	// path.
	URL string `json:"url" format:"url"`
	// The stream id: with mode listener it tells the streams of a port apart
	// and must be there.
	StreamID string `json:"stream_id" format:"streamid"`
	// SRT's passphrase of this stream, 10 to 79 bytes. Absent: not encrypted.
	Passphrase Secret `json:"passphrase" format:"passphrase"`
	// AES key length in bytes. The caller decides it: with mode listener this is
	// what the line for the box tells it.
	KeyLength int `json:"key_length" default:"32" enum:"16|24|32"`
	// SRT's own latency of this stream (the larger side wins). 0: as the far
	// end says.
	LatencyMS Milliseconds `json:"latency_ms" range:"0..15000"`
	// SRT latency plus stagger of this stream, for a sender that does not
	// report it. Absent: as the sender reports.
	OffsetMS *Milliseconds `json:"offset_ms" range:"0..15000"`
	// Network interface, with mode caller. Absent: the system's choice.
	Interface string `json:"interface" format:"interface"`
	// Local address, with mode caller. Absent: the system's choice.
	Source string `json:"source" format:"ip"`
	// Settings of the SRT socket, with mode caller.
	SRT SRT `json:"srt"`
}

// Peer is another gateway that gets a copy of what this one receives
// first-hand.
type Peer struct {
	// Name of the peer in status, logs and metrics.
	Name string `json:"name" required:"yes" format:"name"`
	// srt://host:port of the peer's listener, with the same parameters as a
	// box's path.
	URL string `json:"url" required:"yes" format:"url"`
	// The stream id that the peer's input demands.
	StreamID string `json:"stream_id" format:"streamid"`
	// SRT's passphrase, 10 to 79 bytes. Absent: not encrypted.
	Passphrase Secret `json:"passphrase" format:"passphrase"`
	// AES key length in bytes.
	KeyLength int `json:"key_length" default:"32" enum:"16|24|32"`
	// SRT's own latency towards the peer. It comes on top of the box's path, so
	// keep it short: gateways of a region are near each other.
	LatencyMS Milliseconds `json:"latency_ms" default:"20" range:"1..15000"`
	// Network interface. Absent: the system's choice.
	Interface string `json:"interface" format:"interface"`
	// Local address. Absent: the system's choice.
	Source string `json:"source" format:"ip"`
	// Settings of the SRT socket.
	SRT SRT `json:"srt"`
}

// GatewayOutput is one place the merged feed goes to.
type GatewayOutput struct {
	// Name of the output in status, logs and metrics.
	Name string `json:"name" required:"yes" format:"name"`
	// What is sent: rtp (the box's RTP packets, headers unchanged), udp (plain
	// transport stream), srt (plain transport stream in SRT), file.
	Type string `json:"type" required:"yes" enum:"rtp|udp|srt|file"`
	// Where it goes: rtp://host:port, udp://host:port, srt://host:port
	// (srt://:port listens), file:///path.
	URL string `json:"url" required:"yes" format:"url"`
	// Second destination of an rtp output (SMPTE ST 2022-7).
	Second *Leg `json:"second"`
	// Network interface to send on. Absent: the system's choice.
	Interface string `json:"interface" format:"interface"`
	// Local address to send from. Absent: the system's choice.
	Source string `json:"source" format:"ip"`
	// Time to live of rtp and udp packets. 0: the system's default for unicast,
	// 16 for multicast.
	TTL int `json:"ttl" range:"0..255"`
	// With type srt: caller or listener. Absent: listener when the URL names no
	// host, else caller.
	Mode string `json:"mode" enum:"caller|listener"`
	// With type srt: the stream id.
	StreamID string `json:"stream_id" format:"streamid"`
	// With type srt: the passphrase. Absent: not encrypted.
	Passphrase Secret `json:"passphrase" format:"passphrase"`
	// With type srt: AES key length in bytes.
	KeyLength int `json:"key_length" default:"16" enum:"16|24|32"`
	// With type srt: latency.
	LatencyMS Milliseconds `json:"latency_ms" default:"200" range:"20..15000"`
	// With type srt: settings of the socket.
	SRT SRT `json:"srt"`
}
