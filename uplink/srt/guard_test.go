package srt

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
)

func TestHandshakeFilter(t *testing.T) {
	vm, err := bpf.NewVM(handshakeFilter())
	if err != nil {
		t.Fatal(err)
	}
	handshake := func(request, mss, window uint32) []byte {
		b := append(make([]byte, 8), induction()...)
		binary.BigEndian.PutUint32(b[8+28:], mss)
		binary.BigEndian.PutUint32(b[8+32:], window)
		binary.BigEndian.PutUint32(b[8+36:], request)
		return b
	}
	const conclusion = 0xffffffff
	data := append(make([]byte, 8), make([]byte, 16+1316)...)
	ack := append(make([]byte, 8), make([]byte, 16+28)...)
	binary.BigEndian.PutUint32(ack[8:], 0x80020000)
	long := append(handshake(conclusion, 1500, 8192), make([]byte, 500)...)
	for name, c := range map[string]struct {
		packet []byte
		pass   bool
	}{
		"data":                  {data, true},
		"acknowledgement":       {ack, true},
		"keep-alive":            {append(make([]byte, 8), 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), true},
		"induction":             {handshake(1, 0, 0), true}, // keeps no state
		"rejection":             {handshake(1010, 0, 0), true},
		"conclusion":            {handshake(conclusion, 1500, 25600), true},
		"with extensions":       {long, true},
		"least window":          {handshake(conclusion, 1500, 32), true},
		"largest window":        {handshake(conclusion, 1500, 1<<19), true},
		"jumbo packets":         {handshake(conclusion, 9000, 8192), true},
		"runt":                  {make([]byte, 8+15), false},
		"empty":                 {make([]byte, 8), false},
		"short handshake":       {handshake(1, 1500, 8192)[:8+63], false},
		"no window":             {handshake(conclusion, 1500, 0), false},
		"window of 2^30":        {handshake(conclusion, 1500, 1<<30), false},
		"negative window":       {handshake(conclusion, 1500, 0xffffffff), false},
		"packets of no size":    {handshake(conclusion, 0, 8192), false},
		"packets of small size": {handshake(conclusion, 100, 8192), false},
		"negative size, window": {handshake(conclusion, 0xffffffff, 0x80000000), false},
	} {
		n, err := vm.Run(c.packet)
		if err != nil || (n > 0) != c.pass || (c.pass && n < len(c.packet)) {
			t.Errorf("%s: lets through %d of %d bytes, %v", name, n, len(c.packet), err)
		}
	}
}
