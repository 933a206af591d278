package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcDigits = 8

// appendLine appends the line of a record, with its end.
func appendLine(b []byte, r Record) ([]byte, error) {
	doc, err := json.Marshal(r)
	if err != nil {
		return b, err
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(doc, castagnoli))
	b = append(b, doc...)
	return append(b, '\n'), nil
}

var errLine = errors.New("the record is damaged")

// parseLine reads a line without its end.
func parseLine(s string) (r Record, err error) {
	if len(s) < crcDigits+2 || s[crcDigits] != ' ' {
		return r, errLine
	}
	sum, err := strconv.ParseUint(s[:crcDigits], 16, 32)
	doc := []byte(s[crcDigits+1:])
	if err != nil || uint32(sum) != crc32.Checksum(doc, castagnoli) {
		return r, errLine
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	if err := d.Decode(&r); err != nil || r.Seq == 0 {
		return Record{}, errLine
	}
	return r, nil
}
