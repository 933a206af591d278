//go:build browser

package browser

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/device/control"
)

// claim sets up the box with an admin.
func (p *tab) claim(b *box) {
	p.t.Helper()
	p.visit("/")
	p.sees("Set up this box")
	p.fill("Code on the label", b.code)
	p.fill("User name", "ada")
	p.fill("New password", password)
	p.fill("New password again", password)
	p.press("Set up")
	p.until("the live view", "document.querySelector('.shell')")
}

func (p *tab) login(user, pass string) {
	p.t.Helper()
	p.sees("Sign in")
	p.fill("User name", user)
	p.fill("Password", pass)
	p.press("Sign in")
}

func (p *tab) enter(user, pass string) {
	p.t.Helper()
	p.visit("/")
	p.login(user, pass)
	p.until("the live view", "document.querySelector('.shell')")
}

// TestFlows is a box's life at its page. The parts follow each other: what one
// leaves, the next finds.
func TestFlows(t *testing.T) {
	browser := openBrowser(t)
	b := newBox(t)
	ada := open(t, browser, b.base)
	var everything []*tab
	visitor := func() *tab {
		p := open(b.all, browser, b.base)
		p.t = b.t
		everything = append(everything, p)
		return p
	}
	everything = append(everything, ada)
	// part runs one flow; a part that fails ends the test, for the next would
	// fail for its sake.
	part := func(name string, f func(t *testing.T)) {
		t.Helper()
		begun := time.Now()
		ok := t.Run(name, func(t *testing.T) {
			for _, p := range everything {
				p.t = t
			}
			b.t = t
			f(t)
		})
		for _, p := range everything {
			p.t = t
		}
		b.t = t
		t.Logf("%s: %.1f s", name, time.Since(begun).Seconds())
		if !ok {
			t.FailNow()
		}
	}

	part("claim", func(t *testing.T) {
		ada.visit("/")
		ada.sees("Set up this box")
		ada.sees(serial)
		ada.fill("Code on the label", "0000-0000-0000-0000")
		ada.fill("User name", "ada")
		ada.fill("New password", password)
		ada.fill("New password again", password+"x")
		ada.press("Set up")
		ada.until("the error at its field", "field('New password again').getAttribute('aria-invalid') === 'true'")
		ada.fill("New password again", password)
		ada.press("Set up")
		ada.until("a refusal of the code", "document.querySelector('[role=alert], .error')")
		ada.claim(b)
		ada.sees("On air")
		ada.until("a bit rate of path 1a", "/\\d+\\.\\d+/.test([...document.querySelectorAll('tr.path')].find(r => r.textContent.includes('1a'))?.querySelector('td .number')?.textContent)")
		// Nobody else can claim it now.
		other := visitor()
		other.visit("/")
		other.sees("Sign in")
	})

	part("login, slow-down without lock-out, logout, end of a session", func(t *testing.T) {
		p := visitor()
		p.base = strings.Replace(b.base, home, "10.77.0.5", 1)
		p.visit("/")
		for i := 0; i < 12; i++ {
			p.fill("User name", "ada")
			p.fill("Password", fmt.Sprintf("wrong number %d", i))
			p.press("Sign in")
			p.until("an answer", "document.querySelector('[role=alert]') && !document.querySelector('button[aria-busy]')")
			if strings.Contains(p.text(), "Too many tries") {
				break
			}
			p.sees("User name or password is wrong")
		}
		p.sees("Too many tries")
		p.until("a countdown", `[...document.querySelectorAll('button')].some(b => /^Wait \d+ s$/.test(b.textContent) && b.disabled)`)
		// From another address its owner gets in.
		owner := open(t, browser, strings.Replace(b.base, home, "10.77.0.2", 1))
		owner.enter("ada", password)
		owner.view("account", "Your account")
		owner.press("Sign out")
		owner.sees("You are signed out.")
		// And whoever is in stays in.
		ada.view("account", "Your account")
		ada.view("live", "Live")

		// A second admin, whose session ends when the first takes the name away.
		ada.view("users", "Users")
		ada.press("Add a user")
		ada.fill("User name", "bob")
		ada.choose("Role", "admin")
		ada.fill("Password", "short")
		ada.press("Save")
		ada.until("the error at its field", "document.querySelector('dialog [aria-invalid=true]')")
		ada.fill("Password", another)
		ada.press("Save")
		ada.sees("bob")
		bob := open(t, browser, strings.Replace(b.base, home, "10.77.0.3", 1))
		bob.enter("bob", another)
		ada.press("Change bob")
		ada.fill("New password", another+" two")
		ada.press("Save")
		bob.sees("Your session has ended")
		bob.login("bob", another+" two")
		bob.until("the live view", "document.querySelector('.shell')")

		// A page that nobody touches asks before the session ends for want of use.
		ada.js(`(() => { const now = performance.now.bind(performance); performance.now = () => now() + 14.5 * 60 * 1000; })()`)
		ada.sees("Are you still there?")
		ada.press("Stay signed in")
		ada.until("the question gone", "!document.querySelector('dialog[open]')")
		ada.visit("/")
		ada.until("the live view", "document.querySelector('.shell')")
	})

	part("stale within 5 s, and back", func(t *testing.T) {
		ada.view("live", "Live")
		ada.until("fresh values", "!document.querySelector('.stale-bar')")
		stopped(b.manage, func() {
			begun := time.Now()
			ada.sees("No data from the box.")
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("that the values are old was said after %.1f s, must be within 5 s", d.Seconds())
			} else {
				t.Logf("said after %.1f s", d.Seconds())
			}
			ada.until("old values look old", "document.querySelector('.live.stale')")
		})
		ada.misses("No data from the box.")
		// The same when the process is killed: it comes back under the same session
		// or with a login, and the streams never noticed.
		before, err := b.status()
		if err != nil {
			t.Fatal(err)
		}
		b.manage.kill(syscall.SIGKILL)
		ada.sees("No data from the box.")
		b.startManage()
		ada.until("values or a login", "document.querySelector('.entry-card') || (document.querySelector('.shell') && !document.querySelector('.stale-bar'))")
		if strings.Contains(ada.text(), "Your session has ended") {
			ada.login("ada", password)
			ada.until("the live view", "document.querySelector('.shell')")
		}
		after, err := b.status()
		if err != nil {
			t.Fatal(err)
		}
		for i := range after.Paths {
			if after.Paths[i].Connects != before.Paths[i].Connects {
				t.Errorf("path %s connected again while only the management was killed", after.Paths[i].Name)
			}
			if a := after.Paths[i].Arrival; a != nil && before.Paths[i].Arrival != nil && a.Merged.Lost != before.Paths[i].Arrival.Merged.Lost {
				t.Errorf("path %s: its gateway lost packets", after.Paths[i].Name)
			}
		}
	})

	part("a path is edited while the others run", func(t *testing.T) {
		before, err := b.status()
		if err != nil {
			t.Fatal(err)
		}
		ada.view("destinations", "Destinations")
		ada.press("1b")
		ada.fill("Capacity", "nine")
		ada.press("Save")
		ada.until("the error at its field", "document.querySelector('.path-edit [aria-invalid=true]')")
		ada.fill("Capacity", "9000")
		ada.press("Save")
		ada.saved()
		if !strings.Contains(b.stored(), `"max_bitrate_kbps": 9000`) {
			t.Errorf("the document on disk does not have it:\n%s", b.stored())
		}
		if s := b.stored(); strings.Contains(s, string(b.doc.Paths[0].Passphrase)) || !strings.Contains(s, "sealed:v1:") {
			t.Error("secrets lie on disk as they are")
		}
		time.Sleep(2 * time.Second) // long enough for a connection that would be made anew
		after := b.until("all paths up", allUp)
		for i, p := range after.Paths {
			if p.Name != "1b" && p.Connects != before.Paths[i].Connects {
				t.Errorf("path %s connected anew, and 1b was changed", p.Name)
			}
			// What never came over this path; what came late, a busy machine may have held.
			missed := func(a *control.Arrival) uint64 { return a.LostHere - min(a.Late, a.LostHere) }
			if n := missed(p.Arrival) - min(missed(p.Arrival), missed(before.Paths[i].Arrival)); p.Name != "1b" && n != 0 {
				t.Logf("path %s lost %d packets by its gateway's count, and 1b was changed", p.Name, n)
				if *quiet {
					t.Fail()
				}
			}
			if p.Arrival.Merged.Lost != before.Paths[i].Arrival.Merged.Lost {
				t.Errorf("the gateway of path %s lost %d packets", p.Name, p.Arrival.Merged.Lost-before.Paths[i].Arrival.Merged.Lost)
			}
		}
	})

	part("destination from one line, preflight good and bad", func(t *testing.T) {
		ada.view("destinations", "Destinations")
		ada.press("Preflight of path 1a")
		ada.sees("Ready for air")
		// A line that is none is refused where it was pasted.
		ada.fill("srt:// line", "srt://")
		ada.press("Add")
		ada.until("the error at its field", "document.querySelector('#paste-error') && document.querySelector('#paste').getAttribute('aria-invalid') === 'true'")
		// One that leads nowhere is a path that does not come up.
		ada.fill("srt:// line", fmt.Sprintf("srt://127.0.0.1:9?streamid=nobody&passphrase=%s", "nobody is at home"))
		ada.press("Add")
		ada.sees("Read: 127.0.0.1:9")
		ada.press("Save")
		// One path more is something that cannot change while running, and it is
		// not done without a word.
		ada.sees("This interrupts all paths")
		ada.press("Save and start again")
		ada.saved()
		ada.until("the new path's state", "button('Preflight of path 3a') && !button('Preflight of path 3a').disabled")
		ada.press("Preflight of path 3a")
		ada.sees("Not ready")
		if strings.Contains(ada.text(), "nobody is at home") {
			t.Error("the page shows a passphrase")
		}
		// What an error opened stays open: 1b, from before.
		ada.js("[...document.querySelectorAll('.disclosure[aria-expanded=true]')].filter(d => d.textContent.trim() === '1b').forEach(d => d.click())")
		ada.press("Remove this path")
		ada.sees("Remove path 3a?") // the dialog's button has the same name
		ada.press("Remove this path")
		ada.press("Save")
		ada.sees("This interrupts all paths")
		ada.press("Save and start again")
		ada.saved()
		ada.until("four paths", "document.querySelectorAll('.path-card').length === 4")
		b.until("all paths up", allUp)
	})

	part("two admins in conflict", func(t *testing.T) {
		bob := open(t, browser, strings.Replace(b.base, home, "10.77.0.3", 1))
		bob.enter("bob", another+" two")
		ada.view("destinations", "Destinations")
		bob.view("destinations", "Destinations")
		ada.fill("Total latency", "450")
		bob.fill("Parity", "12")
		bob.press("Save")
		bob.saved()
		ada.sees("Somebody saved the configuration while you edit")
		ada.press("Save")
		ada.sees("Somebody else saved first")
		ada.sees("Saved by bob")
		ada.sees("output.overhead_percent")
		ada.press("Put mine on top")
		ada.press("Save")
		ada.saved()
		for _, want := range []string{`"latency_ms": 450`, `"overhead_percent": 12`} {
			if !strings.Contains(b.stored(), want) {
				t.Errorf("%s is lost:\n%s", want, b.stored())
			}
		}
		// The one who did not touch a thing sees it by himself.
		bob.until("the other's value", "field('Total latency').value === '450'")
		bob.clean()
	})

	part("export, import, and a bad file refused", func(t *testing.T) {
		ada.view("maintenance", "Maintenance")
		file := ada.downloaded("Export")
		if bytes.Contains(file, []byte("sealed:")) || bytes.Contains(file, []byte(string(b.doc.Paths[0].Passphrase))) {
			t.Error("the export holds secrets")
		}
		latency := regexp.MustCompile(`("latency_ms":\s*)450`)
		with := func(ms string) []byte { return latency.ReplaceAll(file, []byte("${1}"+ms)) }
		if !json.Valid(file) || !latency.Match(file) {
			t.Fatalf("not the document: %.400s", file)
		}
		before := b.stored()
		ada.upload(b, "bad.json", with("999999"))
		ada.sees("The file was refused; nothing is changed")
		ada.sees("output.latency_ms")
		if b.stored() != before {
			t.Error("a refused file changed the document")
		}
		ada.upload(b, "none.json", []byte("this is no document"))
		ada.sees("The file was refused; nothing is changed")
		ada.upload(b, "good.json", with("480"))
		ada.sees("The file is in force.")
		if s := b.stored(); !strings.Contains(s, `"latency_ms": 480`) {
			t.Errorf("not imported:\n%s", s)
		}
		b.until("all paths up with the secrets of before", func(s control.Status) bool {
			for _, p := range s.Paths {
				if p.State != control.PathUp || !p.Encrypted {
					return false
				}
			}
			return true
		})
	})

	part("a number key by key; the calculator saves nothing", func(t *testing.T) {
		ada.view("destinations", "Destinations")
		was, err := os.Stat(b.file("etc/box.v1.json"))
		if err != nil {
			t.Fatal(err)
		}
		const loss = "[...document.querySelectorAll('.fields.compact label')].find(l => l.textContent.includes('Loss to withstand')).control"
		ada.until("the calculator", loss)
		ada.js("(() => { const f = " + loss + "; f.focus(); f.select(); })()")
		for _, key := range "0.05" {
			ada.insert(string(key))
			time.Sleep(50 * time.Millisecond) // drawn in between
		}
		ada.until("0.05", loss+".value === '0.05'")
		ada.key("Enter", 13)
		time.Sleep(time.Second)
		if is, err := os.Stat(b.file("etc/box.v1.json")); err != nil || !is.ModTime().Equal(was.ModTime()) {
			t.Errorf("Enter in the calculator has saved the document (%v)", err)
		}
	})

	part("a draft outlives its view", func(t *testing.T) {
		ada.view("input", "Input & encoder")
		ada.view("destinations", "Destinations")
		ada.fill("Total latency", "611")
		ada.sees("1 change, not saved")
		ada.view("history", "History")
		ada.view("destinations", "Destinations")
		ada.until("the draft", "field('Total latency').value === '611'")
		ada.press("Discard")
		ada.sees("No changes")
	})

	part("support bundle", func(t *testing.T) {
		ada.view("maintenance", "Maintenance")
		file := ada.downloaded("Download")
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("%v: %.200q", err, file)
		}
		if len(z.File) < 4 {
			t.Errorf("only %d files", len(z.File))
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			var all bytes.Buffer
			if _, err := all.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{string(b.doc.Output.Key), string(b.doc.Paths[0].Passphrase), password, another} {
				if bytes.Contains(all.Bytes(), []byte(secret)) {
					t.Errorf("%s holds a secret", f.Name)
				}
			}
		}
	})

	part("identify", func(t *testing.T) {
		ada.view("maintenance", "Maintenance")
		ada.press("Blink for 30 s")
		// A machine of tests has no light, and the page says so; one with a light
		// says that it blinks.
		ada.until("an answer", "/It blinks for 30 s|This box does not have that/.test(document.body.innerText)")
	})

	part("the network: a bad address, reverted, confirmed at the new one", func(t *testing.T) {
		address := func(to string) {
			ada.view("network", "Network")
			ada.until("the settings", "button('Add an interface') && !button('Add an interface').disabled")
			if string(ada.js("!field('Addresses')")) == "true" {
				ada.press("Add an interface")
				ada.fill("Interface", "eth0")
			}
			ada.fill("Addresses", to)
			ada.press("Try for 120 s")
		}
		address("10.77.0.900/24")
		ada.until("the error at its field", "field('Addresses').getAttribute('aria-invalid') === 'true'")
		address(moved + "/24")
		ada.sees("The network is on trial")
		ada.until("a countdown", "Number(document.querySelector('.trial-clock .number').textContent) > 90")
		ada.press("Go back now")
		ada.misses("The network is on trial")
		if have, _ := b.net.Addresses(); !hasAddress(have, home) {
			t.Errorf("after going back the box is at %v", have)
		}
		ada.until("a quiet form", "!document.querySelector('.save-bar.dirty') || button('Discard').click() || true")
		address(moved + "/24")
		ada.sees("The network is on trial")
		var link string
		ada.until("a link to the new address", "document.querySelector('.addresses a')")
		if err := json.Unmarshal(ada.js("[...document.querySelectorAll('.addresses a')].map(a => a.href).find(h => h.includes('"+moved+"')) || ''"), &link); err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(b.base, home, moved, 1) + "/#/network?token="; !strings.HasPrefix(link, want) {
			t.Fatalf("the link is %q, must begin with %q", link, want)
		}
		// Not over the old one: that would prove nothing.
		ada.press("Keep")
		ada.until("a refusal", "document.querySelector('.trial [role=alert]')")
		there := visitor()
		there.base = strings.Replace(b.base, home, moved, 1)
		there.visit(strings.TrimPrefix(link, there.base))
		there.login("ada", password)
		// A real box answers there no sooner; this machine has had the address before.
		b.until("the new address", func(control.Status) bool {
			have, _ := b.net.Addresses()
			return hasAddress(have, moved)
		})
		there.press("Keep")
		there.sees("The network settings are kept.")
		ada.misses("The network is on trial")
		if have, _ := b.net.Addresses(); !hasAddress(have, moved) {
			t.Errorf("confirmed, and the box is at %v", have)
		}
	})

	part("roles", func(t *testing.T) {
		ada.view("users", "Users")
		ada.press("Add a user")
		ada.fill("User name", "vic")
		ada.choose("Role", "viewer")
		ada.fill("Password", another)
		ada.press("Save")
		ada.sees("vic")
		vic := visitor()
		vic.base = strings.Replace(b.base, home, "10.77.0.4", 1)
		vic.enter("vic", another)
		vic.until("live values", "document.querySelector('tr.path .number')")
		for _, hidden := range []string{"Users", "Audit log", "Logs"} {
			if string(vic.js("!button("+quote(hidden)+")")) != "true" {
				t.Errorf("a viewer is offered %s", hidden)
			}
		}
		vic.view("destinations", "Destinations")
		vic.sees("To change this you need the role admin.")
		vic.until("fields that are locked", "field('Total latency').disabled && !document.querySelector('.save-bar')")
		// A new password ends the other sessions, and not this one.
		vic.view("account", "Your account")
		vic.fill("Present password", another)
		vic.fill("New password", "seven brown otters sing")
		vic.fill("New password again", "seven brown otters sing")
		vic.press("Change password")
		vic.sees("The password is changed")
		time.Sleep(2500 * time.Millisecond) // the event stream looks every second
		vic.misses("Your session has ended")
		vic.view("live", "Live")
		vic.until("live values", "document.querySelector('tr.path .number')")
		ada.view("audit", "Audit log")
		ada.sees("config.save")
		ada.sees("vic")
	})

	part("update: settings, a bad file, put off, now, on trial, confirmed", func(t *testing.T) { updates(t, ada, b) })
	part("keyboard only", func(t *testing.T) { keyboardOnly(t, visitor(), b) })
	part("axe-core finds nothing", func(t *testing.T) { axe(t, ada, browser, b) })
	part("400 %, and a phone", func(t *testing.T) { narrow(t, ada) })
	part("German", func(t *testing.T) { german(t, ada) })
	part("policy, no other host, nothing but the interface", func(t *testing.T) { policy(t, b, everything) })
	part("first view", func(t *testing.T) { firstView(t, ada) })
	if *pictures != "" {
		part("pictures", func(t *testing.T) { takePictures(t, ada, browser, b) })
	}

	part("factory reset, back to the claim", func(t *testing.T) {
		ada.view("maintenance", "Maintenance")
		ada.press("Reset …")
		ada.sees("Destroy everything on this box?")
		ada.fill("Type the serial number "+serial, "QT-WRONG")
		ada.until("a button that does nothing", "button('Reset …').disabled")
		ada.fill("Type the serial number "+serial, serial)
		ada.press("Reset …")
		ada.sees("Set up this box")
		if _, err := os.Stat(b.file("etc/box.v1.json")); err == nil {
			t.Error("the document is still there")
		}
		// The label holds: whoever stands before the box sets it up again.
		b.answers()
		ada.claim(b)
	})
	for _, p := range everything {
		p.clean()
	}
}

func hasAddress(have map[netip.Addr]string, a string) bool {
	_, ok := have[netip.MustParseAddr(a)]
	return ok
}

// saved waits until the box has taken what was changed.
func (p *tab) saved() {
	p.t.Helper()
	p.until("the save", "document.querySelector('.save-bar') && !document.querySelector('.save-bar.dirty, [aria-busy=true]')")
}

// downloaded presses a button that downloads a file, and returns the file.
func (p *tab) downloaded(button string) []byte {
	p.t.Helper()
	p.js(`(() => { window.taken = null; const make = URL.createObjectURL.bind(URL); URL.createObjectURL = b => {
		const r = new FileReader(); r.onload = () => { window.taken = r.result.split(",")[1] || ""; }; r.readAsDataURL(b); return make(b); }; })()`)
	p.press(button)
	p.until("the file", "window.taken !== null")
	var s string
	if err := json.Unmarshal(p.js("window.taken"), &s); err != nil {
		p.t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// upload imports a file.
func (p *tab) upload(b *box, name string, content []byte) {
	p.t.Helper()
	file := b.file(name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.attach("import", file)
	p.press("Import")
}

// attach chooses a file in a field, by its id.
func (p *tab) attach(id, file string) {
	p.t.Helper()
	var input struct {
		Result struct {
			ObjectID string `json:"objectId"`
		} `json:"result"`
	}
	p.call("Runtime.evaluate", params{"expression": "document.getElementById(" + quote(id) + ")"}, &input)
	p.call("DOM.setFileInputFiles", params{"files": []string{file}, "objectId": input.Result.ObjectID}, nil)
}
