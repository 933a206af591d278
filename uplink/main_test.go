package uplink

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"quartet/uplink/srt"
)

func TestMain(m *testing.M) {
	srt.Startup()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		srt.Cleanup()
		os.Exit(code)
	}))
}
