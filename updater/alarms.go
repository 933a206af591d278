package updater

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quartet/updater/trust"
)

// Codes of alarms.
const (
	alarmSibling      = "update-sibling"      // no lease for a week
	alarmHome         = "update-unreachable"  // no repository for a week
	alarmRefused      = "update-refused"      // what the repository says is not to be trusted
	alarmFetch        = "update-download"     // a bundle cannot be downloaded
	alarmInstall      = "update-install"      // RAUC refuses or fails
	alarmFailed       = "update-failed"       // the new version went back
	alarmInconclusive = "update-inconclusive" // nobody could tell
	alarmSlot         = "update-slot"         // the boot loader changed slots by itself
	alarmRAUC         = "update-rauc"         // RAUC does not answer
	alarmReboot       = "update-reboot"       // the box does not restart
	alarmDisk         = "update-disk"         // the state cannot be written
	alarmClock        = "update-clock"        // an update waits for the time of day
)

// Severity of an alarm, as device/health has them.
type Severity string

const (
	Warning Severity = "warning"
	Minor   Severity = "minor"
	Major   Severity = "major"
)

// Alarm is something that an operator should know of, active now.
type Alarm struct {
	Code     string    `json:"code"`
	Severity Severity  `json:"severity"`
	Text     string    `json:"text"`
	Remedy   string    `json:"remedy"`
	Since    time.Time `json:"since,omitzero"`
}

// meaning of alarms that are raised where something goes wrong.
var meaning = map[string]struct {
	severity Severity
	remedy   string
}{
	alarmRefused: {Major, "look at the repository with quartetctl repo status; do not use it until it is known why"},
	alarmFetch:   {Minor, "make room on the data partition, or repair the repository; it is tried again"},
	alarmInstall: {Minor, "the text says what to do; quartetctl update history has all of it"},
	alarmRAUC:    {Major, "look at RAUC's log (journalctl -u rauc)"},
	alarmReboot:  {Major, "restart the box"},
	alarmDisk:    {Major, "check the data partition; no update happens until it can be written"},
}

// alarms lists what is active now; the lock is held.
func (u *Updater) alarms(now time.Time) (list []Alarm) {
	s := &u.state
	for code, text := range u.trouble {
		m := meaning[code]
		list = append(list, Alarm{Code: code, Severity: m.severity, Text: text, Remedy: m.remedy})
	}
	if s.SlotLost != "" {
		list = append(list, Alarm{Code: alarmSlot, Severity: Major, Text: s.SlotLost, Remedy: "the other slot does not boot; install an update over it"})
	}
	if !s.LeaseWanted.IsZero() && now.Sub(s.LeaseWanted) >= u.policy.SiblingPatience {
		list = append(list, Alarm{Code: alarmSibling, Severity: Major, Since: s.LeaseWanted,
			Text:   fmt.Sprintf("an update has waited for the sibling since %s: %s", u.policy.local(s.LeaseWanted), s.LeaseDenied),
			Remedy: "bring the sibling back on the air, or say quartetctl update now --override-sibling --reason TEXT"})
	}
	if u.home != nil {
		since := s.LastContact
		if since.IsZero() {
			since = s.FirstCheck
		}
		if !since.IsZero() && s.CheckError != "" && now.Sub(since) >= u.policy.HomePatience {
			list = append(list, Alarm{Code: alarmHome, Severity: Minor, Since: since,
				Text: fmt.Sprintf("the repository could not be read since %s: %s", u.policy.local(since), s.CheckError), Remedy: "check the way to it, or bring updates as a file"})
		}
	}
	if s.Candidate != nil && !u.cfg.Clock.Synchronised() {
		list = append(list, Alarm{Code: alarmClock, Severity: Warning, Text: "an update waits because the time of day is not known to be right",
			Remedy: "give the box a time server, or set its time"})
	}
	if e, ok := s.lastOutcome(); ok {
		switch Outcome(e.Event) {
		case Broken, FellBack:
			text := fmt.Sprintf("version %s went back to %s: %s", e.To, e.From, e.Text)
			if e.To == u.cfg.Version.String() { // over
				text = fmt.Sprintf("version %s runs, though it has failed: %s", e.To, e.Text)
			}
			list = append(list, Alarm{Code: alarmFailed, Severity: Minor, Since: e.Time,
				Text: text, Remedy: "tell home; its history says whether it is tried again"})
		case Inconclusive:
			list = append(list, Alarm{Code: alarmInconclusive, Severity: Warning, Since: e.Time,
				Text: fmt.Sprintf("version %s could not be judged: %s", e.To, e.Text), Remedy: "it is tried again later; check destinations and input"})
		case Confirmed, Undecided:
		}
	}
	slices.SortFunc(list, func(a, b Alarm) int { return strings.Compare(a.Code, b.Code) })
	return list
}

// lastOutcome is how the last trial ended.
func (s *State) lastOutcome() (Entry, bool) {
	for i := len(s.History) - 1; i >= 0; i-- {
		switch Outcome(s.History[i].Event) {
		case Confirmed, Broken, FellBack, Inconclusive:
			return s.History[i], true
		case Undecided:
		}
	}
	return Entry{}, false
}

// refusedView shortens the list of refused releases for people: other boards
// and what is older are no news.
func refusedView(list []trust.Refused) (short []Refused) {
	for _, r := range list {
		switch r.Code {
		case trust.WrongBoard, trust.Older, trust.Same:
			continue
		}
		short = append(short, Refused{Version: r.Version.String(), Code: string(r.Code), Text: r.Text})
		if len(short) == 20 {
			break
		}
	}
	return short
}
