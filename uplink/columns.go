package uplink

import (
	"time"

	"quartet/fec/st2022"
	"quartet/uplink/rtp"
)

// columnFEC adds SMPTE ST 2022-1 column and row packets to a path of profile
// rtp. It is driven under the Sender's lock.
type columnFEC struct {
	path    *Path
	encoder *st2022.Encoder
}

func newColumnFEC(p *Path, cfg PathConfig) (*columnFEC, error) {
	c := &columnFEC{path: p}
	var err error
	c.encoder, err = st2022.NewEncoder(st2022.EncoderConfig{
		Params:    st2022.Params{Columns: cfg.Columns, Rows: cfg.Rows, RowFEC: cfg.RowFEC},
		MaxPacket: rtp.MaxSourcePacket,
		Emit:      c.emit,
	})
	return c, err
}

func (c *columnFEC) emit(kind st2022.Kind, at time.Duration, pkt []byte) {
	port := PortColumn
	if kind == st2022.Row {
		port = PortRow
	}
	c.path.push(at, port, pkt)
}
