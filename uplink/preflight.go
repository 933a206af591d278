package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"quartet/capture/mpegts"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// PreflightResult is the outcome of trying out a path.
type PreflightResult struct {
	OK                bool
	Steps             []PreflightStep
	Largest           int // bytes of the longest message that arrived; 0: unknown
	PacketsPerMessage int // TS packets that fit it
}

// PreflightStep is one thing that was tried.
type PreflightStep struct {
	Name, Text, Remedy string
	OK                 bool
}

func (r *PreflightResult) step(ok bool, name, text, remedy string) {
	r.Steps = append(r.Steps, PreflightStep{name, text, remedy, ok})
	r.OK = ok
}

const (
	probeRound = 250 * time.Millisecond // one try of each size
	probeTries = 4
)

// probeSizes are the longest messages with 1 to 7 TS packets in a source packet:
// repair packet and tag, rounded up to the multiple of 4 that a probe has. What
// carries the source packets alone would lose all parity.
func probeSizes() (sizes []int) {
	for n := 1; n <= rtp.MaxTSPackets; n++ {
		sizes = append(sizes, (repairMore+rtp.HeaderSize+n*mpegts.PacketSize+rtp.TagSize+3)&^3)
	}
	return sizes
}

// Preflight tries a path out by a connection of its own, beside the one that
// may be in use: does it connect, is it the right far end, and how large a
// message arrives. index is the path's place in the configuration.
func (s *Sender) Preflight(ctx context.Context, index int, cfg PathConfig, key rtp.TagKey, accept []rtp.TagKey) (r PreflightResult) {
	// A probe and its answer each wait for SRT's latency.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second+2*cfg.SRTLatency)
	defer cancel()
	link, err := cfg.Dialer.Dial(ctx)
	if err != nil {
		r.step(false, "connect", err.Error(), "compare address, port, passphrase and stream id with the far end, and its allowlist with this box's public address")
		return r
	}
	defer link.Close()
	if cfg.Profile == ProfileRTP {
		r.step(true, "connect", "the name resolves and the socket is open; plain RTP does not tell whether anybody receives", "")
		return r
	}
	r.step(true, "connect", "connected to "+remote(link), "")
	if cfg.Profile == ProfileTS {
		preflightTS(ctx, link, cfg, &r)
		return r
	}
	s.preflightFEC(ctx, link, index, cfg, key, accept, &r)
	return r
}

// preflightFEC sends probes, which the gateway answers with the largest size
// that it got.
func (s *Sender) preflightFEC(ctx context.Context, link Link, index int, cfg PathConfig, key rtp.TagKey, accept []rtp.TagKey, r *PreflightResult) {
	rep := newReporter(s, index, 0, cfg, key, accept)
	id, largest, heard := rand.Uint32(), 0, false
	handle := func(msg []byte) {
		heard = true
		rep.receive(msg)
		if rep.last != nil && rep.last.Answer != nil && rep.last.Answer.ID == id {
			largest = max(largest, rep.last.Answer.Largest)
		}
	}
	sizes := probeSizes()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := s.now()
	next, want := time.Duration(0), sizes[len(sizes)-1]
	// SRT holds what it received for its latency before it hands it over, there
	// and back.
	end := probeTries*probeRound + 2*cfg.SRTLatency + probeRound
	for largest < want && s.now()-began < end {
		if at := s.now() - began; at >= next && at < probeTries*probeRound {
			next += probeRound
			for i, size := range sizes {
				m, err := rep.message(s.now(), LinkStats{}, &rtp.Probe{ID: id, Size: size})
				if err == nil {
					rep.msg[0] = m
					_, err = link.Send(rep.msg[:], rep.port[:], nil)
				}
				var long *srt.SizeError
				if errors.As(err, &long) && i > 0 {
					// The socket's own MSS is in the way, and known to be.
					sizes, want = sizes[:i], sizes[i-1]
					break
				}
				if err != nil {
					r.step(false, "probe", fmt.Sprintf("cannot send a message of %d bytes: %v", size, err), "see the path's state")
					return
				}
			}
		}
		if err := link.Recv(handle); err != nil {
			r.step(false, "probe", err.Error(), "see the far end's log")
			return
		}
		select {
		case <-ctx.Done():
			r.step(false, "probe", "given up: "+ctx.Err().Error(), "try again")
			return
		case <-tick.C:
		}
	}
	bad := rep.verifier.Stats().Bad
	switch {
	case largest == 0 && bad > 0:
		r.step(false, "key", "the far end answers, but with another contribution key", "compare output.key with the contribution's key at the gateway")
	case largest == 0 && heard:
		r.step(false, "probe", "the far end reports, but no probe arrived", "check the path's MTU: not even one TS packet gets through")
	case largest == 0:
		r.step(false, "report", "connected, but no answer: the far end is not quartet-gateway, or has another contribution key",
			"compare output.key with the contribution's key at the gateway; use profile ts for other receivers")
	default:
		r.step(true, "key", "the gateway answers with the same contribution key", "")
		r.Largest = largest
		for n, size := range sizes {
			if size <= largest {
				r.PacketsPerMessage = n + 1
			}
		}
		judgeSize(r, s.perMessageNow())
	}
}

func judgeSize(r *PreflightResult, configured int) {
	text := fmt.Sprintf("messages up to %d bytes arrive: %d TS packets per message", r.Largest, r.PacketsPerMessage)
	if r.PacketsPerMessage < configured {
		r.step(false, "mtu", text+fmt.Sprintf(", but %d are configured", configured),
			fmt.Sprintf("set ts_packets_per_message to %d, or raise the MTU of the tunnel on the way", r.PacketsPerMessage))
		return
	}
	r.step(true, "mtu", text, "")
}

// preflightTS has no answers to go by, only SRT's acknowledgements: null packets
// of each size are sent until the far end acknowledges them.
func preflightTS(ctx context.Context, link Link, cfg PathConfig, r *PreflightResult) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	most := rtp.MaxTSPackets
	if cfg.PacketsPerMessage > 0 {
		most = cfg.PacketsPerMessage
	}
	for n := 1; n <= most; n++ {
		msg := [][]byte{mpegts.AppendNull(nil, n)}
		if _, err := link.Send(msg, []Port{PortMedia}, nil); err != nil {
			r.step(false, "probe", err.Error(), "see the far end's log")
			return
		}
		if !acknowledged(ctx, link, tick.C) {
			break
		}
		r.PacketsPerMessage, r.Largest = n, n*mpegts.PacketSize
	}
	if r.PacketsPerMessage == 0 {
		r.step(false, "probe", "nothing is acknowledged", "the far end accepted the connection and receives nothing: check what lies on the way")
		return
	}
	judgeSize(r, most)
}

// acknowledged waits until the socket's send buffer is empty, at most 1 s.
func acknowledged(ctx context.Context, link Link, tick <-chan time.Time) bool {
	for range 100 {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
		}
		st, err := link.Stats()
		if err != nil {
			return false
		}
		if st.SRT != nil && st.SRT.PktSndBuf == 0 {
			return true
		}
	}
	return false
}

func remote(l Link) string {
	st, err := l.Stats()
	if err != nil {
		return "the far end"
	}
	return st.Remote
}

func (s *Sender) perMessageNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perMessage
}
