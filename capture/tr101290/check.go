package tr101290

import "fmt"

// Check is an indicator of ETSI TR 101 290 V1.4.1 clause 5.2.
type Check uint8

// The indicators, in the order of the standard. Where it keeps an old form
// beside a new one (1.3, 1.5, 2.3, 3.1, 3.5, 3.6), this is the new one, as it
// recommends.
const (
	TSSyncLoss                     Check = iota // 1.1: two corrupted sync bytes in a row, or nothing arrives
	SyncByteError                               // 1.2: a sync byte is not 0x47
	PATError2                                   // 1.3.a: no PAT for 0.5 s, another table on its PID, or scrambled
	ContinuityCountError                        // 1.4: wrong order, loss, more than one repeat
	PMTError2                                   // 1.5.a: no PMT for 0.5 s, or scrambled
	PIDError                                    // 1.6: a PID that a PMT names does not occur
	TransportError                              // 2.1: transport_error_indicator is set
	CRCError                                    // 2.2: PAT, CAT, PMT, NIT, BAT, SDT, EIT or TOT damaged
	PCRRepetitionError                          // 2.3a: no PCR for 100 ms
	PCRDiscontinuityIndicatorError              // 2.3b: PCRs differ by less than 0 or more than 100 ms, unannounced
	PCRAccuracyError                            // 2.4: PCR off by more than 500 ns for its place in the stream
	PTSError                                    // 2.5: no PTS for 700 ms
	CATError                                    // 2.6: scrambled packets and no CAT, or another table on its PID
	NITActualError                              // 3.1.a
	NITOtherError                               // 3.1.b
	SIRepetitionError                           // 3.2: tables of service information too rare or too dense
	UnreferencedPID                             // 3.4: a PID that no table names
	SDTActualError                              // 3.5.a
	SDTOtherError                               // 3.5.b
	EITActualError                              // 3.6.a
	EITOtherError                               // 3.6.b
	EITPFError                                  // 3.6.c: of present and following only one
	RSTError                                    // 3.7
	TDTError                                    // 3.8

	// CheckCount is the number of indicators.
	CheckCount = iota
)

var checks = [CheckCount]struct {
	clause, name string
	priority     int
}{
	TSSyncLoss:                     {"1.1", "TS_sync_loss", 1},
	SyncByteError:                  {"1.2", "Sync_byte_error", 1},
	PATError2:                      {"1.3.a", "PAT_error_2", 1},
	ContinuityCountError:           {"1.4", "Continuity_count_error", 1},
	PMTError2:                      {"1.5.a", "PMT_error_2", 1},
	PIDError:                       {"1.6", "PID_error", 1},
	TransportError:                 {"2.1", "Transport_error", 2},
	CRCError:                       {"2.2", "CRC_error", 2},
	PCRRepetitionError:             {"2.3a", "PCR_repetition_error", 2},
	PCRDiscontinuityIndicatorError: {"2.3b", "PCR_discontinuity_indicator_error", 2},
	PCRAccuracyError:               {"2.4", "PCR_accuracy_error", 2},
	PTSError:                       {"2.5", "PTS_error", 2},
	CATError:                       {"2.6", "CAT_error", 2},
	NITActualError:                 {"3.1.a", "NIT_actual_error", 3},
	NITOtherError:                  {"3.1.b", "NIT_other_error", 3},
	SIRepetitionError:              {"3.2", "SI_repetition_error", 3},
	UnreferencedPID:                {"3.4.a", "Unreferenced_PID", 3},
	SDTActualError:                 {"3.5.a", "SDT_actual_error", 3},
	SDTOtherError:                  {"3.5.b", "SDT_other_error", 3},
	EITActualError:                 {"3.6.a", "EIT_actual_error", 3},
	EITOtherError:                  {"3.6.b", "EIT_other_error", 3},
	EITPFError:                     {"3.6.c", "EIT_PF_error", 3},
	RSTError:                       {"3.7", "RST_error", 3},
	TDTError:                       {"3.8", "TDT_error", 3},
}

// String returns the standard's name, such as "PAT_error_2".
func (c Check) String() string {
	if int(c) < len(checks) {
		return checks[c].name
	}
	return fmt.Sprintf("check-%d", uint8(c))
}

// Clause returns the standard's number, such as "1.3.a"; "" for no check.
func (c Check) Clause() string {
	if int(c) < len(checks) {
		return checks[c].clause
	}
	return ""
}

// Priority returns 1 (cannot be decoded), 2 (to be watched all the time) or 3
// (depends on the application); 0 for no check.
func (c Check) Priority() int {
	if int(c) < len(checks) {
		return checks[c].priority
	}
	return 0
}

// MarshalText makes a check its name in JSON.
func (c Check) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name back.
func (c *Check) UnmarshalText(b []byte) error {
	for i := range checks {
		if checks[i].name == string(b) {
			*c = Check(i)
			return nil
		}
	}
	return fmt.Errorf("tr101290: unknown check %q; want a name of ETSI TR 101 290, such as PAT_error_2", b)
}
