package web

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// Media is the media plane as its control socket shows it; *control.Client. Its
// methods are called from several goroutines.
type Media interface {
	Status(ctx context.Context) (control.Status, error)
	Conditions(ctx context.Context) (control.Conditions, error)
	Events(ctx context.Context, after string, follow bool, handle func(e control.Event, missed uint64) error) error
	Reload(ctx context.Context) (control.Reload, error)
	// Restart has the media plane start again with the document on disk. It
	// returns when that has been accepted.
	Restart(ctx context.Context) error
	Preflight(ctx context.Context, path string) (control.Preflight, error)
	// Thumbnail returns the latest JPEG; *control.Error 404 if there is none.
	Thumbnail(ctx context.Context) (control.Thumbnail, error)
}

// Planner knows what the configuration's own rules cannot: whether a document
// makes a plan and its sockets fit.
type Planner interface {
	// Check returns the plan of a document, what is doubtful about it, or an error
	// of type config.Issues.
	Check(doc *config.Box) (control.Plan, config.Issues, error)
	// Plan answers the latency calculator; its error is of type config.Issues.
	Plan(q PlanRequest) (control.Plan, error)
	// NeedsRestart names the fields in which two documents differ and that cannot
	// change while running.
	NeedsRestart(old, doc *config.Box) []string
}

// Secrets seals the secrets of a document for the disk, and opens them.
type Secrets interface {
	Unseal(path string, sealed config.Secret) (config.Secret, error)
	// Document is the form of a document that is kept. A secret that is the same as
	// in before (nil: none) keeps its sealed text.
	Document(b *config.Box, before []byte) ([]byte, error)
}

// Network is the network helper. Errors that wrap ErrUnavailable say that it does not
// answer; those of type config.Issues that the settings are wrong.
type Network interface {
	Settings(ctx context.Context) (NetworkSettings, error)
	State(ctx context.Context) (NetworkState, error)
	// Apply puts settings into force for two minutes. local is the address that the
	// request reached the box at; the Addresses of its answer are bare ones.
	Apply(ctx context.Context, s NetworkSettings, local netip.Addr) (NetworkTrial, error)
	// Confirm makes the settings on trial last. local is the address that the
	// request reached the box at. ErrConflict: nothing is on trial, the token is
	// another trial's, or local is not one of the new addresses.
	Confirm(ctx context.Context, token string, local netip.Addr) error
	Revert(ctx context.Context) error
	Reboot(ctx context.Context) error
	// SetTime sets the clock. ErrConflict: a time server keeps it, and force is not
	// given; or the time cannot be.
	SetTime(ctx context.Context, t time.Time, force bool) error
	// FactoryReset removes the network's settings. ErrNotHere: nobody keeps any on
	// this machine. After another error whoever implements it tries again by himself,
	// past a restart as well.
	FactoryReset(ctx context.Context) error
}

// Telemetry is the way home and the history kept here.
type Telemetry interface {
	State() TelemetryState
	Availability() []Availability
	// History returns points; q is complete (from, to, step).
	History(q HistoryQuery) (History, error)
	// Metrics writes the Prometheus text format.
	Metrics() http.Handler
	// Configure puts settings into force.
	Configure(s TelemetrySettings) error
	// FactoryReset removes what is queued and the history.
	FactoryReset() error
}

// Identity is the box's name, keys and certificates.
type Identity interface {
	Describe() IdentityInfo
	CSR() ([]byte, error)
	Install(certificate, ca []byte) error
	Enrol(ctx context.Context, q Enrol) error

	FactoryReset() error
}

// Updater brings new versions of the software. Its errors are *Refusals where they
// are words for the one who asked.
type Updater interface {
	// State answers at once.
	State(ctx context.Context) Update
	// History returns the last lines, newest first.
	History(ctx context.Context, limit int) ([]UpdateEntry, error)
	// Check asks the repository now.
	Check(ctx context.Context) error
	Now(ctx context.Context, actor string, q UpdateNow) error
	// Defer puts updates off; the zero time takes that back.
	Defer(ctx context.Context, actor string, until time.Time) error
	// Cancel takes back what was said or brought, until it has begun.
	Cancel(ctx context.Context, actor string) error
	// Upload takes an update in one file.
	Upload(ctx context.Context, actor string, r io.Reader) error
	// Judge says what is wrong with settings: config.Issues with paths below
	// update.
	Judge(s UpdateSettings) error
	// Configure puts settings into force, at once.
	Configure(s UpdateSettings) error
}

// Board is what the hardware can do.
type Board interface {
	// Identify blinks for a time; 0 stops. ErrNotHere where nothing can.
	Identify(d time.Duration) error
}

// AuditLog is the log of who did what. Append does not fail for its caller: a
// log that cannot be written is a condition of its own.
type AuditLog interface {
	Append(r AuditRecord)
	// Query returns up to limit records after a number, oldest first; after 0: the
	// newest ones.
	Query(after int64, limit int) ([]AuditRecord, error)
	FactoryReset() error
}

// LogSource gives the last lines of the box's programs.
type LogSource interface {
	Lines(ctx context.Context, q LogsQuery) (Logs, error)
}
