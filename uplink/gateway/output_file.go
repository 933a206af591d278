package gateway

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// FileOutput appends the transport stream to a file. An existing file is
// continued, never cut: a gateway that restarts must not erase a recording. A
// named pipe works too.
type FileOutput struct {
	Name   string
	Path   string
	OnLoss OnLoss
}

// Title implements OutputConfig.
func (o *FileOutput) Title() string { return o.Name }

// Check implements OutputConfig.
func (o *FileOutput) Check() error {
	if o.Path == "" {
		return errors.New("no path; name the file to write")
	}
	return nil
}

func (o *FileOutput) open(e *outputEnv) output {
	return &fileOut{cfg: *o, log: e.log, queue: newRing(queueSize(e.maxBitrate))}
}

// queueTime is how much of the feed waits for an output that may block before
// packets are dropped: a disk's or a scheduler's hiccup, not an outage.
const queueTime = 2 * time.Second

// queueSize is the ring's size in bytes for a feed of at most bps.
func queueSize(bps int64) int {
	return int(max(256<<10, bps/8*int64(queueTime/time.Second)*9/8))
}

// fileOut is an open file output: a ring, and a goroutine that writes it out.
type fileOut struct {
	// set at start, never changed
	cfg   FileOutput
	log   *slog.Logger
	queue *ring

	// owned by the contribution's goroutine
	st OutputStats

	// written by run
	sentPackets, sentBytes, dropped atomic.Uint64
	// What is wrong: nil before the first attempt, empty while the file is
	// open. One word for both, so that nobody sees an open file that fails.
	trouble atomic.Pointer[string]
}

// fileChunk is written at once; less only when fileFlush has passed.
const (
	fileChunk = 128 << 10
	fileFlush = 200 * time.Millisecond
)

// A file that fails is opened again after fileRetry, then twice as long, up to
// fileRetryMost. It counts as open again when it has taken what came for
// fileProven: a full disk lets a file be opened, and then nothing be written.
const (
	fileRetry     = time.Second
	fileRetryMost = 5 * time.Second
	fileProven    = time.Second
)

func (o *fileOut) onLoss() OnLoss { return o.cfg.OnLoss }

func (o *fileOut) write(b *batch) { o.put(b.ts) }

func (o *fileOut) fill(nulls [][]byte) {
	for _, m := range nulls {
		o.st.NullPackets += uint64(len(m) / tsPacket)
	}
	o.put(nulls)
}

func (o *fileOut) put(msgs [][]byte) {
	for _, m := range msgs {
		if !o.queue.put(m) {
			o.st.DroppedPackets++
		}
	}
	o.queue.signal()
}

func (o *fileOut) stats() OutputStats {
	st := o.st
	st.Name, st.Type, st.Destination, st.OnInputLoss = o.cfg.Name, "file", o.cfg.Path, o.cfg.OnLoss.String()
	st.SentPackets, st.SentBytes = o.sentPackets.Load(), o.sentBytes.Load()
	st.DroppedPackets += o.dropped.Load()
	st.QueueBytes = o.queue.used()
	st.State = "opening"
	if e := o.trouble.Load(); e != nil {
		st.Error = *e
		if *e == "" {
			st.State = "open"
		}
	}
	return st
}

func (o *fileOut) run(ctx context.Context) {
	var f *os.File
	defer func() {
		if o.working() {
			o.trouble.Store(nil)
		}
		if f != nil {
			_ = f.Close()
		}
	}()
	flush := time.NewTicker(fileFlush)
	defer flush.Stop()
	w := fileWriter{out: o, msgs: make([][]byte, 0, 128), buf: make([]byte, 0, fileChunk+maxPacket)}
	var retry, opened time.Time // no attempt before; since when the file is open
	wait := fileRetry
	for {
		last, onTime := false, false
		if f == nil && time.Now().After(retry) {
			var err error
			if f, err = openFile(o.cfg.Path); err != nil {
				o.failed(err)
				f, retry = nil, time.Now().Add(wait)
				wait = min(2*wait, fileRetryMost)
			} else if opened = time.Now(); o.trouble.Load() == nil {
				o.works()
			}
		}
		select {
		case <-ctx.Done():
			last = true
		case <-o.queue.wake:
		case <-flush.C:
			onTime = true
		}
		if f == nil {
			w.discard()
		} else if err := w.drain(f, onTime || last); err != nil {
			o.failed(err)
			_ = f.Close()
			f, retry = nil, time.Now().Add(wait)
			wait = min(2*wait, fileRetryMost)
		} else if wait > fileRetry && time.Since(opened) > fileProven {
			wait = fileRetry
			if !o.working() {
				o.works()
			}
		}
		if last {
			return
		}
	}
}

func (o *fileOut) working() bool {
	e := o.trouble.Load()
	return e != nil && *e == ""
}

func (o *fileOut) works() {
	o.trouble.Store(new(string))
	o.log.Info("output open", "output", o.cfg.Name, "type", "file", "to", o.cfg.Path)
}

func (o *fileOut) failed(err error) {
	text := err.Error()
	if old := o.trouble.Swap(&text); old == nil || *old != text {
		o.log.Warn("file output fails; it is tried again", "output", o.cfg.Name, "err", err)
	}
}

// openFile opens path for appending. O_NONBLOCK lets a named pipe without a
// reader fail instead of blocking; it does nothing to a regular file.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o640)
}

// fileWriter gathers messages into chunks. It is owned by run.
type fileWriter struct {
	out  *fileOut
	msgs [][]byte
	buf  []byte
	n    uint64 // messages in buf
}

// drain moves all that waits to the file; with all set, also the last partial
// chunk.
func (w *fileWriter) drain(f *os.File, all bool) error {
	for {
		w.msgs = w.out.queue.peek(w.msgs[:0], cap(w.msgs))
		for _, m := range w.msgs {
			w.buf = append(w.buf, m...)
			w.n++
			if len(w.buf) >= fileChunk {
				if err := w.flush(f); err != nil {
					w.out.queue.release()
					return err
				}
			}
		}
		w.out.queue.release()
		if len(w.msgs) < cap(w.msgs) {
			break
		}
	}
	if all {
		return w.flush(f)
	}
	return nil
}

func (w *fileWriter) flush(f *os.File) error {
	if len(w.buf) == 0 {
		return nil
	}
	_ = f.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)) // pipes only
	n, err := f.Write(w.buf)
	if err != nil {
		// Keep the file a whole number of TS packets: take back what was
		// written of this chunk. (Not possible for a pipe, and harmless.)
		if at, e := f.Seek(0, 1); e == nil && n > 0 {
			_ = f.Truncate(at - int64(n))
		}
		w.out.dropped.Add(w.n)
	} else {
		w.out.sentPackets.Add(w.n)
		w.out.sentBytes.Add(uint64(len(w.buf)))
	}
	w.buf, w.n = w.buf[:0], 0
	return err
}

// discard drops what waits while there is no file.
func (w *fileWriter) discard() {
	for {
		w.msgs = w.out.queue.peek(w.msgs[:0], cap(w.msgs))
		w.out.dropped.Add(uint64(len(w.msgs)))
		w.out.queue.release()
		if len(w.msgs) < cap(w.msgs) {
			return
		}
	}
}
