package confidence

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// programme is stereo that is never the same twice.
func programme(seconds int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]float32, 2*rate*seconds)
	swell := 0.0
	for i := range list {
		if i%rate == 0 {
			swell = 0.02 + 0.3*r.Float64()
		}
		list[i] = float32(swell * (r.Float64()*2 - 1))
	}
	return list
}

// One second of a stereo pair: loudness, range, true peak, silence, clipping.
func BenchmarkSound(b *testing.B) {
	s := newSound(b, soundConfig(2))
	second := programme(1)
	now := time.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		for i := 0; i < len(second); i += 2 * blockSamples {
			s.Write(now, second[i:i+2*blockSamples])
			now += 10 * time.Millisecond
		}
		if now%(200*time.Millisecond) == 0 {
			s.Report()
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*100, "%core")
}

// One picture of 160×90: black, still, bars. There are five a second.
func BenchmarkPicture(b *testing.B) {
	p := newPicture(b)
	frames := []Frame{noisy(0), noisy(5), drawn(0.75, 0, 0, 0)}
	now := time.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if p.Write(now, frames[i%len(frames)]) != nil {
			b.Fatal()
		}
		now += 200 * time.Millisecond
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*5*100, "%core")
}

// ebur128 runs ffmpeg's filter over samples, peaks included, and returns what it
// found and the processor time that it took.
func ebur128(t testing.TB, samples []float32) (integrated, lra, peak float64, took time.Duration) {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not there to compare with: .ci/deps test installs it")
	}
	var in bytes.Buffer
	if err := binary.Write(&in, binary.LittleEndian, samples); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-v", "info", "-nostats", "-threads", "1", "-f", "f32le", "-ar", "48000", "-ac", "2", "-i", "-",
		"-af", "ebur128=peak=true+sample:framelog=verbose", "-f", "null", "-")
	cmd.Stdin = &in
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	summary := out[max(bytes.LastIndex(out, []byte("Summary")), 0):]
	find := func(pattern string, which int) float64 {
		m := regexp.MustCompile(pattern).FindAllSubmatch(summary, -1)
		if len(m) <= which {
			t.Fatalf("no %s in\n%s", pattern, summary)
		}
		v, err := strconv.ParseFloat(string(m[which][1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// The summary: I, threshold, LRA, …, sample peak, true peak.
	return find(`I: +(-?[0-9.]+) LUFS`, 0), find(`LRA: +(-?[0-9.]+) LU`, 0), find(`Peak: +(-?[0-9.]+) dBFS`, 1),
		cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// ffmpeg's filter says the same of a programme, to the tenth that it prints.
func TestAgreesWithFFmpeg(t *testing.T) {
	samples := programme(20)
	integrated, lra, peak, _ := ebur128(t, samples)
	s := newSound(t, soundConfig(2))
	feed(s, 2, 0, samples)
	r := s.Report().Pairs[0]
	within(t, "integrated", r.Integrated, integrated, 0.1, 0.1)
	within(t, "range", r.Range, lra, 0.15, 0.15)
	// Noise to half the sampling rate is where interpolators differ most.
	within(t, "true peak", max(r.Channels[0].Highest, r.Channels[1].Highest), peak, 0.8, 0.8)
}

// The same minutes by both, one after the other: processor time, ffmpeg's
// reading of the samples included.
func BenchmarkAgainstFFmpeg(b *testing.B) {
	samples := programme(120)
	for b.Loop() {
		_, _, _, theirs := ebur128(b, samples)
		_, _, _, start := ebur128(b, samples[:2*rate]) // the program's own start
		began := time.Now()
		s := newSound(b, soundConfig(2))
		feed(s, 2, 0, samples)
		s.Report()
		ours := time.Since(began)
		b.ReportMetric(math.Max(0, (theirs-start).Seconds())/ours.Seconds(), "times-faster")
		b.ReportMetric(ours.Seconds()/120*100, "%core-ours")
		b.ReportMetric((theirs-start).Seconds()/119*100, "%core-ffmpeg")
	}
}
