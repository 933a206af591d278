//go:build browser

package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quartet/device/control"
)

// largest is what a picture in docs/img may have.
const largest = 80_000

// takePictures writes the pictures of the documentation.
func takePictures(t *testing.T, p *tab, browser context.Context, b *box) {
	shoot := func(p *tab, name string) {
		t.Helper()
		time.Sleep(500 * time.Millisecond) // for what comes in smoothly
		var img []byte
		for _, quality := range []int{88, 75, 60, 45} {
			var shot struct {
				Data []byte `json:"data"`
			}
			p.call("Page.captureScreenshot", params{"format": "webp", "quality": quality}, &shot)
			if img = shot.Data; len(img) <= largest {
				break
			}
		}
		if len(img) > largest {
			t.Errorf("%s has %d bytes", name, len(img))
		}
		if err := os.WriteFile(filepath.Join(*pictures, name+".webp"), img, 0o644); err != nil { // #nosec G306
			t.Fatal(err)
		}
	}
	p.view("maintenance", "Maintenance")
	p.fill("Name of the box", "studio-1")
	p.press("Save")
	p.view("live", "Live")
	// A box that has run for a while, so that the plots have something to show, and
	// over which the other parts of this test have passed.
	time.Sleep(60 * time.Second)
	b.until("nothing wrong", func(s control.Status) bool { return len(s.Active) == 0 })
	for _, v := range []struct {
		id, heading, scheme, name string
		w, h                      int
	}{
		{"live", "Live", "light", "page-live-light", 1440, 900},
		{"live", "Live", "dark", "page-live-dark", 1440, 900},
		{"live", "Live", "light", "page-live-phone-light", 390, 844},
		{"live", "Live", "dark", "page-live-phone-dark", 390, 844},
		{"destinations", "Destinations", "light", "page-destinations-light", 1440, 900},
		{"input", "Input & encoder", "dark", "page-input-dark", 1440, 900},
		{"network", "Network", "light", "page-network-light", 1440, 900},
		{"history", "History", "dark", "page-history-dark", 1440, 900},
	} {
		p.scheme(v.scheme)
		p.size(v.w, v.h)
		p.view(v.id, v.heading)
		p.settled()
		p.js("scrollTo(0, 0)")
		if v.id == "history" {
			p.press("15 min")
			time.Sleep(2 * time.Second)
		}
		shoot(p, v.name)
	}
	p.scheme("light")
	p.size(1366, 900)
}
