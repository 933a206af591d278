package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"quartet/uplink/srt"
)

// Config is everything a gateway process does. It names no secret in any
// error, log line or status.
type Config struct {
	// Name of the gateway in status and metrics.
	Name string
	// Listeners are the shared SRT ports that inputs name.
	Listeners []Listener
	// Version of the program, for status and metrics.
	Version string
	// Contributions, each with a name of its own.
	Contributions []Contribution
	// HTTP is the address of the HTTP server; empty means none.
	HTTP string
	// Tick is how often a contribution with traffic drains its connections and
	// releases packets: the longest burst at the outputs. 0: DefaultTick.
	Tick time.Duration
	// Now is the process's monotonic clock; nil: time since New.
	Now func() time.Duration
	// Log receives events; nil: none. Events of one kind are limited in rate.
	Log *slog.Logger
}

// Listener is one SRT port. Its settings are those of every socket accepted
// there, unless the input has its own.
type Listener struct {
	Address string // ip:port, or :port for all addresses
	SRT     srt.Options
}

// DefaultTick is the longest burst at the outputs unless told otherwise. A packet
// is released at the tick nearest to when it is due, 2 ms off at most.
const DefaultTick = 4 * time.Millisecond

// Contribution is one feed: some streams in, one feed out.
type Contribution struct {
	// Name in status, logs and metrics.
	Name string
	// Keys are the contribution keys whose tags are accepted: one, or two while
	// the key changes. Reports carry the tag of the key that the box last used.
	Keys [][]byte
	// Latency is D, from the box's paced send instant to the release here,
	// without the network's one-way delay. 0: what the box says (QRTS).
	Latency time.Duration
	// MaxBitrate bounds memory, bit/s of transport stream. 0: 20 Mbit/s.
	MaxBitrate int64
	// Inputs are the streams: from the box, or from peers. At most MaxInputs.
	Inputs []Input
	// Peers get a copy of every packet received first-hand.
	Peers []Peer
	// Outputs get the merged feed.
	Outputs []OutputConfig
	// Monitor has what is released watched (ETSI TR 101 290), for status and
	// metrics. It takes 0.7 MB.
	Monitor bool
	// LossAfter is the silence at the release after which the feed counts as
	// lost. 0: 300 ms.
	LossAfter time.Duration
	// NullFor bounds how long outputs with OnLoss null fill a loss; 0: until
	// the feed returns.
	NullFor time.Duration
}

// MaxInputs is the most inputs of a contribution: one bit each in
// fec.Delivery.Arrived.
const MaxInputs = 64

// Input is one stream of a contribution. Exactly one of Listen and Call is
// set.
type Input struct {
	// Name in status, logs and metrics: the path.
	Name string
	// FromPeer marks a stream that another gateway forwards. It is merged like
	// any other and never forwarded again.
	FromPeer bool
	// Listen is the address of a shared SRT port on which the far end calls
	// with StreamID ("" none).
	Listen string
	// Call is host:port of a far end that listens ("" none).
	Call string
	// Offset is SRT latency plus stagger, for a sender that does not tell
	// (QRTS). Negative: as told.
	Offset time.Duration
	// SRT holds stream id, passphrase, key length and latency of this stream
	// and, for a caller, everything else about the socket.
	SRT srt.Options
}

// Peer is a gateway that packets are forwarded to.
type Peer struct {
	Name string
	Call string // host:port of its listener
	SRT  srt.Options
}

// OutputConfig is one place the merged feed goes to: *RTPOutput, *UDPOutput,
// *SRTOutput or *FileOutput.
type OutputConfig interface {
	// Title is the output's name in status, logs and metrics.
	Title() string
	// Check finds what is wrong with the configuration.
	Check() error
	open(e *outputEnv) output
}

// OnLoss is what an output does while the feed is lost.
type OnLoss uint8

const (
	// Stop falls silent, so that what follows takes its other source.
	Stop OnLoss = iota
	// Null sends null packets at the last rate.
	Null
)

// Destination is where datagrams go.
type Destination struct {
	// Address is host:port; a group for multicast.
	Address string
	// Interface to send from, by name; "" is the system's choice.
	Interface string
	// Source is the local address (and port, 0 = any) to send from; the zero
	// value is the system's choice.
	Source netip.AddrPort
	// TTL, 0: the system's default for unicast, 16 for multicast.
	TTL int
	// DSCP of the packets, 0…63.
	DSCP int
}

// MulticastTTL is the TTL of multicast whose Destination names none: inside
// a site, not beyond.
const MulticastTTL = 16

func (d Destination) check() error {
	_, port, err := splitAddress(d.Address)
	switch {
	case err != nil:
		return err
	case port == 0:
		return fmt.Errorf("destination %q: port 0; name the receiver's port", d.Address)
	case d.TTL < 0 || d.TTL > 255:
		return fmt.Errorf("ttl %d: out of range; use 1 to 255, or 0 for the default", d.TTL)
	case d.DSCP < 0 || d.DSCP > 63:
		return fmt.Errorf("dscp %d: out of range; use 0 to 63", d.DSCP)
	}
	return nil
}

// Check finds what is wrong with the configuration, all of it at once.
func (c *Config) Check() error {
	var errs []error
	names := map[string]bool{}
	routes := map[string]string{} // listen address and stream id -> contribution/input
	ports := map[string]bool{}
	for _, l := range c.Listeners {
		if ports[l.Address] {
			errs = append(errs, fmt.Errorf("listener %q: given twice", l.Address))
		}
		ports[l.Address] = true
		if _, _, err := splitAddress(l.Address); err != nil {
			errs = append(errs, fmt.Errorf("listener: %w", err))
		}
		if err := l.SRT.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("listener %q: %w", l.Address, err))
		}
	}
	for i := range c.Contributions {
		k := &c.Contributions[i]
		if k.Name == "" || names[k.Name] {
			errs = append(errs, fmt.Errorf("contribution %d: name %q: empty or taken; give each its own", i, k.Name))
		}
		names[k.Name] = true
		if err := k.check(ports, routes); err != nil {
			errs = append(errs, fmt.Errorf("contribution %q: %w", k.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Contribution) check(ports map[string]bool, routes map[string]string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(k.Keys) < 1 || len(k.Keys) > 2 {
		bad("keys: %d given; give the contribution key, and a second only while it changes", len(k.Keys))
	}
	if len(k.Inputs) == 0 || len(k.Inputs) > MaxInputs {
		bad("inputs: %d given; give 1 to %d", len(k.Inputs), MaxInputs)
	}
	if k.Latency < 0 || k.Latency > 15*time.Second {
		bad("latency %v: out of range; use at most 15s, or 0 for what the box says", k.Latency)
	}
	if k.MaxBitrate < 0 || k.MaxBitrate > 500_000_000 {
		bad("max bitrate %d bit/s: out of range; use at most 500000000", k.MaxBitrate)
	}
	seen := map[string]bool{}
	for i := range k.Inputs {
		in := &k.Inputs[i]
		at := fmt.Sprintf("input %q", in.Name)
		if in.Name == "" || seen[in.Name] {
			bad("%s: name empty or taken; give each its own", at)
		}
		seen[in.Name] = true
		switch {
		case (in.Listen == "") == (in.Call == ""):
			bad("%s: give either an address to listen on or one to call", at)
		case in.Listen != "":
			if !ports[in.Listen] {
				bad("%s: no listener has the address %q; name one of the listeners", at, in.Listen)
			}
			if in.SRT.StreamID == "" {
				bad("%s: no stream id; streams on one port are told apart by it", at)
			}
			route := in.Listen + " " + in.SRT.StreamID
			if other, taken := routes[route]; taken {
				bad("%s: stream id is that of %s on the same port; give each its own", at, other)
			}
			routes[route] = k.Name + "/" + in.Name
		default:
			if _, _, err := splitAddress(in.Call); err != nil {
				bad("%s: %w", at, err)
			}
		}
		if err := checkSocket(in.SRT, in.Call, k.withDefaults().MaxBitrate); err != nil {
			bad("%s: %w", at, err)
		}
	}
	clear(seen)
	for i := range k.Peers {
		p := &k.Peers[i]
		if p.Name == "" || seen[p.Name] {
			bad("peer %q: name empty or taken; give each its own", p.Name)
		}
		seen[p.Name] = true
		if _, _, err := splitAddress(p.Call); err != nil {
			bad("peer %q: %w", p.Name, err)
		}
		if err := checkSocket(p.SRT, p.Call, k.withDefaults().MaxBitrate); err != nil {
			bad("peer %q: %w", p.Name, err)
		}
	}
	clear(seen)
	for _, o := range k.Outputs {
		if o.Title() == "" || seen[o.Title()] {
			bad("output %q: name empty or taken; give each its own", o.Title())
		}
		seen[o.Title()] = true
		if err := o.Check(); err != nil {
			bad("output %q: %w", o.Title(), err)
		}
	}
	return errors.Join(errs...)
}

// checkSocket finds settings that are out of range and, on a caller's socket,
// buffers that are set too small for the feed.
func checkSocket(o srt.Options, call string, bitrate int64) error {
	if call == "" {
		return o.Validate()
	}
	return o.Sized(2*bitrate, assumedRTT).Check(bitrate, assumedRTT)
}

// withDefaults fills in what the caller left at zero.
func (k Contribution) withDefaults() Contribution {
	if k.MaxBitrate == 0 {
		k.MaxBitrate = 20_000_000
	}
	if k.LossAfter == 0 {
		k.LossAfter = 300 * time.Millisecond
	}
	return k
}
