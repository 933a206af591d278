package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
)

// documents is the box document on disk and the way of a change: check, save,
// have the media plane take it over, and back if it refuses. The media plane
// reads the same file by itself at its start; nothing here is needed for that.
type documents struct {
	// set at start, never changed
	store   *config.Store
	secrets Secrets
	planner Planner
	media   Media
	now     func() time.Time
	since   func() time.Duration
	monitor *health.Monitor
	key     [32]byte // of this run, for revisions

	changing sync.Mutex // one change at a time

	mu      sync.Mutex // guards what follows
	changed change
}

// change is who saved last, in this run of the process.
type change struct {
	revision, by string
	at           time.Time
}

// document is a document that has been read.
type document struct {
	box      *config.Box // nil: there is none
	bytes    []byte      // as on disk
	revision string
	warnings config.Issues
}

func newDocuments(cfg Config, monitor *health.Monitor, since func() time.Duration) *documents {
	d := &documents{store: cfg.Documents, secrets: cfg.Secrets, planner: cfg.Planner, media: cfg.Media, now: cfg.Now, since: since, monitor: monitor}
	rand.Read(d.key[:])
	return d
}

// revision names a document's content. It is keyed, because a plain hash would
// let everybody who sees it try out secrets.
func (d *documents) revision(doc []byte) string {
	if doc == nil {
		return "none"
	}
	m := hmac.New(sha256.New, d.key[:])
	m.Write(doc)
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// load reads the stored document. Without one, box is nil and the revision is
// "none".
func (d *documents) load() (document, error) {
	b, problem, err := d.store.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return document{revision: d.revision(nil)}, nil
	}
	if err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if problem != nil {
		d.monitor.Set(d.since(), health.ConfigRestored, health.ResourceBox, true, problem.Error())
	}
	doc, err := d.parse(b)
	if err != nil {
		return document{}, fmt.Errorf("%w: the stored document: %w", ErrUnavailable, err)
	}
	return doc, nil
}

// parse reads a document of the store and opens its secrets.
func (d *documents) parse(b []byte) (document, error) {
	var unseal config.Unseal
	if d.secrets != nil {
		unseal = d.secrets.Unseal
	}
	box, warnings, err := config.OpenBox(b, unseal)
	return document{box: box, bytes: b, revision: d.revision(b), warnings: warnings}, err
}

// lastChange is who saved the document of a revision, as far as it is known.
func (d *documents) lastChange(revision string) (by string, at *time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed.revision != revision {
		return "", nil
	}
	return d.changed.by, &d.changed.at
}

// starter is what a box without a document is shown: the test picture, and
// nowhere to send it yet.
func starter(name string) []byte {
	b := config.Default[config.Box]()
	b.Version, b.Name = config.SchemaVersion, name
	b.Input.Type, b.Input.URL = config.TypeTest, "test://bars"
	return config.Show(&b)
}

// check reads a new document against the stored one: text may hold SecretSet.
// The error is of type config.Issues.
func (d *documents) check(text []byte, now document) (box *config.Box, plan control.Plan, warnings config.Issues, err error) {
	if err := config.Syntax(text); err != nil {
		return nil, plan, nil, err
	}
	filled, missing := config.KeepSecrets(text, now.box)
	if len(missing) > 0 {
		var issues config.Issues
		for _, path := range missing {
			issues = append(issues, config.Issue{Path: path, Value: "***", Problem: "is " + config.SecretSet + ", and there is none here to keep",
				Remedy: "write the secret itself, or leave the field out"})
		}
		issues.Locate(text)
		return nil, plan, nil, issues
	}
	if box, warnings, err = config.ParseBox(filled); err != nil {
		return nil, plan, warnings, err
	}
	plan, more, err := d.planner.Check(box)
	more.Locate(filled)
	warnings = append(warnings, more...)
	var issues config.Issues
	if errors.As(err, &issues) {
		issues.Locate(filled)
		err = issues
	}
	return box, plan, warnings, err
}

// save is the way of a change. make gives the new document's text from the
// stored one.
func (d *documents) save(ctx context.Context, by, revision string, restart bool, make func(now document) ([]byte, error)) (Saved, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	now, err := d.load()
	if err != nil {
		return Saved{}, err
	}
	if now.revision != revision {
		who, at := d.lastChange(now.revision)
		return Saved{}, stale(now.revision, who, at)
	}
	text, err := make(now)
	if err != nil {
		return Saved{}, err
	}
	box, _, warnings, err := d.check(text, now)
	if err != nil {
		return Saved{}, err
	}
	return d.apply(ctx, by, restart, now, box, warnings)
}

// apply stores a checked document and has the media plane take it over.
func (d *documents) apply(ctx context.Context, by string, restart bool, now document, box *config.Box, warnings config.Issues) (Saved, error) {
	saved := Saved{Warnings: warnings}
	var fixed []string
	if now.box != nil {
		if fixed = d.planner.NeedsRestart(now.box, box); len(fixed) > 0 && !restart {
			// If nothing runs, nothing is interrupted.
			if _, err := d.media.Status(ctx); !errors.Is(err, control.ErrUnreachable) {
				return saved, needsRestart(fixed)
			}
		}
	}
	b := config.Encode(box)
	if d.secrets != nil {
		var err error
		if b, err = d.secrets.Document(box, now.bytes); err != nil {
			return saved, err
		}
	}
	undo, err := d.store.Try(b)
	if err != nil {
		return saved, err
	}
	saved.Revision, saved.Applied = d.revision(b), true
	if len(fixed) > 0 {
		err = d.media.Restart(ctx)
		saved.Restarted = err == nil
		saved.Changed = []string{"started again for " + strings.Join(fixed, ", ")}
	} else {
		var r control.Reload
		r, err = d.media.Reload(ctx)
		saved.Changed = r.Changed
	}
	var refused *control.Error
	switch {
	case errors.As(err, &refused):
		if e := undo(); e != nil {
			return saved, fmt.Errorf("the media plane refused the document (%w), and the one before cannot be put back: %w", err, e)
		}
		p := fail(409, typeConflict, "the media plane refused the document, and the one before goes on: "+refused.Text, "correct what it names, and save again")
		p.Restart = refused.NeedsRestart
		if len(p.Restart) > 0 {
			p.Type, p.Remedy = typeRestart, "save it with restart=true, which interrupts all paths for a second or two"
		}
		return saved, p
	case err != nil:
		saved.Applied, saved.Restarted, saved.Changed = false, false, nil
		saved.Note = "saved; the media plane does not answer, and will start with it: " + err.Error()
	}
	if e := d.sealBefore(now, b); e != nil {
		saved.Note = strings.TrimPrefix(saved.Note+"; the document before keeps secrets that are not sealed: "+e.Error(), "; ")
	}
	d.mu.Lock()
	d.changed = change{saved.Revision, by, d.now()}
	d.mu.Unlock()
	// A document that was saved by somebody is no longer the restored one.
	d.monitor.Set(d.since(), health.ConfigRestored, health.ResourceBox, false, "")
	return saved, nil
}

// sealBefore seals the secrets of the document that was replaced: one that a
// person wrote has plain ones, and would keep them as the one to return to.
func (d *documents) sealBefore(before document, now []byte) error {
	if d.secrets == nil || before.box == nil || bytes.Equal(before.bytes, now) {
		return nil
	}
	set := 0
	if err := before.box.MapSecrets(func(_ string, s config.Secret) (config.Secret, error) { set++; return s, nil }); err != nil {
		return err
	}
	if set == len(config.SealedSecrets(before.bytes)) {
		return nil
	}
	b, err := d.secrets.Document(before.box, now)
	if err != nil {
		return err
	}
	return d.store.Reword(b)
}

// needsRestart refuses a change that would interrupt the paths.
func needsRestart(fields []string) *Problem {
	p := fail(409, typeRestart, strings.Join(fields, ", ")+" cannot change while running", "save it with restart=true, which interrupts all paths for a second or two")
	p.Restart = fields
	return p
}
