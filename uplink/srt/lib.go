package srt

// #cgo LDFLAGS: -lsrt
// #include "shim.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haivision/srtgo"
)

// library is the state of libsrt in this process.
var library struct {
	mu   sync.Mutex
	refs int  // explicit Startup calls not yet cleaned up
	up   bool // libsrt runs
	open map[io.Closer]struct{}
}

// Startup starts libsrt. Calls nest: the library stops at the Cleanup that
// answers the first Startup. Dial and Listen start it themselves if nobody did.
func Startup() {
	library.mu.Lock()
	defer library.mu.Unlock()
	library.refs++
	start()
}

// start needs library.mu.
func start() {
	if library.up {
		return
	}
	library.up = true
	library.open = map[io.Closer]struct{}{}
	logs.open()
	C.q_arenas()
	C.q_log_on(C.int(logLevel), logsPerSecond)
	srtgo.InitSRT()
}

// Cleanup ends what one Startup began. The last one closes every connection and
// listener that is still open and stops libsrt, which may take it a second.
func Cleanup() {
	library.mu.Lock()
	if library.refs > 0 {
		library.refs--
	}
	if library.refs > 0 || !library.up {
		library.mu.Unlock()
		return
	}
	left := make([]io.Closer, 0, len(library.open))
	for c := range library.open {
		left = append(left, c)
	}
	library.mu.Unlock()

	for _, c := range left {
		c.Close()
	}

	library.mu.Lock()
	defer library.mu.Unlock()
	if library.refs > 0 || !library.up || len(library.open) > 0 {
		return // somebody began anew meanwhile
	}
	srtgo.CleanupSRT()
	C.q_log_off()
	logs.close()
	library.up = false
}

// newSocket creates a libsrt socket that stays blocking until its owner says
// otherwise; register is called before anyone can clean up.
func newSocket(register func(*srtgo.SrtSocket) io.Closer) error {
	library.mu.Lock()
	defer library.mu.Unlock()
	start()
	s := srtgo.NewSrtSocket("", 0, map[string]string{"blocking": "1"})
	if s == nil {
		return fmt.Errorf("srt: libsrt gave no socket: out of memory or of socket ids")
	}
	library.open[register(s)] = struct{}{}
	return nil
}

// adopt registers an accepted connection; false when the library is going down.
func adopt(c io.Closer) bool {
	library.mu.Lock()
	defer library.mu.Unlock()
	if !library.up {
		return false
	}
	library.open[c] = struct{}{}
	return true
}

func forget(c io.Closer) {
	library.mu.Lock()
	defer library.mu.Unlock()
	delete(library.open, c)
}

// Version returns libsrt's version, such as "1.5.1".
func Version() string {
	v := uint32(C.srt_getversion())
	return fmt.Sprintf("%d.%d.%d", v>>16&0xff, v>>8&0xff, v&0xff)
}

// --- libsrt's messages ---

// LogLevel chooses which of libsrt's messages are heard.
type LogLevel int32

// The values are those of syslog, as libsrt uses them.
const (
	LogFatal   LogLevel = 2
	LogError   LogLevel = 3 // default
	LogWarning LogLevel = 4
	LogNote    LogLevel = 5
	LogDebug   LogLevel = 7
)

// logsPerSecond bounds what hostile handshakes can make us write.
const (
	logsPerSecond = 5
	logQueue      = 64
)

var logLevel = LogError // under library.mu

// SetLogLevel sets which of libsrt's messages are heard, now and later.
func SetLogLevel(l LogLevel) {
	library.mu.Lock()
	defer library.mu.Unlock()
	logLevel = l
	if library.up {
		C.srt_setloglevel(C.int(l))
	}
}

// SetLogger sends libsrt's messages to l; nil means slog.Default().
func SetLogger(l *slog.Logger) { logs.logger.Store(l) }

type logEntry struct {
	level slog.Level
	text  string
}

// logSink takes messages on libsrt's threads, without waiting, and writes them on
// a goroutine that lives as long as there is something to write.
type logSink struct {
	logger atomic.Pointer[slog.Logger]

	mu      sync.Mutex
	queue   []logEntry
	lost    int64
	second  time.Time // of say
	said    int       // in it
	running bool
	stopped bool
	writers sync.WaitGroup
}

var logs logSink

//export quartetSRTLog
func quartetSRTLog(level C.int, area, message *C.char) {
	// libsrt calls a peer's mistake an error; to us it is a peer's mistake.
	at := slog.LevelDebug
	switch l := LogLevel(level); {
	case l <= LogFatal:
		at = slog.LevelError
	case l == LogError:
		at = slog.LevelWarn
	case l == LogWarning:
		at = slog.LevelInfo
	}
	logs.put(logEntry{at, "libsrt: " + C.GoString(area) + ": " + strings.TrimPrefix(C.GoString(message), ": ")})
}

// say writes a message of this package. Peers can provoke them, so they are
// bounded like libsrt's.
func (s *logSink) say(level slog.Level, text string) {
	s.mu.Lock()
	if now := time.Now(); now.Sub(s.second) >= time.Second {
		s.second, s.said = now, 0
	}
	s.said++
	over := s.said > logsPerSecond
	if over {
		s.lost++
	}
	s.mu.Unlock()
	if !over {
		s.put(logEntry{level, text})
	}
}

func (s *logSink) put(e logEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.queue) >= logQueue {
		s.lost++
		return
	}
	s.queue = append(s.queue, e)
	if !s.running {
		s.running = true
		s.writers.Add(1)
		go s.write()
	}
}

func (s *logSink) write() {
	defer s.writers.Done()
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		batch, lost := s.queue, s.lost+int64(C.q_log_dropped())
		s.queue, s.lost = nil, 0
		s.mu.Unlock()
		l := s.logger.Load()
		if l == nil {
			l = slog.Default()
		}
		for _, e := range batch {
			l.Log(context.Background(), e.level, e.text)
		}
		if lost > 0 {
			l.Warn("srt: more messages than are written", "dropped", lost)
		}
	}
}

func (s *logSink) open() {
	s.mu.Lock()
	s.stopped = false
	s.mu.Unlock()
}

func (s *logSink) close() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.writers.Wait()
}
