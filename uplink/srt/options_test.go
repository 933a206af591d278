package srt

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/haivision/srtgo"
)

// Option numbers that srtgo does not name.
const (
	optUDPSndBuf      = 8
	optUDPRcvBuf      = 9
	optDriftTracer    = 37
	optMinInputBW     = 38
	optBindToDevice   = 57
	optRetransmitAlgo = 61
)

// TestEveryOptionReachesTheSocket asks libsrt for each setting after a call.
func TestEveryOptionReachesTheSocket(t *testing.T) {
	l := listen(t, Options{Passphrase: secret}, nil)
	base := Options{Passphrase: secret}
	for _, c := range []struct {
		field string
		set   func(*Options)
		opt   int
		want  string // with the field set
		plain string // without
	}{
		{"Latency", func(o *Options) { o.Latency = 321 * time.Millisecond }, srtgo.SRTO_RCVLATENCY, "321", "120"},
		{"Latency", func(o *Options) { o.Latency = 321 * time.Millisecond }, srtgo.SRTO_PEERLATENCY, "321", "120"},
		{"PayloadSize", func(o *Options) { o.PayloadSize = 1316 }, srtgo.SRTO_PAYLOADSIZE, "1316", "1456"},
		{"KeyLength", func(o *Options) { o.KeyLength = 24 }, srtgo.SRTO_PBKEYLEN, "24", "16"},
		{"StreamID", func(o *Options) { o.StreamID = "#!::r=x,m=publish" }, srtgo.SRTO_STREAMID, "#!::r=x,m=publish", ""},
		{"MaxBW", func(o *Options) { o.MaxBW = 3_000_000 }, srtgo.SRTO_MAXBW, "3000000", fmt.Sprint(int64(unpaced))},
		{"InputBW", func(o *Options) { o.InputBW = 1_000_000 }, srtgo.SRTO_INPUTBW, "1000000", "0"},
		{"InputBW", func(o *Options) { o.InputBW = 1_000_000 }, srtgo.SRTO_MAXBW, "0", fmt.Sprint(int64(unpaced))},
		{"MinInputBW", func(o *Options) { o.MinInputBW = 900_000 }, optMinInputBW, "900000", "0"},
		{"OverheadBW", func(o *Options) { o.OverheadBW = 55 }, srtgo.SRTO_OHEADBW, "55", "25"},
		{"FC", func(o *Options) { o.FC = 40000 }, srtgo.SRTO_FC, "40000", "25600"},
		{"SndBuf", func(o *Options) { o.SndBuf = 9000 * perPacket }, srtgo.SRTO_SNDBUF, fmt.Sprint(9000 * perPacket), fmt.Sprint(8192 * perPacket)},
		{"RcvBuf", func(o *Options) { o.RcvBuf = 9000 * perPacket }, srtgo.SRTO_RCVBUF, fmt.Sprint(9000 * perPacket), fmt.Sprint(8192 * perPacket)},
		{"UDPSndBuf", func(o *Options) { o.UDPSndBuf = 100_000 }, optUDPSndBuf, "100000", "65536"},
		{"UDPRcvBuf", func(o *Options) { o.UDPRcvBuf = 100_000 }, optUDPRcvBuf, "100000", "12288000"},
		{"RetransmitAlgo", func(o *Options) { o.RetransmitAlgo = 1 }, optRetransmitAlgo, "1", "0"},
		{"LossMaxTTL", func(o *Options) { o.LossMaxTTL = 7 }, srtgo.SRTO_LOSSMAXTTL, "7", "40"},
		{"LossMaxTTL", func(o *Options) { o.LossMaxTTL = -1 }, srtgo.SRTO_LOSSMAXTTL, "0", "40"},
		{"SndDropDelay", func(o *Options) { o.SndDropDelay = 50 }, srtgo.SRTO_SNDDROPDELAY, "50", "0"},
		{"ConnectTimeout", func(o *Options) { o.ConnectTimeout = 2 * time.Second }, srtgo.SRTO_CONNTIMEO, "2000", "1500"},
		{"PeerIdleTimeout", func(o *Options) { o.PeerIdleTimeout = 3 * time.Second }, srtgo.SRTO_PEERIDLETIMEO, "3000", "2000"},
		{"IPTOS", func(o *Options) { o.IPTOS = 0x68 }, srtgo.SRTO_IPTOS, fmt.Sprint(0x68), fmt.Sprint(0x88)},
		{"IPTOS", func(o *Options) { o.IPTOS = -1 }, srtgo.SRTO_IPTOS, "0", fmt.Sprint(0x88)},
		{"IPTTL", func(o *Options) { o.IPTTL = 9 }, srtgo.SRTO_IPTTL, "9", "64"},
		{"MSS", func(o *Options) { o.MSS = 1400 }, srtgo.SRTO_MSS, "1400", "1500"},
		{"MSS", func(o *Options) { o.MSS = 1400 }, srtgo.SRTO_PAYLOADSIZE, "1356", "1456"},
		{"MaxBW", func(o *Options) {}, optDriftTracer, "1", "1"},
		{"MaxBW", func(o *Options) {}, srtgo.SRTO_TLPKTDROP, "1", "1"},
		{"MaxBW", func(o *Options) {}, srtgo.SRTO_TSBPDMODE, "1", "1"},
		{"MaxBW", func(o *Options) {}, srtgo.SRTO_NAKREPORT, "1", "1"},
		{"MaxBW", func(o *Options) {}, srtgo.SRTO_ENFORCEDENCRYPTION, "1", "1"},
		{"MaxBW", func(o *Options) {}, srtgo.SRTO_MINVERSION, fmt.Sprint(0x010300), fmt.Sprint(0x010300)},
	} {
		for i, o := range []Options{base, base} {
			want := c.plain
			if i == 1 {
				c.set(&o)
				want = c.want
			}
			out, _ := connect(t, l, o)
			var got string
			switch c.opt {
			case srtgo.SRTO_STREAMID:
				got, _ = out.sock.GetSockOptString(c.opt)
			case srtgo.SRTO_MAXBW, srtgo.SRTO_INPUTBW, optMinInputBW:
				v, err := out.sock.GetSockOptInt64(c.opt)
				got = fmt.Sprint(v)
				if err != nil {
					t.Error(err)
				}
			default:
				v, err := out.sock.GetSockOptInt(c.opt)
				got = fmt.Sprint(v)
				if err != nil {
					t.Error(err)
				}
			}
			if got != want {
				t.Errorf("%s, option %d: %s, want %s", c.field, c.opt, got, want)
			}
			out.Close()
		}
	}
}

// TestEveryFieldHasARange tries each number far outside what can be.
func TestEveryFieldHasARange(t *testing.T) {
	if err := (Options{}).Validate(); err != nil {
		t.Fatal(err)
	}
	typ := reflect.TypeFor[Options]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		var tries []any
		switch f.Type.Kind() {
		case reflect.Int:
			tries = []any{-2, math.MinInt32, math.MaxInt32}
		case reflect.Int64:
			tries = []any{int64(-2), int64(math.MinInt64)}
			if f.Type == reflect.TypeFor[time.Duration]() {
				tries = []any{-time.Second, time.Nanosecond, 100 * time.Hour}
			}
		case reflect.String:
			tries = []any{strings.Repeat("x/", 300)}
		}
		for _, v := range tries {
			var o Options
			reflect.ValueOf(&o).Elem().Field(i).Set(reflect.ValueOf(v).Convert(f.Type))
			err := o.Validate()
			var oe *OptionError
			if !errors.As(err, &oe) || oe.Remedy == "" {
				t.Errorf("%s = %v: %v", f.Name, v, err)
				continue
			}
			if s := fmt.Sprint(v); f.Name == "Passphrase" && strings.Contains(err.Error(), s[:10]) {
				t.Errorf("the error tells the passphrase: %v", err)
			}
			if _, err := Dial(within(t, time.Second), "127.0.0.1:9", o); err == nil {
				t.Errorf("%s = %v: a call goes out", f.Name, v)
			}
		}
	}
}

func TestOptionsThatContradict(t *testing.T) {
	for want, o := range map[string]Options{
		"passphrase":   {Passphrase: "too short"},
		"pbkeylen":     {KeyLength: 20},
		"maxbw":        {MaxBW: 1000, MinInputBW: 1000},
		"fc":           {FC: 1000, RcvBuf: 1001 * perPacket},
		"payloadsize":  {MSS: 1400, PayloadSize: 1456},
		"adapter":      {LocalAddr: "eth0"},
		"bindtodevice": {Interface: "a name with spaces"},
	} {
		var oe *OptionError
		if err := o.Validate(); !errors.As(err, &oe) || oe.Option != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCalculator(t *testing.T) {
	// The case known to stop libsrt: 50 Mbit/s and 2 s on default buffers.
	const rate, rtt = 50_000_000, 60 * time.Millisecond
	o := Options{Latency: 2 * time.Second}
	err := o.Check(rate, rtt)
	var oe *OptionError
	if !errors.As(err, &oe) || oe.Option != "rcvbuf" {
		t.Fatalf("default buffers pass: %v", err)
	}
	need := PacketsNeeded(rate, o.Latency, rtt)
	if want := int(math.Ceil(50e6 * 2.06 / (8 * 1316) * 1.25)); need != want {
		t.Errorf("%d packets, want %d", need, want)
	}
	if !strings.Contains(err.Error(), fmt.Sprint(need*perPacket)) {
		t.Errorf("the error does not say %d: %v", need*perPacket, err)
	}
	sized := o.Sized(rate, rtt)
	if err := sized.Check(rate, rtt); err != nil {
		t.Error(err)
	}
	if sized.RcvBuf != need*perPacket || sized.FC < need {
		t.Errorf("sized: %+v", sized)
	}
	// The value the error names is accepted, one byte less is not.
	for _, set := range []func(*Options, int){
		func(o *Options, n int) { o.RcvBuf = n * perPacket },
		func(o *Options, n int) { o.SndBuf = n * perPacket },
		func(o *Options, n int) { o.FC, o.RcvBuf = n, n*perPacket },
	} {
		o := sized
		set(&o, need)
		if err := o.Check(rate, rtt); err != nil {
			t.Error(err)
		}
		set(&o, need-1)
		if err := o.Check(rate, rtt); err == nil {
			t.Error("one packet less passes too")
		}
	}
	// Sized keeps what was chosen, so that Check can refuse it.
	if mine := (Options{Latency: 2 * time.Second, RcvBuf: 100 * perPacket}).Sized(rate, rtt); mine.RcvBuf != 100*perPacket || mine.Check(rate, rtt) == nil {
		t.Errorf("%+v", mine)
	}
	for name, c := range map[string]Options{
		"maxbw":     {MaxBW: 6_000_000},
		"inputbw":   {InputBW: 6_000_000},
		"udprcvbuf": {UDPRcvBuf: 70000},
		"udpsndbuf": {UDPSndBuf: 70000},
	} {
		err := c.Sized(rate, rtt).Check(rate, rtt)
		if !errors.As(err, &oe) || oe.Option != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = Options{Latency: 30 * time.Second}.Check(200_000_000, rtt)
	if !errors.As(err, &oe) || oe.Option != "latency" || !strings.Contains(err.Error(), "use at most") {
		t.Error(err)
	}
	if (Options{}).Check(0, rtt) == nil || (Options{}).Check(rate, -1) == nil {
		t.Error("a stream without rate, or a negative round trip, passes")
	}
	// MediaConnect's largest source and longest latency fit.
	if err := (Options{Latency: 15 * time.Second}).Sized(120_000_000, 200*time.Millisecond).Check(120_000_000, 200*time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestKernelBuffers(t *testing.T) {
	if err := CheckKernel(20_000_000, 212992, 212992); err != nil {
		t.Error(err)
	}
	err := CheckKernel(100_000_000, 212992, 212992)
	if err == nil || !strings.Contains(err.Error(), "sysctl -w net.core.rmem_max=") {
		t.Error(err)
	}
	if err := CheckKernel(100_000_000, 0, 0); err != nil {
		t.Errorf("unknown limits are refused: %v", err)
	}
	if r, w := KernelLimits(); r < 0 || w < 0 {
		t.Error(r, w)
	}
}

func TestConnectionJudgesTheNegotiatedLatency(t *testing.T) {
	small := Options{Latency: 120 * time.Millisecond}
	out, in := pair(t, small, Options{Latency: 8 * time.Second})
	if err := small.Check(20_000_000, 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := out.Check(20_000_000, 10*time.Millisecond); err == nil {
		t.Error("the peer's 8 s pass in buffers for 120 ms")
	}
	if err := in.Check(1_000_000, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
}
