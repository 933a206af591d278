package sdi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// layouts are all sizes, offsets and numbers that layout.go takes from the
// header, and what C calls them.
var layouts = []struct {
	c  string
	is uintptr
}{
	{"sizeof(struct v4l2_capability)", capabilitySize}, {"sizeof(struct v4l2_input)", inputSize}, {"sizeof(struct v4l2_dv_timings)", timingsSize},
	{"sizeof(struct v4l2_dv_timings_cap)", timingsCapSize}, {"sizeof(struct v4l2_event)", eventSize}, {"sizeof(struct v4l2_event_subscription)", subscriptionSize},
	{"offsetof(struct v4l2_capability, driver)", capDriver}, {"offsetof(struct v4l2_capability, card)", capCard}, {"offsetof(struct v4l2_capability, bus_info)", capBus},
	{"offsetof(struct v4l2_capability, capabilities)", capAll}, {"offsetof(struct v4l2_capability, device_caps)", capDevice},
	{"offsetof(struct v4l2_input, index)", inputIndex}, {"offsetof(struct v4l2_input, name)", inputName}, {"offsetof(struct v4l2_input, type)", inputType},
	{"offsetof(struct v4l2_input, status)", inputStatus}, {"offsetof(struct v4l2_input, capabilities)", inputCaps},
	{"offsetof(struct v4l2_dv_timings, type)", dvType}, {"offsetof(struct v4l2_dv_timings, bt.width)", dvWidth}, {"offsetof(struct v4l2_dv_timings, bt.height)", dvHeight},
	{"offsetof(struct v4l2_dv_timings, bt.interlaced)", dvInterlaced}, {"offsetof(struct v4l2_dv_timings, bt.pixelclock)", dvClock},
	{"offsetof(struct v4l2_dv_timings, bt.hfrontporch)", dvHFront}, {"offsetof(struct v4l2_dv_timings, bt.hsync)", dvHSync}, {"offsetof(struct v4l2_dv_timings, bt.hbackporch)", dvHBack},
	{"offsetof(struct v4l2_dv_timings, bt.vfrontporch)", dvVFront}, {"offsetof(struct v4l2_dv_timings, bt.vsync)", dvVSync}, {"offsetof(struct v4l2_dv_timings, bt.vbackporch)", dvVBack},
	{"offsetof(struct v4l2_dv_timings, bt.il_vfrontporch)", dvILFront}, {"offsetof(struct v4l2_dv_timings, bt.il_vsync)", dvILSync}, {"offsetof(struct v4l2_dv_timings, bt.il_vbackporch)", dvILBack},
	{"offsetof(struct v4l2_dv_timings, bt.standards)", dvStandards}, {"offsetof(struct v4l2_dv_timings, bt.flags)", dvFlagsAt},
	{"offsetof(struct v4l2_dv_timings_cap, bt.min_width)", capMinWidth}, {"offsetof(struct v4l2_dv_timings_cap, bt.max_width)", capMaxWidth},
	{"offsetof(struct v4l2_dv_timings_cap, bt.min_height)", capMinHeight}, {"offsetof(struct v4l2_dv_timings_cap, bt.max_height)", capMaxHeight},
	{"offsetof(struct v4l2_dv_timings_cap, bt.min_pixelclock)", capMinClock}, {"offsetof(struct v4l2_dv_timings_cap, bt.max_pixelclock)", capMaxClock},
	{"offsetof(struct v4l2_dv_timings_cap, bt.standards)", capStandards}, {"offsetof(struct v4l2_dv_timings_cap, bt.capabilities)", capScans},
	{"offsetof(struct v4l2_event, type)", eventType}, {"offsetof(struct v4l2_event, u.src_change.changes)", eventChanges}, {"offsetof(struct v4l2_event, pending)", eventPending},
	{"VIDIOC_QUERYCAP", queryCap}, {"VIDIOC_ENUMINPUT", enumInput}, {"VIDIOC_G_INPUT", getInput}, {"VIDIOC_S_DV_TIMINGS", setTimings}, {"VIDIOC_G_DV_TIMINGS", getTimings},
	{"VIDIOC_DQEVENT", dequeueEvent}, {"VIDIOC_SUBSCRIBE_EVENT", subscribeEvent}, {"VIDIOC_QUERY_DV_TIMINGS", queryTimings}, {"VIDIOC_DV_TIMINGS_CAP", timingsCap},
	{"V4L2_DV_BT_656_1120", typeBT656_1120}, {"V4L2_CAP_VIDEO_CAPTURE", capVideoCapture}, {"V4L2_CAP_VIDEO_CAPTURE_MPLANE", capVideoMultiplane},
	{"V4L2_CAP_STREAMING", capStreaming}, {"V4L2_CAP_DEVICE_CAPS", capHasDevice}, {"V4L2_IN_ST_NO_POWER", inNoPower}, {"V4L2_IN_ST_NO_SIGNAL", inNoSignal},
	{"V4L2_IN_ST_NO_H_LOCK", inNoHLock}, {"V4L2_IN_ST_NO_V_LOCK", inNoVLock}, {"V4L2_IN_ST_NO_SYNC", inNoSync}, {"V4L2_IN_ST_NO_CARRIER", inNoCarrier},
	{"V4L2_IN_CAP_DV_TIMINGS", inputHasTimings}, {"V4L2_EVENT_SOURCE_CHANGE", eventSourceChange}, {"V4L2_DV_FL_CAN_REDUCE_FPS", flagCanReduceFPS},
	{"V4L2_DV_FL_REDUCED_FPS", flagReducedFPS}, {"V4L2_DV_BT_CAP_INTERLACED", scanInterlaced}, {"V4L2_DV_BT_CAP_PROGRESSIVE", scanProgressive},
}

// The layouts are the header's. Where a C compiler and the header are, they are
// asked; the numbers that must hold everywhere are checked anyway.
func TestLayout(t *testing.T) {
	// From the kernel's own list of ioctls on 64-bit machines.
	for _, k := range []struct{ is, want uintptr }{
		{queryCap, 0x80685600}, {enumInput, 0xC050561A}, {getInput, 0x80045626}, {setTimings, 0xC0845657}, {getTimings, 0xC0845658},
		{dequeueEvent, 0x80885659}, {subscribeEvent, 0x4020565A}, {queryTimings, 0x80845663}, {timingsCap, 0xC0905664},
	} {
		if k.is != k.want {
			t.Errorf("ioctl %#x, want %#x", k.is, k.want)
		}
	}
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Error("the layouts are those of 64-bit machines")
	}
	for _, compiler := range []string{"gcc", "aarch64-linux-gnu-gcc"} {
		t.Run(compiler, func(t *testing.T) {
			cc, err := exec.LookPath(compiler)
			if err != nil {
				t.Skip("no such compiler here: the numbers above were compared with the header where there was one")
			}
			// The array's size is negative, and the compiler says where, if a number
			// differs: nothing has to run, so this serves another architecture, too.
			var b strings.Builder
			b.WriteString("#include <stddef.h>\n#include <linux/videodev2.h>\n")
			for i, l := range layouts {
				fmt.Fprintf(&b, "char differs_%d[(unsigned long)(%s) == %dUL ? 1 : -1]; /* %s */\n", i, l.c, l.is, l.c)
			}
			file := filepath.Join(t.TempDir(), "layout.c")
			if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(cc, "-fsyntax-only", file).CombinedOutput()
			if strings.Contains(string(out), "videodev2.h: No such file") {
				t.Skip("the kernel's headers are not here")
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// encode writes timings as the kernel would, of a signal of the header's
// V4L2_DV_BT_CEA_1920X1080I50.
func encode1080i50() []byte {
	b := make([]byte, timingsSize)
	for at, v := range map[int]uint32{
		dvWidth: 1920, dvHeight: 1080, dvInterlaced: 1, dvHFront: 528, dvHSync: 44, dvHBack: 148, dvVFront: 2, dvVSync: 5, dvVBack: 15,
		dvILFront: 2, dvILSync: 5, dvILBack: 16,
	} {
		order.PutUint32(b[at:], v)
	}
	order.PutUint64(b[dvClock:], 74_250_000)
	return b
}

func TestParseTimings(t *testing.T) {
	b := encode1080i50()
	got, err := parseTimings(b)
	if err != nil || got.String() != "1080i50" || got.HBlank != 720 || got.VBlank != 45 {
		t.Errorf("%v %+v, %v", got, got, err)
	}
	order.PutUint32(b[dvHFront:], 88) // 1080i60, and reduced
	order.PutUint32(b[dvFlagsAt:], flagCanReduceFPS|flagReducedFPS)
	if got, err = parseTimings(b); err != nil || got.String() != "1080i59.94" || !got.Reduced {
		t.Errorf("%v, %v", got, err)
	}
	if num, den := got.Rate(); num != 30000 || den != 1001 {
		t.Errorf("rate %d/%d", num, den)
	}
	if _, err = parseTimings(b[:40]); err == nil {
		t.Error("short timings are accepted")
	}
	b[dvType] = 1
	if _, err = parseTimings(b); err == nil {
		t.Error("timings of another type are accepted")
	}
	if (Timings{}).String() != "0x0" {
		t.Error(Timings{}.String())
	}
	odd := Timings{Width: 800, Height: 600, PixelClock: 33_000_000, HBlank: 256, VBlank: 28}
	if odd.String() != "800x600p49.76" {
		t.Error(odd)
	}
}

func FuzzParseTimings(f *testing.F) {
	f.Add(encode1080i50())
	f.Add(make([]byte, timingsSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseTimings(b)
		if err != nil {
			return
		}
		if _, den := v.Rate(); den == 0 || v.String() == "" || !v.same(v) {
			t.Errorf("%+v", v)
		}
		_ = parseLimits(make([]byte, timingsCapSize)).fits(v)
	})
}
