package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// statusOf waits for a box that is as ok wants it.
func statusOf(t *testing.T, client *control.Client, ok func(control.Status) bool) (s control.Status) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; {
		var err error
		if s, err = client.Status(t.Context()); err == nil && ok(s) {
			return s
		}
		if time.Now().After(limit) {
			t.Fatalf("%+v %v", s, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What a reload cannot change, a restart does, in the same process; a document
// that is no good ends nothing.
func TestRestart(t *testing.T) {
	d := document()
	p := startProgram(t, d)
	file := p.cmd.Args[3]
	client := control.NewClient(d.Control.Socket)
	defer client.Close()
	statusOf(t, client, func(control.Status) bool { return true })

	d.Name = "another"
	writeTo(t, file, config.Encode(d))
	_, err := client.Reload(t.Context())
	if e := (*control.Error)(nil); !errors.As(err, &e) || len(e.NeedsRestart) != 1 || e.NeedsRestart[0] != "name" {
		t.Errorf("%v", err)
	}
	writeTo(t, file, []byte("{"))
	if e := (*control.Error)(nil); !errors.As(client.Restart(t.Context()), &e) || e.Code != http.StatusUnprocessableEntity {
		t.Errorf("%+v", e)
	}
	if s := statusOf(t, client, func(control.Status) bool { return true }); s.Name == "another" {
		t.Error(s.Name)
	}
	writeTo(t, file, config.Encode(d))
	if err := client.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	statusOf(t, client, func(s control.Status) bool { return s.Name == "another" })
	select {
	case err := <-p.done:
		t.Errorf("the process ended: %v", err)
	default:
	}
}

// A document that is damaged is no reason for a dark screen: the one before is
// taken, and a condition says so until a good one is read.
func TestPreviousDocument(t *testing.T) {
	d := document()
	good := config.Encode(d)
	p := startProgram(t, d) // for its place; the next one is what is looked at
	file := p.cmd.Args[3]
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	writeTo(t, file, good[:len(good)/2])
	code, _, errs := invoke("run", "--config", file, "--data", t.TempDir())
	if code != exitUsage || !strings.Contains(errs, "the end of the document") {
		t.Errorf("without one before: %d %s", code, errs)
	}
	d.Control.Socket += "2"
	writeTo(t, file+".previous", config.Encode(d))
	q := startProgramOn(t, file)
	client := control.NewClient(d.Control.Socket)
	defer client.Close()
	restored := func(s control.Status) bool {
		for _, c := range s.Active {
			if c.Code == "config-restored" && strings.Contains(c.Text, "the end of the document") {
				return true
			}
		}
		return false
	}
	statusOf(t, client, restored)
	if err := os.Rename(file+".previous", file); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	statusOf(t, client, func(s control.Status) bool { return !restored(s) })
	if err := q.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
}
