package mpegts

import "testing"

// What is written is what our own reader reads.
func TestAppendTables(t *testing.T) {
	b := AppendPMT(AppendPAT(nil, 1, 300, 0x1FF0, 31), 300, 0x1FF0, 31, 0x24, 0x101)
	if len(b) != 2*PacketSize {
		t.Fatalf("%d bytes", len(b))
	}
	tables := NewTables()
	tables.Push(b)
	list := tables.Programs()
	if len(list) != 1 || !list[0].HasPMT || list[0].Number != 300 || list[0].PMTPID != 0x1FF0 || list[0].PCRPID != 0x101 ||
		len(list[0].Components) != 1 || list[0].Components[0].PID != 0x101 || list[0].Components[0].Codec != "h265" {
		t.Errorf("%+v", list)
	}
	if st := tables.Stats(); st.CRCErrors != 0 || st.Refused != 0 {
		t.Errorf("%+v", st)
	}
}
