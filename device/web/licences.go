package web

import (
	"cmp"
	"runtime/debug"
	"slices"
)

// licences are those of what may be linked into the box's programs, as SPDX
// identifiers, by module. A test holds the table against go.mod.
var licences = map[string]string{
	"github.com/asticode/go-astikit":            "MIT",
	"github.com/asticode/go-astits":             "MIT",
	"github.com/beorn7/perks":                   "MIT",
	"github.com/cespare/xxhash/v2":              "MIT",
	"github.com/coreos/go-systemd/v22":          "Apache-2.0",
	"github.com/goccy/go-json":                  "MIT",
	"github.com/google/go-cmp":                  "BSD-3-Clause",
	"github.com/haivision/srtgo":                "MPL-2.0",
	"github.com/klauspost/cpuid/v2":             "MIT",
	"github.com/klauspost/reedsolomon":          "MIT",
	"github.com/mattn/go-pointer":               "MIT",
	"github.com/munnerz/goautoneg":              "BSD-3-Clause",
	"github.com/pion/randutil":                  "MIT",
	"github.com/pion/rtcp":                      "MIT",
	"github.com/pion/rtp":                       "MIT",
	"github.com/prometheus/client_golang":       "Apache-2.0",
	"github.com/prometheus/client_model":        "Apache-2.0",
	"github.com/prometheus/common":              "Apache-2.0",
	"github.com/prometheus/procfs":              "Apache-2.0",
	"go.opentelemetry.io/proto/otlp":            "Apache-2.0",
	"go.uber.org/goleak":                        "MIT",
	"golang.org/x/crypto":                       "BSD-3-Clause",
	"golang.org/x/net":                          "BSD-3-Clause",
	"golang.org/x/sys":                          "BSD-3-Clause",
	"golang.org/x/text":                         "BSD-3-Clause",
	"google.golang.org/protobuf":                "BSD-3-Clause",
	"pgregory.net/rapid":                        "MPL-2.0",
	"google.golang.org/grpc":                    "Apache-2.0",
	"google.golang.org/genproto/googleapis/api": "Apache-2.0",
	"google.golang.org/genproto/googleapis/rpc": "Apache-2.0",
	"github.com/grpc-ecosystem/grpc-gateway/v2": "BSD-3-Clause",
	"github.com/vishvananda/netlink":            "Apache-2.0",
	"github.com/vishvananda/netns":              "Apache-2.0",
	"github.com/godbus/dbus/v5":                 "BSD-2-Clause",
}

// components are the parts of this program that others have written, and those
// that the box runs beside it.
func components() []Licence {
	list := []Licence{
		{Name: "Quartet", Licence: "Apache-2.0"},
		{Name: "Go standard library", Licence: "BSD-3-Clause"},
		{Name: "libsrt", Licence: "MPL-2.0"},
		{Name: "GStreamer (in quartet-engine)", Licence: "LGPL-2.1-or-later"},
		{Name: "Preact (in the page)", Licence: "MIT"},
		{Name: "uPlot (in the page)", Licence: "MIT"},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			list = append(list, Licence{Name: d.Path, Version: d.Version, Licence: cmp.Or(licences[d.Path], "unknown")})
		}
	}
	slices.SortStableFunc(list[1:], func(a, b Licence) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
