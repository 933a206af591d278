package boxplan

import (
	"errors"
	"fmt"
	"time"

	"quartet/cmd/internal/socket"
	"quartet/device/config"
	"quartet/uplink"
	"quartet/uplink/srt"
)

// Sizes in bytes.
const (
	tsPacket = 188
	srtOver  = 44 // IPv4, UDP and SRT headers of a packet
	tagged   = 20 // RTP header and tag of a message
	repair   = 13 // what a repair packet has beyond a source packet

	filterOver = 4 // header of libsrt's packet filter
)

// Socket gives the settings of the SRT socket of path i (profile ts or
// rtp-fec), with buffers that hold the stream for twice its rate, so that
// overhead_percent may change without a new connection; least has those that
// just hold it. err is of type config.Issues: settings that do not fit the
// stream.
func Socket(doc *config.Box, i int, plan uplink.Plan) (o, least srt.Options, err error) {
	p, at := &doc.Paths[i], fmt.Sprintf("paths[%d]", i)
	rtt := doc.Output.RTTMS.Duration()
	o = socket.Options(p.SRT)
	socket.Secure(&o, p.Passphrase, p.KeyLength)
	o.StreamID, o.Interface, o.LocalAddr = p.StreamID, p.Interface, p.Source
	o.Latency = latency(doc, i, plan)
	bitrate, message := stream(doc, i, plan)
	payload := 0 // as much as fits: the preflight's probes may be longer than any message
	if p.Profile == config.ProfileTS {
		// What every receiver of transport streams expects, or what the packets hold.
		payload = min(srt.TSPayload, p.SRT.MSS-srtOver)
		if p.SRT.PacketFilter != "" {
			payload = min(payload, p.SRT.MSS-srtOver-filterOver)
		}
	}

	need := kbps(bitrate * int64(message+srtOver) / int64(message))
	switch own := kbps(bitrate); {
	case p.SRT.MaxBWKbps > 0 && p.SRT.MaxBWKbps < need:
		return o, o, tooLittle(at+".srt.maxbw_kbps", p.SRT.MaxBWKbps, need)
	case p.SRT.InputBWKbps > 0 && p.SRT.InputBWKbps < own:
		return o, o, tooLittle(at+".srt.inputbw_kbps", p.SRT.InputBWKbps, own)
	}
	longest := "output.latency_ms"
	if p.LatencyMS > 0 {
		longest = at + ".latency_ms"
	}
	if tooLong := socket.Fits(longest, bitrate, message, o.Latency, rtt); tooLong != nil {
		return o, o, tooLong
	}
	// Sized by the messages that there will be; short ones are more.
	o.PayloadSize = message
	least = o.Sized(bitrate, rtt)
	if o = o.Sized(2*bitrate, rtt); o.Validate() != nil {
		o = least
	}
	var wrong *srt.OptionError
	switch err := o.Check(bitrate, rtt); {
	case errors.As(err, &wrong):
		return o, o, config.Issues{socket.Issue(at+".srt", longest, wrong)}
	case err != nil:
		return o, o, config.Issues{{Path: at + ".srt", Problem: "does not fit: " + err.Error(), Remedy: "leave it to the planner"}}
	}
	o.PayloadSize = payload
	if p.MaxBitrateKbps > 0 {
		limit(&o, p)
	}
	return o, least, nil
}

// limit keeps a path of limited capacity within it: no more is sent than that,
// and a retransmission waits until the one before can have arrived.
func limit(o *srt.Options, p *config.Path) {
	if p.SRT.RetransmitAlgo == nil {
		o.RetransmitAlgo = 1
	}
	if o.MaxBW == 0 && o.InputBW == 0 && o.MinInputBW == 0 {
		o.MaxBW = p.MaxBitrateKbps.BytesPerSecond()
	}
}

// latency is SRT's on path i. Profile ts has no parity and no merge behind it:
// there all of it is SRT's.
func latency(doc *config.Box, i int, plan uplink.Plan) time.Duration {
	p := &doc.Paths[i]
	switch {
	case p.LatencyMS > 0:
		return p.LatencyMS.Duration()
	case p.Profile == config.ProfileTS:
		return doc.Output.LatencyMS.Duration()
	}
	return plan.SRTLatency
}

// stream tells what path i is given at the feed's highest rate: bit/s, without
// the headers of SRT, UDP and IP, and the bytes of an ordinary message.
func stream(doc *config.Box, i int, plan uplink.Plan) (bitrate int64, message int) {
	p, o := &doc.Paths[i], &doc.Output
	n, feed := o.TSPacketsPerMessage, o.MaxBitrateKbps.BitsPerSecond()
	if p.Profile != config.ProfileRTPFEC {
		if p.TSPacketsPerMessage > 0 {
			n = p.TSPacketsPerMessage
		}
		return feed, n * tsPacket
	}
	message = tagged + n*tsPacket
	perSecond := float64(feed) / float64(8*tsPacket*n)
	return int64(8 * perSecond * (float64(message) + plan.Overhead*float64(message+repair))), message
}

// kbps rounds up.
func kbps(bitrate int64) config.Kbps { return config.Kbps((bitrate + 999) / 1000) }

func tooLittle(path string, has, needs config.Kbps) error {
	return config.Issues{{Path: path, Value: fmt.Sprint(has), Problem: fmt.Sprintf("is less than the %d that the stream needs", needs),
		Remedy: fmt.Sprintf("write %d or more, or leave it out", needs)}}
}
