package relay

// DirectionStats counts one direction since the start. Packets are datagrams,
// bytes their payload.
type DirectionStats struct {
	PacketsIn  uint64 `json:"packets_in"`
	BytesIn    uint64 `json:"bytes_in"`
	PacketsOut uint64 `json:"packets_out"`
	BytesOut   uint64 `json:"bytes_out"`
	Duplicated uint64 `json:"duplicated"`
	Flipped    uint64 `json:"flipped"`
	Reordered  uint64 `json:"reordered"` // delivered after a packet that entered later
	Dropped    Drops  `json:"dropped"`

	// Of a Relay: how much later than decided packets left.
	LateOver1MS uint64 `json:"late_over_1ms"`
	LateMaxUS   int64  `json:"late_max_us"`
	LateSumUS   int64  `json:"late_sum_us"`
}

func (s *DirectionStats) enter(size int) {
	s.PacketsIn++
	s.BytesIn += uint64(size)
}

// Drops counts dropped packets by reason.
type Drops struct {
	Size        uint64 `json:"size"`
	Dead        uint64 `json:"dead"`
	Blackout    uint64 `json:"blackout"`
	Queue       uint64 `json:"queue"`
	Burst       uint64 `json:"burst"`
	BurstCommon uint64 `json:"burst_common"`
	Loss        uint64 `json:"loss"`
	LossCommon  uint64 `json:"loss_common"`
	Overflow    uint64 `json:"overflow"`  // too many packets in flight
	Truncated   uint64 `json:"truncated"` // datagram over 2048 bytes
	Send        uint64 `json:"send"`      // refused by the kernel or the far end
}

func (d *Drops) count(r Reason) {
	switch r {
	case Size:
		d.Size++
	case Dead:
		d.Dead++
	case Black:
		d.Blackout++
	case Queue:
		d.Queue++
	case BurstOwn:
		d.Burst++
	case BurstCommon:
		d.BurstCommon++
	case LossOwn:
		d.Loss++
	case LossCommon:
		d.LossCommon++
	case Overflow:
		d.Overflow++
	}
}

// Total is the number of dropped packets.
func (d Drops) Total() uint64 {
	return d.Size + d.Dead + d.Blackout + d.Queue + d.Burst + d.BurstCommon + d.Loss + d.LossCommon + d.Overflow + d.Truncated + d.Send
}

// Stats of a relay.
type Stats struct {
	Name     string         `json:"name"`
	Listen   string         `json:"listen"`
	Upstream string         `json:"upstream"`
	Sessions int            `json:"sessions"` // clients now
	Evicted  uint64         `json:"evicted"`  // clients given up for newer ones
	Up       DirectionStats `json:"up"`
	Down     DirectionStats `json:"down"`
	// KernelDrops counts datagrams that the kernel dropped before the relay
	// read them: not decided by any seed, so above 0 a measurement is spoilt.
	KernelDrops uint64 `json:"kernel_drops"`
}
