package web

import "time"

// Update is how updates stand.
type Update struct {
	Available  bool            `json:"available" doc:"this software can update itself"`
	Reason     string          `json:"reason,omitempty" doc:"why it cannot"`
	Running    string          `json:"running_version"`
	Board      string          `json:"board,omitempty" doc:"as updates name it"`
	Slots      []Slot          `json:"slots"`
	Phase      string          `json:"phase" enum:"idle|available|ready|installing|installed|restarting|trial|going-back" doc:"available: known, and not on the disk yet; ready: on the disk, and checked; installing: the other slot is written; installed: it is written; restarting, trial, going-back: see trial"`
	Offer      *UpdateOffer    `json:"offer" doc:"the update that the box wants; null: it knows none"`
	Progress   *UpdateProgress `json:"progress" doc:"of a download or an installation under way; null: there is none"`
	Waits      *UpdateWait     `json:"waits" doc:"what the update waits for; null: for nothing"`
	Trial      *UpdateTrial    `json:"trial" doc:"null: there is none"`
	Mode       string          `json:"mode" enum:"automatic|download|manual"`
	Windows    []string        `json:"windows" doc:"maintenance windows; none: at any time"`
	Zone       string          `json:"zone" doc:"the windows' clock"`
	DeferUntil *time.Time      `json:"defer_until"`
	DeferredBy string          `json:"deferred_by,omitempty"`
	Repository bool            `json:"repository" doc:"one is configured"`
	LastCheck  *time.Time      `json:"last_check"`
	CheckError string          `json:"check_error,omitempty" doc:"of the last check"`
	NextCheck  *time.Time      `json:"next_check"`
	Sibling    *UpdateSibling  `json:"sibling" doc:"null: the box is not one of a pair"`
	Refused    []UpdateRefused `json:"refused" doc:"what the repository offers and this box does not take, but for what is older or for other boards"`
	ClockGood  bool            `json:"clock_good" doc:"the time of day is kept by a time server, or an admin has set it; without it nothing is checked or installed"`
}

// Slot is one of the two places of the software.
type Slot struct {
	Name    string `json:"name"`
	State   string `json:"state" enum:"running|good|bad|unknown" doc:"good: it may be started; bad: the boot loader has given it up; unknown: RAUC cannot tell"`
	Version string `json:"version,omitempty" doc:"that lies there; absent: not known, or nothing"`
	Next    bool   `json:"next" doc:"the box starts from it next"`
}

// UpdateOffer is the update that the box wants.
type UpdateOffer struct {
	Version   string    `json:"version"`
	Downgrade bool      `json:"downgrade" doc:"a signed way back"`
	Ring      string    `json:"ring,omitempty"`
	Upload    bool      `json:"upload" doc:"somebody brought it"`
	Notes     string    `json:"notes,omitempty"`
	Bytes     int64     `json:"bytes"`
	Found     time.Time `json:"found"`
}

// UpdateProgress is how far a download or an installation is.
type UpdateProgress struct {
	What    string  `json:"what" enum:"download|install"`
	Percent float64 `json:"percent"`
	Done    int64   `json:"done" doc:"bytes of a download; percent of an installation"`
	Total   int64   `json:"total"`
	Text    string  `json:"text,omitempty"`
}

// UpdateWait is what an update waits for.
type UpdateWait struct {
	Why   string     `json:"why" enum:"clock|deferred|spread|window|operator|sibling|retry|media|expired"`
	Text  string     `json:"text"`
	Until *time.Time `json:"until" doc:"when it is looked at again; null: when something changes"`
}

// UpdateTrial is a new version that has to show that it works, or is about to.
type UpdateTrial struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Stage   string `json:"stage" enum:"activating|restarting|trial|decided"`
	Outcome string `json:"outcome,omitempty" doc:"confirmed, failed, inconclusive or fell-back, once it is decided"`
	Text    string `json:"text,omitempty"`
}

// UpdateSibling is how the pair stands.
type UpdateSibling struct {
	Held   bool       `json:"held" doc:"this box has the lease, and may restart"`
	Wanted *time.Time `json:"wanted" doc:"since when it has not been got"`
	Denied string     `json:"denied,omitempty" doc:"why"`
}

// UpdateRefused is a release that this box does not take.
type UpdateRefused struct {
	Version string `json:"version"`
	Code    string `json:"code"`
	Text    string `json:"text"`
}

// UpdateInfo is how updates stand, and what was.
type UpdateInfo struct {
	Update
	Pin     string        `json:"pin" doc:"SHA-256 of this box's key, for the settings of its sibling"`
	History []UpdateEntry `json:"history" doc:"newest first, 100 at most"`
}

// UpdateEntry is one line of the history.
type UpdateEntry struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event" doc:"found, downloaded, installing, installed, restarting, confirmed, failed, fell-back, inconclusive, refused, deferred, now, …"`
	From  string    `json:"from,omitempty" doc:"version"`
	To    string    `json:"to,omitempty" doc:"version"`
	Actor string    `json:"actor,omitempty" doc:"who, if it was a person"`
	Text  string    `json:"text,omitempty"`
}

// UpdateNow has the update happen outside its window.
type UpdateNow struct {
	OverrideSibling bool   `json:"override_sibling" doc:"without the sibling's lease: if the sibling is off the air, so is the site"`
	Reason          string `json:"reason" len:"0..500" doc:"needed with override_sibling; goes into history and audit log"`
}

// UpdateDefer puts updates off.
type UpdateDefer struct {
	Until string `json:"until" len:"0..40" doc:"2026-12-24T18:00:00+01:00, at most 30 days ahead; empty: they may happen again"`
}

// UpdateSettings say what is updated from where, and when.
type UpdateSettings struct {
	Repository    string          `json:"repository" len:"0..300" doc:"where the repository's files are: https://updates.example.net/quartet; empty: none, updates come as files"`
	Mode          string          `json:"mode" default:"automatic" enum:"automatic|download|manual" doc:"download: it is fetched, and waits for an operator; manual: it is only told of"`
	Windows       []string        `json:"windows" len:"0..32" doc:"maintenance windows, such as sun 02:00-05:00, mon-fri 23:30-01:00 or 02:00-05:00; none: at any time"`
	Zone          string          `json:"zone" default:"UTC" doc:"IANA name of the windows' time zone, such as Europe/Berlin"`
	NeedMin       int             `json:"need_min" default:"15" range:"1..360" doc:"minutes of a window that have to be left to begin"`
	EveryMin      int             `json:"every_min" default:"360" range:"5..10080" doc:"minutes between looks at the repository"`
	StreamingKbps int             `json:"rate_streaming_kbps" default:"2000" range:"64..1000000" doc:"fastest download while the box streams, in kbit/s"`
	IdleKbps      int             `json:"rate_idle_kbps" default:"20000" range:"64..1000000" doc:"and while it does not"`
	Sibling       SiblingSettings `json:"sibling"`
}

// SiblingSettings name the other box of a pair: the two never restart together.
type SiblingSettings struct {
	Role    string `json:"role" default:"none" enum:"none|A|B" doc:"none: the box is not one of a pair; A goes first when both ask at once"`
	Serial  string `json:"serial" len:"0..64" doc:"of the other box"`
	Address string `json:"address" len:"0..260" doc:"of the other box's page: host or host:port"`
	Pin     string `json:"pin" len:"0..128" doc:"SHA-256 of the other box's key: 64 hexadecimal digits, which its page shows under Update"`
}

// SetTime sets the clock of a box without a time server.
type SetTime struct {
	Time  string `json:"time" required:"yes" len:"1..40" doc:"2026-12-24T18:00:00+01:00"`
	Force bool   `json:"force" doc:"though a time server keeps the clock"`
}
