package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"quartet/uplink/srt"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(senderEnv); spec != "" {
		benchSender(spec)
	}
	srt.Startup()
	code := m.Run()
	srt.Cleanup()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

func testEnv() *outputEnv {
	return &outputEnv{log: slog.New(slog.DiscardHandler), maxBitrate: 20_000_000}
}

// runOutput runs an output until stop is called, or the test ends.
func runOutput(t testing.TB, o output) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); o.run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

// testLog shows a gateway's log when its test fails.
func testLog(t testing.TB, name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("gateway", name)
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(clock(), string(b))
	return len(b), nil
}

// loopbackInterface is the name of this machine's loopback interface.
func loopbackInterface(t testing.TB) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	t.Fatal("no loopback interface")
	return ""
}
