package tr101290

import (
	"fmt"
	"time"

	"quartet/capture/mpegts"
)

// Defaults of a Config.
const (
	DefaultPIDPeriod     = 5 * time.Second
	DefaultPCRRepetition = 100 * time.Millisecond
	DefaultCATPeriod     = 2 * time.Second
	DefaultSilence       = 500 * time.Millisecond
	DefaultHold          = 5 * time.Second
	DefaultSIGap         = 25 * time.Millisecond
)

// Limits of the standard that are not settings.
const (
	tablePeriod   = 500 * time.Millisecond // 1.3.a, 1.5.a
	pcrNear       = 40 * time.Millisecond  // the older limit of 2.3a: counted, no error
	pcrJump       = 100 * time.Millisecond // 2.3b
	ptsPeriod     = 700 * time.Millisecond // 2.5
	unreferenced  = 500 * time.Millisecond // 3.4.a
	nitPeriod     = 10 * time.Second       // 3.1.a
	sdtPeriod     = 2 * time.Second        // 3.5.a
	eitPeriod     = 2 * time.Second        // 3.6.a
	tdtPeriod     = 30 * time.Second       // 3.8
	syncGood      = 5                      // sync bytes in a row that make sync (1.1)
	syncBad       = 2                      // bad ones in a row that lose it
	accuracyTicks = 13.5                   // 2.4: 500 ns in ticks of 27 MHz
)

// Config is what a Monitor is made of. The zero value is good for a
// contribution feed.
type Config struct {
	// PIDPeriod is how long a picture, a sound or a clock that a PMT names may
	// be away (1.6). 0: DefaultPIDPeriod.
	PIDPeriod time.Duration
	// DataPIDPeriod is the same for all other components: subtitles, teletext,
	// cues, data. 0: they may be away for ever, as they often are.
	DataPIDPeriod time.Duration
	// PCRRepetition is the longest interval from PCR to PCR (2.3a). 0:
	// DefaultPCRRepetition. 40 ms was the limit of ETSI TS 101 154 until 2005.
	PCRRepetition time.Duration
	// CATPeriod is how long scrambled packets may come without a CAT (2.6),
	// for which the standard gives no time. 0: DefaultCATPeriod.
	CATPeriod time.Duration
	// Silence is how long no packet at all may come before that counts as
	// TS_sync_loss (1.1). 0: DefaultSilence.
	Silence time.Duration
	// Hold is how long a check stays active after its last error. 0:
	// DefaultHold.
	Hold time.Duration
	// Priority3 switches the checks of third priority on. Contribution feeds
	// of one service often have no service information, so they are off by
	// default.
	Priority3 bool
	// SIGap is the shortest interval between sections of one table of service
	// information (3.1.a, 3.2, 3.5.a, 3.6.a, 3.7, 3.8). 0: DefaultSIGap, which
	// ETSI EN 300 468 5.1.4 wants up to 100 Mbit/s.
	SIGap time.Duration
	// PrivatePIDs are used for private data and need not be named by a table
	// (3.4).
	PrivatePIDs []mpegts.PID
}

func (c *Config) check() error {
	for _, d := range []struct {
		name      string
		value     *time.Duration
		otherwise time.Duration
		least     time.Duration
	}{
		{"PIDPeriod", &c.PIDPeriod, DefaultPIDPeriod, 100 * time.Millisecond},
		{"PCRRepetition", &c.PCRRepetition, DefaultPCRRepetition, 10 * time.Millisecond},
		{"CATPeriod", &c.CATPeriod, DefaultCATPeriod, 100 * time.Millisecond},
		{"Silence", &c.Silence, DefaultSilence, 100 * time.Millisecond},
		{"Hold", &c.Hold, DefaultHold, time.Millisecond},
		{"SIGap", &c.SIGap, DefaultSIGap, time.Millisecond},
		{"DataPIDPeriod", &c.DataPIDPeriod, 0, 100 * time.Millisecond},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
			continue
		}
		if *d.value < d.least {
			return fmt.Errorf("tr101290: %s %v: must be at least %v", d.name, *d.value, d.least)
		}
	}
	for _, p := range c.PrivatePIDs {
		if p >= mpegts.NullPID {
			return fmt.Errorf("tr101290: PrivatePIDs: %d: must be below %d", p, mpegts.NullPID)
		}
	}
	return nil
}
