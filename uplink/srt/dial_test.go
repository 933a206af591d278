package srt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/tests/freeport"
)

func TestRefusalsInWords(t *testing.T) {
	l := listen(t, Options{Passphrase: secret}, nil)
	addr := l.Addr().String()
	for _, c := range []struct {
		name  string
		o     Options
		code  int
		words string
	}{
		{"wrong passphrase", Options{Passphrase: "wrong horse battery"}, RejectBadSecret, "wrong passphrase"},
		{"no passphrase", Options{}, RejectUnsecure, "only one side uses encryption"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := refusal(t, addr, c.o)
			if r.Code != c.code || !strings.Contains(r.Error(), c.words) || !strings.Contains(r.Error(), addr) {
				t.Errorf("%d: %v", r.Code, r)
			}
			if !r.FarEnd() {
				t.Errorf("the far end has answered: %v", r)
			}
			if strings.Contains(r.Error(), "horse battery") {
				t.Errorf("the error tells the secret: %v", r)
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.UDP(t))
}

func TestNoListener(t *testing.T) {
	start := time.Now()
	r := refusal(t, closedPort(t), Options{ConnectTimeout: 2 * time.Second})
	if took := time.Since(start); r.Code != RejectRefused || r.FarEnd() || took > 2*time.Second {
		t.Errorf("%v after %v", r, took)
	}
}

func TestSilentHost(t *testing.T) {
	u, err := net.ListenPacket("udp", "127.0.0.1:0") // takes packets, answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	start := time.Now()
	r := refusal(t, u.LocalAddr().String(), Options{ConnectTimeout: 600 * time.Millisecond})
	if took := time.Since(start); r.Code != RejectTimeout || r.FarEnd() || took > 1200*time.Millisecond || !strings.Contains(r.Error(), "timed out") {
		t.Errorf("%v after %v", r, took)
	}
}

func TestCancelledDialReturnsAtOnce(t *testing.T) {
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	_, err = Dial(ctx, u.LocalAddr().String(), Options{ConnectTimeout: 20 * time.Second})
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > 600*time.Millisecond {
		t.Errorf("%v after %v", err, took)
	}
}

func TestUnknownName(t *testing.T) {
	r := refusal(t, "no-such-host.invalid:9000", Options{})
	if r.Code != RejectNameNotFound && r.Code != RejectNameServer {
		t.Errorf("%d: %v", r.Code, r)
	}
	if !strings.Contains(r.Error(), "name") {
		t.Error(r)
	}
}

func TestCodesOfTheFarEnd(t *testing.T) {
	l := listen(t, Options{}, func(r Request) Answer {
		switch r.StreamID {
		case "own":
			return Answer{Reject: 2042}
		case "known":
			return Answer{Reject: RejectConflict}
		case "nonsense":
			return Answer{Reject: 7}
		case "panic":
			panic("a mistake in the callback")
		case "unfit":
			return Answer{OK: true, Passphrase: "short"}
		}
		return Answer{OK: true}
	})
	for id, want := range map[string]int{"own": 2042, "known": RejectConflict, "nonsense": RejectForbidden, "panic": RejectInternal, "unfit": RejectInternal} {
		r := refusal(t, l.Addr().String(), Options{StreamID: id})
		if r.Code != want || r.Words == "" {
			t.Errorf("%s: %d, want %d: %v", id, r.Code, want, r)
		}
	}
	connect(t, l, Options{StreamID: "fine"})
}

func TestSourceAddressAndInterface(t *testing.T) {
	l := listen(t, Options{}, nil)
	out, in := connect(t, l, Options{LocalAddr: "127.0.0.5"})
	if got := in.RemoteAddr().Addr().String(); got != "127.0.0.5" || out.LocalAddr().Addr().String() != got {
		t.Errorf("called from %s, local %s", got, out.LocalAddr())
	}
	r := refusal(t, l.Addr().String(), Options{LocalAddr: "192.0.2.99"})
	if r.Code != RejectLocal || !strings.Contains(r.Error(), "192.0.2.99") {
		t.Error(r)
	}
	r = refusal(t, l.Addr().String(), Options{LocalAddr: "::1"})
	if r.Code != RejectLocal || !strings.Contains(r.Error(), "different IP versions") {
		t.Error(r)
	}
	_, err := Dial(within(t, time.Second), l.Addr().String(), Options{Interface: "nosuch0"})
	if err == nil || !strings.Contains(err.Error(), "nosuch0") {
		t.Error(err)
	}
	c, err := Dial(within(t, 5*time.Second), l.Addr().String(), Options{Interface: "lo"})
	if err != nil {
		if !strings.Contains(err.Error(), "not permitted") {
			t.Error(err) // without CAP_NET_RAW it is the system that refuses
		}
		return
	}
	c.Close()
}

func TestIPv6(t *testing.T) {
	probe, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 loopback here (%v): only the errors are looked at", err)
		if _, err := Listen("[::1]:0", Options{}, nil); err == nil {
			t.Error("listens on an address that does not exist")
		}
		return
	}
	probe.Close()
	l, err := Listen("[::]:0", Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"[::1]:", "127.0.0.1:"} {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		c, err := Dial(within(t, 5*time.Second), host+port, Options{})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		in, err := l.Accept(within(t, 5*time.Second))
		if err != nil {
			t.Error(err)
		} else {
			if in.RemoteAddr() != c.LocalAddr() {
				t.Errorf("remote %v, local %v", in.RemoteAddr(), c.LocalAddr())
			}
			in.Close()
		}
		c.Close()
	}
}

func TestBadAddresses(t *testing.T) {
	for _, addr := range []string{"", "host", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", ":9000", "127.0.0.1:http"} {
		c, err := Dial(within(t, time.Second), addr, Options{})
		var o *OptionError
		if err == nil || !errors.As(err, &o) {
			t.Errorf("%q: %v", addr, err)
		}
		if c != nil {
			c.Close()
		}
	}
	for _, addr := range []string{"", "host:9000", "127.0.0.1", "1.2.3.4:99999"} {
		l, err := Listen(addr, Options{}, nil)
		if err == nil {
			l.Close()
			t.Errorf("listens on %q", addr)
		}
	}
}

func TestDiagnosis(t *testing.T) {
	for err, want := range map[error]int{
		syscall.ECONNREFUSED: RejectRefused,
		syscall.EHOSTUNREACH: RejectUnreachable,
		syscall.ENETUNREACH:  RejectLocal,
		syscall.EPERM:        RejectLocal,
		io.EOF:               0,
		nil:                  0,
	} {
		if err != nil {
			err = &net.OpError{Op: "read", Err: err}
		}
		r := diagnosis(err)
		if (r == nil) != (want == 0) || r != nil && (r.Code != want || r.Words == "") {
			t.Errorf("%v: %v", err, r)
		}
	}
}
