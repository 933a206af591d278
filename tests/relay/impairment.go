package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Impairment says what happens to the packets of one direction. The zero value
// passes everything at once. Times are milliseconds, fractions allowed; rates
// without a unit are probabilities 0…1.
//
// The order on the way: size limit, dead, blackout, rate limit, burst loss,
// independent loss, delay with jitter, reordering, duplicate, flip.
type Impairment struct {
	// Loss is the share of packets lost independently of each other.
	// LossCommon (0…1) is the share of these losses that hits every relay of
	// the group in the same 1 ms slot.
	Loss       float64 `json:"loss,omitempty"`
	LossCommon float64 `json:"loss_common,omitempty"`
	// Burst is loss in bursts, on top of Loss.
	Burst Burst `json:"burst,omitzero"`

	// DelayMS is the constant delay of this direction, JitterMS the greatest
	// extra delay: it wanders within 0…JitterMS with a new level each 10 ms, and
	// packets keep their order.
	DelayMS  float64 `json:"delay_ms,omitempty"`
	JitterMS float64 `json:"jitter_ms,omitempty"`
	// Reorder holds a share of the packets back by up to ByMS, so that later
	// ones overtake.
	Reorder Chance `json:"reorder,omitzero"`
	// Duplicate sends a share of the packets twice, the copy up to ByMS later.
	Duplicate Chance `json:"duplicate,omitzero"`
	// Flip inverts one bit in a share of the packets; the UDP checksum is right
	// again, as after a broken middlebox.
	Flip Flip `json:"flip,omitzero"`

	// Dead drops everything until set again. Blackouts drop everything in
	// windows of the relay's time.
	Dead      bool       `json:"dead,omitempty"`
	Blackouts []Blackout `json:"blackouts,omitempty"`

	// RateBPS limits the rate, counted on IP packets (datagram + 28 bytes); 0
	// is unlimited. A packet that would wait longer than QueueMS (default 100)
	// is dropped at the tail.
	RateBPS float64 `json:"rate_bps,omitempty"`
	QueueMS float64 `json:"queue_ms,omitempty"`
	// MTU drops IP packets (datagram + 28 bytes) that are longer, without any
	// ICMP; 0 is unlimited.
	MTU int `json:"mtu,omitempty"`
}

// Burst is Gilbert's two-state loss: everything is lost in the bad state.
// Loss is the long-term share of lost packets. The mean length of a burst is
// either MeanPackets (a chain over packets) or MeanMS (a chain over 1 ms slots
// of time). Common is the share of Loss that belongs to the group's common
// process; it needs MeanMS, because only time is common to several relays.
type Burst struct {
	Loss        float64 `json:"loss,omitempty"`
	MeanPackets float64 `json:"mean_packets,omitempty"`
	MeanMS      float64 `json:"mean_ms,omitempty"`
	Common      float64 `json:"common,omitempty"`
}

// Chance is something that happens to a share Rate of the packets, with an
// extra delay drawn evenly from 0…ByMS.
type Chance struct {
	Rate float64 `json:"rate,omitempty"`
	ByMS float64 `json:"by_ms,omitempty"`
}

// Flip inverts one bit in a share Rate of the packets, at or after byte From
// of the datagram; shorter packets pass.
type Flip struct {
	Rate float64 `json:"rate,omitempty"`
	From int     `json:"from,omitempty"`
}

// Blackout drops everything from StartMS for DurationMS, again each PeriodMS
// (0: once). Times count from the relay's zero.
type Blackout struct {
	StartMS    float64 `json:"start_ms"`
	DurationMS float64 `json:"duration_ms"`
	PeriodMS   float64 `json:"period_ms,omitempty"`
}

// at tells whether the blackout reigns at now.
func (b Blackout) at(now time.Duration) bool {
	t := now - ms(b.StartMS)
	if t < 0 {
		return false
	}
	if p := ms(b.PeriodMS); p > 0 {
		t %= p
	}
	return t < ms(b.DurationMS)
}

// Size of the IPv4 and UDP headers, counted by RateBPS and MTU.
const ipOverhead = 28

const defaultQueueMS = 100

// A day bounds every time in an Impairment.
const maxMS = 24 * 60 * 60 * 1000

func ms(f float64) time.Duration { return time.Duration(math.Round(f * float64(time.Millisecond))) }

// Validate names the first field that makes no sense.
func (i Impairment) Validate() error {
	share := func(field string, v float64) error {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("%s is %v: give a share from 0 to 1", field, v)
		}
		return nil
	}
	length := func(field string, v float64) error {
		if !(v >= 0 && v <= maxMS) {
			return fmt.Errorf("%s is %v: give 0 to %d milliseconds", field, v, maxMS)
		}
		return nil
	}
	errs := []error{
		share("loss", i.Loss), share("loss_common", i.LossCommon),
		share("burst.common", i.Burst.Common), length("burst.mean_ms", i.Burst.MeanMS),
		share("reorder.rate", i.Reorder.Rate), length("reorder.by_ms", i.Reorder.ByMS),
		share("duplicate.rate", i.Duplicate.Rate), length("duplicate.by_ms", i.Duplicate.ByMS),
		share("flip.rate", i.Flip.Rate),
		length("delay_ms", i.DelayMS), length("jitter_ms", i.JitterMS), length("queue_ms", i.QueueMS),
		i.Burst.validate(),
	}
	for n, b := range i.Blackouts {
		at := fmt.Sprintf("blackouts[%d].", n)
		errs = append(errs, length(at+"start_ms", b.StartMS), length(at+"duration_ms", b.DurationMS), length(at+"period_ms", b.PeriodMS))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	switch {
	case !(i.RateBPS >= 0 && i.RateBPS <= 1e12) || (i.RateBPS > 0 && i.RateBPS < 1000):
		return fmt.Errorf("rate_bps is %v: give bits per second from 1000 up, or 0 for no limit", i.RateBPS)
	case i.MTU < 0 || (i.MTU > 0 && i.MTU < 68):
		return fmt.Errorf("mtu is %d: give at least 68 bytes, or 0 for no limit", i.MTU)
	case i.Flip.From < 0 || i.Flip.From > 65535:
		return fmt.Errorf("flip.from is %d: give a byte of the datagram, 0 to 65535", i.Flip.From)
	}
	return nil
}

func (b Burst) validate() error {
	switch {
	case !(b.Loss >= 0 && b.Loss < 1):
		return fmt.Errorf("burst.loss is %v: give a share below 1 (dead drops everything)", b.Loss)
	case b.Loss == 0:
		return nil
	case b.MeanPackets != 0 && b.MeanMS != 0:
		return fmt.Errorf("burst has mean_packets %v and mean_ms %v: give one of them", b.MeanPackets, b.MeanMS)
	case b.MeanPackets == 0 && b.MeanMS == 0:
		return fmt.Errorf("burst.loss is %v without a length: give mean_packets or mean_ms", b.Loss)
	case b.Common > 0 && b.MeanMS == 0:
		return fmt.Errorf("burst.common is %v with mean_packets: a common burst is a time, give mean_ms", b.Common)
	}
	mean := b.MeanPackets + b.MeanMS
	if !(mean >= 1 && mean <= maxMS) {
		return fmt.Errorf("burst.mean_packets/mean_ms is %v: give at least 1", mean)
	}
	if b.Loss >= mean/(mean+1) { // a gap is as long as one packet or slot at least
		return fmt.Errorf("burst.loss is %v with a mean of %v: bursts this short lose less than %.3f", b.Loss, mean, mean/(mean+1))
	}
	return nil
}

// Patch returns i with the fields set that the JSON object names; fields it
// does not name stay. A list replaces the whole list. Unknown fields are errors.
func (i Impairment) Patch(object []byte) (Impairment, error) {
	old := i.Blackouts
	i.Blackouts = nil // the decoder would write into the old list's elements
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&i); err != nil {
		return Impairment{}, err
	}
	if i.Blackouts == nil {
		i.Blackouts = slices.Clone(old)
	}
	return i, i.Validate()
}
