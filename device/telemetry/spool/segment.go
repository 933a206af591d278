package spool

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

const (
	magic      = "QSPOOL1\n"
	headerSize = 31
	recordHead = 17
	// maxRecord bounds what a damaged length can make a reader allocate.
	maxRecord = 1 << 20
	// maxPreamble is what its length field holds.
	maxPreamble = 1<<16 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Epoch tells processes that wrote to a log apart.
type Epoch [8]byte

// segment is one file of the log.
type segment struct {
	id    uint64 // number in the file's name; rising
	epoch Epoch
	first uint64 // number of the first record
	level uint8
	size  int64
}

func (s *segment) name() string { return fmt.Sprintf("%016x.seg", s.id) }

// segmentID is the number in a file's name.
func segmentID(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, ".seg")
	if !ok || len(hex) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(hex, 16, 64)
	return id, err == nil
}

// appendHeader appends a segment's header and preamble.
func appendHeader(b []byte, s *segment, preamble []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, s.epoch[:]...)
	b = binary.BigEndian.AppendUint64(b, s.first)
	b = append(b, s.level)
	b = binary.BigEndian.AppendUint16(b, uint16(len(preamble)))
	sum := crc32.Update(crc32.Checksum(b[start:], castagnoli), castagnoli, preamble)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, preamble...)
}

// appendRecord appends a record.
func appendRecord(b []byte, seq uint64, kind Kind, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, byte(kind))
	b = append(b, data...)
	binary.BigEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

// errNoSegment says that a file does not begin as a segment does.
var errNoSegment = errors.New("not a segment, or its header is damaged")

// readHeader reads a segment's header and preamble.
func readHeader(r io.Reader, s *segment) (preamble []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, noMore(err)
	}
	if string(h[:8]) != magic {
		return nil, errNoSegment
	}
	preamble = make([]byte, binary.BigEndian.Uint16(h[25:]))
	if _, err := io.ReadFull(r, preamble); err != nil {
		return nil, noMore(err)
	}
	if crc32.Update(crc32.Checksum(h[:27], castagnoli), castagnoli, preamble) != binary.BigEndian.Uint32(h[27:]) {
		return nil, errNoSegment
	}
	copy(s.epoch[:], h[8:])
	s.first = binary.BigEndian.Uint64(h[16:])
	s.level = h[24]
	return preamble, nil
}

// noMore makes the end of a file within a header a damaged header, and leaves
// errors of the disk what they are.
func noMore(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoSegment
	}
	return err
}

// walker reads the records of a segment one after the other.
type walker struct {
	r    *bufio.Reader
	at   int64 // offset of the next record
	good int64 // offset behind the last sound record
}

// next returns the next sound record; io.EOF at the end, or where nothing
// sensible follows; another error is the disk's. Data is the caller's.
func (w *walker) next() (Record, error) {
	for {
		var h [recordHead]byte
		if _, err := io.ReadFull(w.r, h[:]); err != nil {
			return Record{}, tail(err)
		}
		n := binary.BigEndian.Uint32(h[:])
		if n > maxRecord {
			return Record{}, io.EOF // lengths cannot be trusted from here on
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(w.r, data); err != nil {
			return Record{}, tail(err)
		}
		w.at += recordHead + int64(n)
		if crc32.Update(crc32.Checksum(h[8:], castagnoli), castagnoli, data) != binary.BigEndian.Uint32(h[4:]) {
			continue // this one is damaged; the next may be sound
		}
		w.good = w.at
		return Record{Seq: binary.BigEndian.Uint64(h[8:]), Kind: Kind(h[16]), Data: data}, nil
	}
}

func tail(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// walk opens a segment at an offset, or behind its preamble if that is 0, and
// brings s up to date with its header.
func walk(fs FS, s *segment, offset int64) (w *walker, preamble []byte, done func(), err error) {
	f, err := fs.Open(s.name())
	if err != nil {
		return nil, nil, nil, err
	}
	// One section per part, since the header may be read and the rest skipped.
	head := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 1<<12)
	preamble, err = readHeader(head, s)
	if err != nil {
		f.Close()
		return nil, nil, nil, err
	}
	begin := max(offset, int64(headerSize+len(preamble)))
	r := bufio.NewReaderSize(io.NewSectionReader(f, begin, 1<<62), 1<<16)
	return &walker{r: r, at: begin, good: begin}, preamble, func() { f.Close() }, nil
}
