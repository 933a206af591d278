package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"quartet/capture/udp"
	"quartet/tests/ledger"
)

// feed sends a transport stream to the box and enters it in the ledger.
type feed struct {
	cancel  context.CancelFunc
	flowing chan struct{} // closed at the first packet
	done    chan struct{}
	err     error // valid after done
	log     string
}

// pictureRate is the constant rate of the test picture's transport stream.
const pictureRate = 6_000_000

// pictureArgs make a 720p25 picture with a burnt-in clock and frame counter, a
// tone, and a constant rate. Low delay: no B frames, a VBV of 100 ms.
func pictureArgs() []string {
	text := "drawtext=fontfile=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf:fontsize=64:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=16"
	return []string{
		"-hide_banner", "-loglevel", "warning", "-nostdin",
		"-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25",
		"-f", "lavfi", "-i", "sine=frequency=997:sample_rate=48000",
		"-vf", text + ":x=(w-tw)/2:y=h*0.40:text='%{localtime\\:%H\\\\\\:%M\\\\\\:%S} UTC'," + text + ":x=(w-tw)/2:y=h*0.56:text='frame %{n}'",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-g", "25", "-b:v", "4500k", "-maxrate", "4500k", "-bufsize", "450k",
		"-c:a", "mp2", "-b:a", "192k",
		"-f", "mpegts", "-muxrate", fmt.Sprint(pictureRate), "-pcr_period", "20",
		"-metadata", "service_name=Quartet demo", "-flush_packets", "1", "pipe:1",
	}
}

// startFeed starts the test picture, or listens to the user's own feed.
func startFeed(ctx context.Context, input string, to netip.AddrPort, l *ledger.Ledger, now func() time.Duration, log string) (*feed, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{cancel: cancel, flowing: make(chan struct{}), done: make(chan struct{}), log: log}
	send := &sender{conn: conn, ledger: l, now: now, first: func() { close(f.flowing) }}
	var run func(context.Context, *sender) error
	if input == "" {
		run = f.picture
	} else {
		src, err := openInput(input, now)
		if err != nil {
			cancel()
			conn.Close()
			return nil, fmt.Errorf("INPUT %q: %w", input, err)
		}
		run = func(ctx context.Context, w *sender) error { return src.Run(ctx, w) }
	}
	go func() {
		defer close(f.done)
		defer conn.Close()
		f.err = run(ctx, send)
		if f.err == nil {
			f.err = errors.New("no more packets")
		}
	}()
	return f, nil
}

func openInput(url string, now func() time.Duration) (*udp.Source, error) {
	a, err := udp.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return udp.New(udp.Config{Legs: []udp.Address{a}, Now: now})
}

func (f *feed) stop() {
	f.cancel()
	<-f.done
}

// picture runs ffmpeg and forwards what it makes.
func (f *feed) picture(ctx context.Context, w *sender) error {
	log, err := os.Create(f.log)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "ffmpeg", pictureArgs()...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	r := bufio.NewReaderSize(out, 1<<16)
	err = discard(r, settle, w.now)
	if err == nil {
		err = forward(r, w)
	}
	cmd.Process.Kill()
	cmd.Wait()
	return err
}

// settle is the time in which an encoder finds its pace; what it makes until
// then is not sent.
const settle = 1500 * time.Millisecond

func discard(r io.Reader, d time.Duration, now func() time.Duration) error {
	buf := make([]byte, datagram)
	for begun := now(); now()-begun < d; {
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
	}
	return nil
}

func forward(r io.Reader, w *sender) error {
	buf := make([]byte, datagram)
	for {
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		if err := w.WriteTS(w.now(), buf); err != nil {
			return err
		}
	}
}

// datagram is seven TS packets.
const datagram = 7 * ledger.PacketSize

// sender is the mpegts.Writer that sends to the box.
type sender struct {
	conn   *net.UDPConn
	ledger *ledger.Ledger
	now    func() time.Duration
	first  func() // called once
}

func (s *sender) WriteTS(_ time.Duration, ts []byte) error {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	for len(ts) > 0 {
		n := min(len(ts), datagram)
		// Entered before it is sent, so that it cannot come out sooner.
		s.ledger.WriteTS(s.now(), ts[:n])
		if _, err := s.conn.Write(ts[:n]); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		ts = ts[n:]
	}
	return nil
}
