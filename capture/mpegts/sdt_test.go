package mpegts

import (
	"strings"
	"testing"
)

// What is written is what our own reader, which go-astits backs, reads.
func TestSDT(t *testing.T) {
	for _, name := range []string{"Quartet 1", "Zürich Süd", strings.Repeat("長", 40)} {
		p := AppendSDT(nil, Service{TransportStreamID: 1, ID: 7, Name: name, Provider: "Ärzte TV"})
		if len(p) != PacketSize || !Packet(p).Valid() {
			t.Fatalf("%d bytes", len(p))
		}
		tables := NewTables()
		pat := []byte{0x00, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 7, 0xE1, 0x00}
		crc := CRC32(pat)
		pat = append(pat, byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc))
		packet := append([]byte{SyncByte, 0x40, 0, 0x10, 0}, pat...)
		for len(packet) < PacketSize {
			packet = append(packet, 0xFF)
		}
		tables.Push(packet)
		tables.Push(p)
		programs := tables.Programs()
		if len(programs) != 1 || programs[0].Provider != "Ärzte TV" || !strings.HasPrefix(name, programs[0].Name) || programs[0].Name == "" {
			t.Errorf("%+v", programs)
		}
	}
}
