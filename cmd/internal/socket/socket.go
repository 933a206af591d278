// Package socket turns the SRT settings of the configuration documents, which
// the box and the gateway have in common, into those of uplink/srt.
package socket

import (
	"fmt"
	"strings"
	"time"

	"quartet/device/config"
	"quartet/uplink/srt"
)

// Options copies the settings of an SRT socket. What the documents keep beside
// them, such as latency and passphrase, is the caller's to add.
func Options(c config.SRT) srt.Options {
	o := srt.Options{
		MaxBW: c.MaxBWKbps.BytesPerSecond(), InputBW: c.InputBWKbps.BytesPerSecond(), MinInputBW: c.MinInputBWKbps.BytesPerSecond(),
		OverheadBW: c.OverheadBWPercent, FC: c.FC, SndBuf: c.SndBuf, RcvBuf: c.RcvBuf, UDPSndBuf: c.UDPSndBuf, UDPRcvBuf: c.UDPRcvBuf,
		LossMaxTTL: orMinus(c.LossMaxTTL), SndDropDelay: int(c.SndDropDelayMS),
		ConnectTimeout: c.ConnectTimeoutMS.Duration(), PeerIdleTimeout: c.PeerIdleTimeoutMS.Duration(),
		IPTOS: orMinus(c.IPTOS), IPTTL: c.IPTTL, MSS: c.MSS, PacketFilter: c.PacketFilter,
	}
	if c.RetransmitAlgo != nil {
		o.RetransmitAlgo = *c.RetransmitAlgo
	}
	return o
}

// orMinus turns the documents' 0, which is a value, into what srt.Options take
// for it: their own 0 stands for the default.
func orMinus(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// Issue turns an error of a socket's settings, which has libsrt's names, into one
// about the fields of the document: at is the path of the socket's settings,
// latency that of its latency.
func Issue(at, latency string, e *srt.OptionError) config.Issue {
	path := at
	switch e.Option {
	case "latency":
		path = latency
	case "fc":
		path += ".fc_packets"
	case "sndbuf", "rcvbuf":
		path += "." + e.Option + "_bytes"
	case "udpsndbuf":
		path += ".udp_sndbuf_bytes"
	case "udprcvbuf":
		path += ".udp_rcvbuf_bytes"
	case "maxbw", "inputbw":
		path += "." + e.Option + "_kbps"
	case "payloadsize":
		path += ".mss_bytes"
	}
	problem := "does not fit: " + e.Remedy
	if strings.HasPrefix(e.Remedy, "too small") {
		problem = "is " + e.Remedy
	}
	return config.Issue{Path: path, Value: e.Value, Problem: problem, Remedy: "write what fits, or leave it out to have it sized"}
}

// Fits refuses a latency for which a stream of bitrate bit/s in messages of so
// many bytes would need more buffer than libsrt has. at is the latency's path.
func Fits(at string, bitrate int64, message int, latency, rtt time.Duration) config.Issues {
	const most = 1 << 18 // packets; the range of fc_packets
	full := bitrate * srt.TSPayload / int64(min(message, srt.TSPayload))
	need := srt.PacketsNeeded(full, latency, rtt)
	if need <= most {
		return nil
	}
	longest := time.Duration(float64(latency+rtt)*most/float64(need)) - rtt
	return config.Issues{{Path: at, Value: fmt.Sprint(latency.Milliseconds()),
		Problem: fmt.Sprintf("would need %d packets of buffer at %.4g Mbit/s, and there are %d at most", need, float64(bitrate)/1e6, most),
		Remedy:  fmt.Sprintf("use at most %d, or lower the bit rate", max(0, longest.Milliseconds()))}}
}

// Secure adds passphrase and key length. Without a passphrase there is no key.
func Secure(o *srt.Options, passphrase config.Secret, keyLength int) {
	o.Passphrase, o.KeyLength = passphrase.Reveal(), 0
	if o.Passphrase != "" {
		o.KeyLength = keyLength
	}
}
