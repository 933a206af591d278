package updater

import (
	"context"
	"time"

	"quartet/updater/rauc"
	"quartet/updater/trust"
)

// Path is what is known of one way out of the box.
type Path struct {
	Name string `json:"name"`
	// Up: connected, and packets leave on it (and arrive, where the far end
	// tells).
	Up bool `json:"up"`
	// Reachable: the far end answers, though it may refuse. Up implies it.
	Reachable bool `json:"reachable"`
}

// Media is how the box's media are, as one look.
type Media struct {
	// Answers: the media plane answers at all. The rest counts only then.
	Answers bool `json:"answers"`
	// Expected: the box is claimed and configured, so it is meant to stream.
	Expected bool   `json:"expected"`
	Input    bool   `json:"input"` // there is a signal at the input
	Paths    []Path `json:"paths,omitempty"`
	// Management: page and API answer.
	Management bool `json:"management"`
	// Strained: paths lose packets or are late now, so nothing else may use
	// the network.
	Strained bool `json:"strained"`
}

// Streaming tells whether the feed leaves the box on at least one path.
func (m Media) Streaming() bool {
	for _, p := range m.Paths {
		if m.Answers && p.Up {
			return true
		}
	}
	return false
}

// Probe looks at the box's media. Its error means that there was no look; a
// media plane that does not answer is no error.
type Probe interface {
	Media(ctx context.Context) (Media, error)
}

// Installer is RAUC; *rauc.Client.
type Installer interface {
	Inspect(ctx context.Context, path string) (rauc.Bundle, error)
	Install(ctx context.Context, path, manifestHash string, progress func(rauc.Progress)) error
	Status(ctx context.Context) (rauc.Status, error)
	Mark(ctx context.Context, m rauc.Mark, slot string) error
}

// Metadata is the trust in a repository; *trust.Client.
type Metadata interface {
	Refresh(ctx context.Context, src trust.Source, now time.Time) (*trust.Repository, error)
}

// Sibling is the other box of the pair; *sibling.Pair.
type Sibling interface {
	Acquire(ctx context.Context) error
	Release(ctx context.Context) error
	Held() (left time.Duration, ok bool)
}

// Clock tells the time of day.
type Clock interface {
	Now() time.Time
	// Synchronised: it is true, by NTP or because an admin has set it.
	Synchronised() bool
}
