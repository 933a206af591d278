package measure

// Update is how the updater stands.
type Update struct {
	Version, Board, Slot string // what runs, and where
	Phase                string // idle, available, ready, installing, installed, restarting, trial, going-back
	Offered              bool   // the box knows of an update that it wants
	Waits                string // for what it waits: window, sibling, clock …; "": for nothing
	Progress             float64
	ProgressOf           string  // download or install; "": none is under way
	CheckedAgo           float64 // seconds since the repository was read well; below 0: not, or the last time was not well
	Slots                []Slot
}

// Slot is one of the two places of the software.
type Slot struct {
	Name, Version string
	Good          bool // it may be started
}

// Board is what only the board itself knows.
type Board struct {
	ResetCause string // of the last restart, where the watchdog's driver tells: power-on, watchdog …; "": not told
	Model      string
	Level      int     // of heat: 0 cool, 1 warm, 2 hot
	Room       float64 // °C that are left to the limit of the sensor nearest to it
	Measured   bool    // there is such a sensor
	FanDuty    int     // percent; below 0: there is none to set
	Relay      int     // 1 energised, 0 not; below 0: there is none
	Contacts   []Contact
}

// Contact is an input from the rack.
type Contact struct {
	Name   string
	Closed bool
}

var updateRows = []row[Update]{
	gauge("quartet.update.info", "{version}", []string{"version", "board", "slot"}, 0, "1; its labels say what runs.", "", func(*Update) float64 { return 1 }),
	gauge("quartet.update.offered", "{version}", nil, 0, "1 while the box knows of an update that it wants.", "", func(u *Update) float64 { return flag(u.Offered) }),
	gauge("quartet.update.phase", "{phase}", []string{"phase"}, 0, "1 for the phase that the update is in.", "", func(*Update) float64 { return 1 }),
	only(gauge("quartet.update.waits", "{reason}", []string{"reason"}, 0, "1 for what the update waits for.", "", func(*Update) float64 { return 1 }),
		func(u *Update) bool { return u.Waits != "" }),
	only(gauge("quartet.update.progress", "1", []string{"what"}, 0, "Share of the download or installation under way that is done.", "", func(u *Update) float64 { return u.Progress }),
		func(u *Update) bool { return u.ProgressOf != "" }),
	only(gauge("quartet.update.checked", "s", nil, 0, "Since the repository was read; absent when the last try failed.", "", func(u *Update) float64 { return u.CheckedAgo }),
		func(u *Update) bool { return u.CheckedAgo >= 0 }),
}

var slotRows = []row[Slot]{
	gauge("quartet.update.slot.good", "{slot}", []string{"slot", "version"}, 1, "1 while the boot loader may start the slot.", "", func(s *Slot) float64 { return flag(s.Good) }),
}

var boardRows = []row[Board]{
	only(gauge("quartet.board.reset", "{reset}", []string{"cause", "model"}, 1, "1; its labels say why the board restarted last.", "", func(*Board) float64 { return 1 }),
		func(b *Board) bool { return b.ResetCause != "" }),
	only(gauge("quartet.board.heat", "{level}", nil, 0, "0 cool, 1 warm (15 °C below a limit), 2 hot (5 °C below it): page and previews are shed.", "", func(b *Board) float64 { return float64(b.Level) }),
		func(b *Board) bool { return b.Measured }),
	only(gauge("quartet.board.heat.room", "Cel", nil, 0, "What is left to the limit of the sensor nearest to it.", "", func(b *Board) float64 { return b.Room }),
		func(b *Board) bool { return b.Measured }),
	only(gauge("quartet.board.fan.duty", "1", nil, 0, "What the fan is set to.", "", func(b *Board) float64 { return float64(b.FanDuty) / 100 }),
		func(b *Board) bool { return b.FanDuty >= 0 }),
	only(gauge("quartet.board.relay", "{relay}", nil, 0, "1 while the relay is energised: no viewer sees anything wrong.", "", func(b *Board) float64 { return float64(b.Relay) }),
		func(b *Board) bool { return b.Relay >= 0 }),
}

var contactRows = []row[Contact]{
	gauge("quartet.board.contact", "{contact}", []string{"hw.id"}, 0, "1 while the contact is closed.", "", func(c *Contact) float64 { return flag(c.Closed) }),
}

func takeUpdate(s *Sample, u *Update) {
	for i := range updateRows {
		x, ok := updateRows[i].read(u)
		if !ok {
			continue
		}
		var labels []string
		for _, l := range updateRows[i].Labels {
			labels = append(labels, map[string]string{"version": u.Version, "board": u.Board, "slot": u.Slot, "phase": u.Phase, "reason": u.Waits, "what": u.ProgressOf}[l])
		}
		s.add(&updateRows[i].Def, x, labels)
	}
	for i := range u.Slots {
		emit(s, slotRows, &u.Slots[i], u.Slots[i].Name, u.Slots[i].Version)
	}
}

func takeBoard(s *Sample, b *Board) {
	for i := range boardRows {
		if x, ok := boardRows[i].read(b); ok {
			s.add(&boardRows[i].Def, x, []string{b.ResetCause, b.Model}[:len(boardRows[i].Labels)])
		}
	}
	for i := range b.Contacts {
		emit(s, contactRows, &b.Contacts[i], b.Contacts[i].Name)
	}
}
