package socket

import (
	"errors"
	"fmt"
	"time"

	"quartet/device/config"
	"quartet/uplink/srt"
)

// gatewayRTT is the round trip that a gateway's sockets are sized for.
const gatewayRTT = 200 * time.Millisecond

// CheckGateway finds settings of a gateway's calling sockets that do not fit
// their stream, which the document's own rules do not reckon.
func CheckGateway(doc *config.Gateway) (issues config.Issues) {
	for i := range doc.Contributions {
		c := &doc.Contributions[i]
		bitrate := c.MaxBitrateKbps.BitsPerSecond()
		check := func(at string, s config.SRT, latency config.Milliseconds) {
			o := Options(s)
			o.Latency = latency.Duration()
			// maxbw and inputbw are bytes per second there, and kbit/s here.
			for _, rate := range []struct {
				name string
				v    config.Kbps
				over int64
			}{{"maxbw_kbps", s.MaxBWKbps, 44}, {"inputbw_kbps", s.InputBWKbps, 0}} {
				need := config.Kbps((bitrate*(srt.TSPayload+rate.over)/srt.TSPayload + 999) / 1000)
				if rate.v > 0 && rate.v < need {
					issues = append(issues, config.Issue{Path: at + ".srt." + rate.name, Value: fmt.Sprint(rate.v),
						Problem: fmt.Sprintf("is less than the %d that the stream needs", need), Remedy: fmt.Sprintf("write %d or more, or leave it out", need)})
					return
				}
			}
			// Sized for twice the rate, as the gateway does.
			if tooLong := Fits(at+".latency_ms", 2*bitrate, srt.TSPayload, o.Latency, gatewayRTT); tooLong != nil {
				issues = append(issues, tooLong...)
				return
			}
			var wrong *srt.OptionError
			if err := o.Sized(2*bitrate, gatewayRTT).Check(bitrate, gatewayRTT); errors.As(err, &wrong) {
				issues = append(issues, Issue(at+".srt", at+".latency_ms", wrong))
			}
		}
		for k := range c.Inputs {
			if in := &c.Inputs[k]; in.Mode == config.ModeCaller {
				check(fmt.Sprintf("contributions[%d].inputs[%d]", i, k), in.SRT, in.LatencyMS)
			}
		}
		for k := range c.Peers {
			check(fmt.Sprintf("contributions[%d].peers[%d]", i, k), c.Peers[k].SRT, c.Peers[k].LatencyMS)
		}
		for k := range c.Outputs {
			if o := &c.Outputs[k]; o.Type == config.TypeSRT {
				check(fmt.Sprintf("contributions[%d].outputs[%d]", i, k), o.SRT, o.LatencyMS)
			}
		}
	}
	return issues
}
