package srt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// lifecycle is run in a process of its own, where nothing else uses libsrt.
func lifecycle() error {
	loopback := func() (l *Listener, out, in *Conn, err error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if l, err = Listen("127.0.0.1:0", Options{}, nil); err != nil {
			return
		}
		if out, err = Dial(ctx, l.Addr().String(), Options{}); err != nil {
			return
		}
		in, err = l.Accept(ctx)
		return
	}
	for range 2 { // the library can be started again
		Startup()
		Startup()
		l, out, in, err := loopback()
		if err != nil {
			return err
		}
		Cleanup()
		if _, err := out.Send([][]byte{{1}}); err != nil {
			return fmt.Errorf("after the first of two Cleanups: %w", err)
		}
		busy := make(chan error, 1)
		go func() {
			b := NewBatch(4)
			for {
				if _, err := in.Recv(b); err != nil {
					busy <- err
					return
				}
			}
		}()
		start := time.Now()
		Cleanup() // with everything open and one connection in use
		if took := time.Since(start); took > 5*time.Second {
			return fmt.Errorf("Cleanup took %v", took)
		}
		if err := <-busy; !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBroken) {
			return fmt.Errorf("Recv during Cleanup: %w", err)
		}
		if _, err := out.Send([][]byte{{1}}); !errors.Is(err, ErrClosed) {
			return fmt.Errorf("Send after Cleanup: %w", err)
		}
		if _, err := l.Accept(context.Background()); !errors.Is(err, ErrClosed) {
			return fmt.Errorf("Accept after Cleanup: %w", err)
		}
		Cleanup() // one too many does nothing
	}
	if _, _, _, err := loopback(); err != nil { // without Startup
		return err
	}
	Cleanup()
	return nil
}

func TestStartupAndCleanup(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUARTET_SRT_TEST_PEER=-", "QUARTET_SRT_TEST_ROLE=lifecycle")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// heard is a slog handler that keeps what it gets.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *heard) WithGroup(string) slog.Handler            { return h }
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, r.Level.String()+" "+r.Message)
	return nil
}

func TestMessagesOfLibsrtAreBounded(t *testing.T) {
	var h heard
	SetLogger(slog.New(&h))
	defer SetLogger(nil)
	l := listen(t, Options{}, nil)
	start := time.Now()
	r := rawCall(t, l.Addr().String())
	rogue := r.conclude("")
	rogue[24] = 0xff // no sequence number is that large
	for range 3000 {
		r.conn.Write(rogue)
	}
	connect(t, l, Options{}) // those before it are dealt with
	took := int(time.Since(start).Seconds()) + 2
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.lines); n == 0 || n > (logsPerSecond+2)*took {
		t.Errorf("%d lines in %d s", n, took)
	}
	for _, line := range h.lines {
		if !strings.HasPrefix(line, "WARN libsrt: ") && !strings.HasPrefix(line, "WARN srt: more messages") {
			t.Error(line)
		}
	}
}
