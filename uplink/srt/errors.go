package srt

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/haivision/srtgo"
)

var (
	// ErrWouldBlock says that the send buffer is full: try the rest later.
	ErrWouldBlock = errors.New("srt: send buffer full")
	// ErrClosed says that this side closed the connection or listener.
	ErrClosed = errors.New("srt: closed")
	// ErrBroken says that the connection is gone: the far end closed it, or was
	// silent for PeerIdleTimeout. Errors of Send, Recv and Stats match it.
	ErrBroken = errors.New("srt: connection lost: the far end closed it or fell silent")
)

// SizeError refuses a message that no single packet can carry.
type SizeError struct {
	Index int // which message of the call
	Size  int // its bytes
	Max   int // what fits
}

func (e *SizeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("srt: message %d is empty", e.Index)
	}
	return fmt.Sprintf("srt: message %d has %d bytes, but this connection carries at most %d (PayloadSize, MSS − 44)", e.Index, e.Size, e.Max)
}

// OptionError says which setting is wrong and what would be right.
type OptionError struct {
	Option string // name as in a URL, such as "latency"
	Value  string
	Remedy string // what would fit
	Err    error  // what libsrt said, if it was asked
}

func (e *OptionError) Error() string {
	s := fmt.Sprintf("srt: %s=%s: %s", e.Option, e.Value, e.Remedy)
	if e.Err != nil {
		s += " (" + e.Err.Error() + ")"
	}
	return s
}

func (e *OptionError) Unwrap() error { return e.Err }

// Reject codes. 0 to 999 are libsrt's own (SRT_REJECT_REASON); 1000 to 1999 are
// those of SRT's access control guideline; 2000 to 2999 belong to applications;
// negative ones are found out on this side without an answer.
const (
	RejectPeer       = int(C.SRT_REJ_PEER)
	RejectResource   = int(C.SRT_REJ_RESOURCE)
	RejectRogue      = int(C.SRT_REJ_ROGUE)
	RejectBacklog    = int(C.SRT_REJ_BACKLOG)
	RejectClosing    = int(C.SRT_REJ_CLOSE)
	RejectVersion    = int(C.SRT_REJ_VERSION)
	RejectBadSecret  = int(C.SRT_REJ_BADSECRET)
	RejectUnsecure   = int(C.SRT_REJ_UNSECURE)
	RejectMessageAPI = int(C.SRT_REJ_MESSAGEAPI)
	RejectCongestion = int(C.SRT_REJ_CONGESTION)
	RejectFilter     = int(C.SRT_REJ_FILTER)
	RejectGroup      = int(C.SRT_REJ_GROUP)
	RejectTimeout    = int(C.SRT_REJ_TIMEOUT)

	RejectBadRequest   = 1400
	RejectUnauthorized = 1401
	RejectOverload     = 1402
	RejectForbidden    = 1403
	RejectNotFound     = 1404
	RejectBadMode      = 1405
	RejectUnacceptable = 1406
	RejectConflict     = 1409
	RejectLocked       = 1423
	RejectInternal     = 1500
	RejectDown         = 1503

	RejectNameNotFound = -1 // the name does not exist
	RejectNameServer   = -2 // no name server answered
	RejectRefused      = -3 // the host answered that nothing listens on the port
	RejectLocal        = -4 // this machine could not even ask: no route, no such address or interface
	RejectUnreachable  = -5 // a router answered that the host cannot be reached
)

// RejectError says why a call did not become a connection.
type RejectError struct {
	Addr  string // whom we called, as it was given
	Code  int    // one of the Reject codes
	Words string // for the operator
	Err   error  // cause on this side, if any
}

func (e *RejectError) Error() string {
	s := "srt: " + e.Addr + ": " + e.Words
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *RejectError) Unwrap() error { return e.Err }

// FarEnd tells whether the far end itself answered, and refused: then there is a
// way to it, and what is wrong lies between the two ends. A host on which nothing
// listens is no far end.
func (e *RejectError) FarEnd() bool {
	switch e.Code {
	case int(C.SRT_REJ_UNKNOWN), int(C.SRT_REJ_SYSTEM), RejectResource, int(C.SRT_REJ_IPE), RejectTimeout:
		return false
	}
	return e.Code > 0
}

// RejectWords tells a reject code in plain words.
func RejectWords(code int) string {
	if w, ok := rejectWords[code]; ok {
		return w
	}
	switch {
	case code >= 2000 && code < 3000:
		return fmt.Sprintf("the far end refused with its own code %d", code)
	case code >= 1000 && code < 2000:
		return fmt.Sprintf("the far end refused with code %d", code)
	}
	return fmt.Sprintf("connection failed (libsrt reason %d)", code)
}

var rejectWords = map[int]string{
	int(C.SRT_REJ_UNKNOWN):   "the far end took the call and hung up at once, or failed without a reason",
	int(C.SRT_REJ_SYSTEM):    "a system call failed",
	RejectPeer:               "the far end refused without saying why",
	RejectResource:           "out of memory or threads",
	RejectRogue:              "the far end's handshake is not valid SRT",
	RejectBacklog:            "the far end has too many callers waiting",
	int(C.SRT_REJ_IPE):       "internal error of libsrt",
	RejectClosing:            "the far end is closing",
	RejectVersion:            "the far end's SRT version is not supported: 1.3 or newer is needed",
	int(C.SRT_REJ_RDVCOOKIE): "rendezvous collision",
	RejectBadSecret:          "wrong passphrase",
	RejectUnsecure:           "only one side uses encryption: set the same passphrase on both, or on neither",
	RejectMessageAPI:         "the far end is in file or stream mode, not live mode",
	RejectCongestion:         "the far end uses another congestion control: it must be in live mode",
	RejectFilter:             "the packet filters of the two sides do not match",
	RejectGroup:              "the far end wants a bonding group, which is not supported",
	RejectTimeout:            "timed out: no answer; the host is down, the port is filtered, or nothing listens",

	1000:               "the far end refused for a reason it cannot name",
	1001:               "the far end does not know a key in the stream id",
	1002:               "the stream id names no such file",
	1003:               "the stream id names a host that the far end does not know",
	RejectBadRequest:   "the far end does not understand the stream id",
	RejectUnauthorized: "the far end wants other credentials",
	RejectOverload:     "the far end is overloaded",
	RejectForbidden:    "the far end forbids this",
	RejectNotFound:     "the far end does not know this stream id",
	RejectBadMode:      "the far end does not support this direction (publish or request)",
	RejectUnacceptable: "the far end cannot serve what was asked",
	RejectConflict:     "the stream id is already in use at the far end",
	1415:               "the far end does not support this kind of media",
	RejectLocked:       "the stream id is locked at the far end",
	1424:               "the session this one depends on is gone",
	RejectInternal:     "internal error at the far end",
	1501:               "not implemented at the far end",
	1502:               "the far end's own destination refused",
	RejectDown:         "the far end's service is down",
	1505:               "the far end does not support this SRT version",
	1507:               "the far end has no room to store the stream",

	RejectNameNotFound: "name not found",
	RejectNameServer:   "no name server answered",
	RejectRefused:      "refused: the host is up, but nothing listens on that port",
	RejectLocal:        "cannot send from here",
	RejectUnreachable:  "the host cannot be reached",
}

// libError turns a failed call's codes into an error.
func libError(what string, r C.q_ret) error {
	e := fmt.Errorf("srt: %s: %w", what, srtgo.SRTErrno(r.err))
	if r.sys > 0 {
		e = fmt.Errorf("%w: %w", e, syscall.Errno(r.sys))
	}
	return e
}

// brokenError says that a connection is gone, and with what of libsrt's codes.
// Made once per connection, not per call.
func brokenError(code C.int32_t) error {
	switch code {
	case C.SRT_ECONNLOST, C.SRT_ENOCONN, C.SRT_EINVSOCK, C.SRT_ESCLOSED:
		return ErrBroken
	}
	return fmt.Errorf("%w: %w", ErrBroken, srtgo.SRTErrno(code))
}
