package board

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// Identity is what the factory wrote into the board's memory.
type Identity struct {
	Model    string   `json:"model"`
	Serial   string   `json:"serial"`
	Revision string   `json:"revision,omitempty"` // of the hardware
	MACs     []string `json:"macs,omitempty"`     // of the network ports, in order
	Made     string   `json:"made,omitempty"`     // date, 2026-11-26
}

// The memory's layout: magic, version, length of the JSON text (big endian), the
// text, its CRC-32C (big endian). What follows is free.
const (
	identityMagic   = "QTID"
	identityVersion = 1
	identityHeader  = len(identityMagic) + 1 + 2
	identityLimit   = 1024 // bytes of text
)

// ErrBlank says that the memory was never written.
var ErrBlank = errors.New("the identity memory is blank")

// AppendIdentity appends the memory's contents to b.
func AppendIdentity(b []byte, id Identity) ([]byte, error) {
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	if len(text) > identityLimit {
		return nil, fmt.Errorf("identity of %d bytes: at most %d fit; shorten it", len(text), identityLimit)
	}
	b = append(b, identityMagic...)
	b = append(b, identityVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	b = append(b, text...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))), nil
}

// ParseIdentity reads the memory's contents. A memory of 0x00 or 0xff is
// ErrBlank; anything else that is not whole is an error that says what is wrong.
func ParseIdentity(b []byte) (id Identity, err error) {
	if blank(b) {
		return id, ErrBlank
	}
	if len(b) < identityHeader || string(b[:len(identityMagic)]) != identityMagic {
		return id, errors.New("the identity memory does not begin with " + identityMagic + ": it holds something else")
	}
	if v := b[len(identityMagic)]; v != identityVersion {
		return id, fmt.Errorf("the identity memory has version %d; this program reads %d", v, identityVersion)
	}
	n := int(binary.BigEndian.Uint16(b[len(identityMagic)+1:]))
	if n > identityLimit || len(b) < identityHeader+n+4 {
		return id, fmt.Errorf("the identity memory tells of %d bytes and has %d: it is cut off or corrupt", n, len(b)-identityHeader)
	}
	text := b[identityHeader : identityHeader+n]
	if crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[identityHeader+n:]) {
		return id, errors.New("the identity memory's checksum is wrong: it is corrupt")
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return Identity{}, fmt.Errorf("the identity memory's text: %w", err)
	}
	if id.Serial == "" {
		return Identity{}, errors.New("the identity memory has no serial")
	}
	return id, nil
}

func blank(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	for _, c := range b {
		if c != b[0] || c != 0 && c != 0xff {
			return false
		}
	}
	return true
}
