package engine

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the fake engine: see fake_test.go.
func TestMain(m *testing.M) {
	if how := os.Getenv("QUARTET_FAKE_ENGINE"); how != "" {
		fakeEngine(how)
		return
	}
	goleak.VerifyTestMain(m)
}

// testConfig is a small picture with one pair of sound.
func testConfig() Config {
	c := Config{
		Input: Input{Kind: InputTest},
		Video: Video{Codec: CodecH264, Profile: ProfileLowLatency, Width: 320, Height: 180, RateNum: 25, RateDen: 1, Chroma: "4:2:0", BitDepth: 8, Threads: 1},
		Audio: []Audio{{Codec: CodecAAC, BitrateKbps: 96, Pair: 1, PID: 258}},
		Mux:   Mux{RateBPS: 1_200_000, PMTPID: 256, VideoPID: 257, ServiceID: 1, ServiceName: "Quartet", Provider: "test"},
		Slate: Picture{Kind: SlateBars},
	}
	c.Fill()
	return c
}
