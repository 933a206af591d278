package measure

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
)

// maxSeries bounds what a damaged or foreign schema makes a reader hold.
const maxSeries = 20_000

// AppendSchema appends what is needed to understand values: the series in
// their order, compressed.
func AppendSchema(b []byte, series []Series) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	w, err := flate.NewWriter(buf, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(series); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// ParseSchema reads what AppendSchema wrote.
func ParseSchema(b []byte) (list []Series, err error) {
	r := flate.NewReader(bytes.NewReader(b))
	if err := json.NewDecoder(io.LimitReader(r, 8<<20)).Decode(&list); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if len(list) > maxSeries {
		return nil, fmt.Errorf("schema: %d series, more than %d", len(list), maxSeries)
	}
	for i := range list {
		if list[i].Key < 0 || list[i].Key > len(list[i].Labels) {
			return nil, fmt.Errorf("schema: series %d has %d labels and a key of %d", i, len(list[i].Labels), list[i].Key)
		}
	}
	return list, nil
}

// AppendValues appends the values of series so that most take one to four
// bytes. Whole numbers are a varint whose lowest bit is 0. Of other gauges seven
// digits are kept, which is more than any of them is good for: the bits of a
// float32, turned round so that the zeros of short fractions are in front, as a
// varint that ends in 01. What is absent, NaN, is 7. The rest is 3 and eight
// bytes.
func AppendValues(b []byte, series []Series, values []float64) []byte {
	for i, v := range values {
		if math.IsNaN(v) {
			b = append(b, 7)
			continue
		}
		if n := int64(v); float64(n) == v && n < 1<<61 && n > -1<<61 {
			zigzag := uint64(n<<1) ^ uint64(n>>63)
			b = binary.AppendUvarint(b, zigzag<<1)
			continue
		}
		f := float32(v)
		if series[i].Kind == Gauge && math.Abs(v) < math.MaxFloat32 {
			b = binary.AppendUvarint(b, 1|uint64(bits.Reverse32(math.Float32bits(f)))<<2)
			continue
		}
		b = append(b, 3)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// widen is the shortest decimal that a float32 stands for: 0.1, not
// 0.10000000149.
func widen(f float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return float64(f)
	}
	return v
}

var errValues = errors.New("values are cut off")

// ParseValues reads n values.
func ParseValues(b []byte, n int) ([]float64, error) {
	if n > len(b) { // each takes a byte
		return nil, errValues
	}
	list := make([]float64, n)
	for i := range list {
		u, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, errValues
		}
		b = b[k:]
		switch {
		case u&1 == 0:
			u >>= 1
			list[i] = float64(int64(u>>1) ^ -int64(u&1))
		case u&2 == 0:
			list[i] = widen(math.Float32frombits(bits.Reverse32(uint32(u >> 2))))
		case u == 7:
			list[i] = math.NaN()
		default:
			if len(b) < 8 {
				return nil, errValues
			}
			list[i] = math.Float64frombits(binary.BigEndian.Uint64(b))
			b = b[8:]
		}
	}
	return list, nil
}
