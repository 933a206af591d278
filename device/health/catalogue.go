package health

import "time"

// The codes of the path: feed in, streams out, gateways. Their order in
// Catalogue is the order of triage: what comes first explains what comes
// later.
const (
	// Configuration.
	ConfigInvalid   Code = "config-invalid"
	ConfigRestored  Code = "config-restored"
	PlanInfeasible  Code = "fec-plan-infeasible"
	SharedInterface Code = "redundancy-shared-interface"

	// Feed.
	EngineDown       Code = "engine-down"
	DeviceMissing    Code = "input-device-missing"
	DeviceBusy       Code = "input-device-busy"
	SignalNone       Code = "input-no-signal"
	SignalUnlocked   Code = "input-unlocked"
	SignalFormat     Code = "input-format-unsupported"
	InputLost        Code = "input-lost"
	SoundLost        Code = "sound-lost"
	InputTSPriority1 Code = "input-ts-priority1"
	InputTSPriority2 Code = "input-ts-priority2"
	SlateOnAir       Code = "slate-on-air"
	InputErrors      Code = "input-errors"
	InputOverrate    Code = "input-overrate"
	InputNoClock     Code = "input-no-clock"
	InputUnprotected Code = "input-unprotected"

	// Picture and sound.
	PictureBlack    Code = "picture-black"
	PictureBars     Code = "picture-bars"
	PictureFrozen   Code = "picture-frozen"
	SoundSilent     Code = "sound-silent"
	SoundClipped    Code = "sound-clipped"
	SoundPeak       Code = "sound-true-peak"
	SoundLoudness   Code = "sound-loudness"
	ConfidenceBlind Code = "confidence-blind"

	// Streams out.
	OutputTSErrors Code = "output-ts-errors"
	LegDown        Code = "leg-down"
	LegUnprotected Code = "leg-unprotected"
	PathDown       Code = "path-down"
	PathUnreported Code = "path-unreported"
	PathMTU        Code = "path-mtu"
	PathPending    Code = "path-settings-pending"
	PathKey        Code = "path-key-mismatch"
	PathOverload   Code = "path-overload"
	PathLoss       Code = "path-loss"
	PathRTT        Code = "path-rtt-high"
	RateReduced    Code = "encoder-rate-reduced"
	PathShed       Code = "path-shed"
	PathBare       Code = "path-parity-shed"

	// What the gateways report.
	GatewayLossy   Code = "gateway-lossy"
	DigestMismatch Code = "digest-mismatch"

	// The gateway's own.
	ContributionLost Code = "contribution-lost"
	OutputFailed     Code = "output-failed"
	PeerDown         Code = "peer-down"
)

// Catalogue returns the definitions of all codes, in triage order. Alarms come
// within 2 s of a fault and clear within 10 s of its end (ACCEPTANCE F2, F8).
func Catalogue() []Definition {
	const s = time.Second
	return []Definition{
		{Code: ConfigInvalid, Severity: Minor,
			Text:   "The configuration file was refused; the one before is still in use",
			Remedy: "Run `quartetctl config check FILE`, correct what it names, then `quartetctl reload`."},
		{Code: ConfigRestored, Severity: Warning,
			Text:   "The stored configuration was damaged; the one before was taken instead",
			Remedy: "Compare the settings with what you expect, and save them again. If it happens twice, replace the storage."},
		{Code: PlanInfeasible, Severity: Major,
			Text:   "Latency and overhead do not fit rate and round-trip time",
			Remedy: "Raise output.latency_ms, or lower overhead_percent or the stagger; `quartetctl plan` shows what fits."},
		{Code: SharedInterface, Severity: Warning,
			Text:   "Redundant paths share a network interface",
			Remedy: "Bind the paths of a leg to different interfaces, on different networks: one cable now takes down both."},

		{Code: EngineDown, Severity: Major, HoldOff: 5 * s,
			Text:   "The media engine has ended or hangs; the slate is sent while it is started again",
			Remedy: "If it stays, read its reason: it names a missing element with its package, or the device that fails. If it comes again and again, try another encoder.element or a lower load, and report it."},
		// The slate is on air at once, and so is the reason (ACCEPTANCE F13: 500 ms).
		{Code: DeviceMissing, Severity: Critical, HoldOff: 2 * s,
			Text:   "The capture device is not there, or cannot be used",
			Remedy: "Check that the card is plugged in and its driver loaded (`v4l2-ctl --list-devices`), the number in input.url, and that the user of quartetd is in group video. The capture begins by itself when the device comes."},
		{Code: DeviceBusy, Severity: Critical, HoldOff: 2 * s,
			Text:   "Another program uses the capture device",
			Remedy: "End it: `fuser -v` with the device's path shows which it is."},
		{Code: SignalNone, Severity: Critical, HoldOff: 2 * s,
			Text:   "No signal at the capture device",
			Remedy: "Check the source, its cable, and that it is plugged into the card's right connector."},
		{Code: SignalUnlocked, Severity: Critical, HoldOff: 2 * s,
			Text:   "The card does not lock to the signal",
			Remedy: "The signal is there and is not clean. Try another, shorter cable and another output of the source; 3G and above need better cable than HD."},
		{Code: SignalFormat, Severity: Critical, HoldOff: 2 * s,
			Text:   "The card cannot take the signal's format",
			Remedy: "Set the source to a format that the card takes; the reason names what it is now."},
		{Code: InputLost, Severity: Critical, HoldOff: 2 * s, MaskedBy: []Code{EngineDown, DeviceMissing, DeviceBusy, SignalNone, SignalUnlocked, SignalFormat},
			Text:   "No feed",
			Remedy: "Check the source and its cable or multicast route, then input.url and input.interface. For SRT check passphrase and stream id on both ends. For SDI check that the format is one that the card takes."},
		{Code: SlateOnAir, Severity: Critical, HoldOn: 300 * time.Millisecond, HoldOff: 2 * s, MaskedBy: []Code{EngineDown, InputLost, DeviceMissing, DeviceBusy, SignalNone, SignalUnlocked, SignalFormat},
			Text:   "The slate is on air in place of the picture",
			Remedy: "Somebody has switched it on, or the engine's stream is not accepted: see its reason in the status."},
		{Code: SoundLost, Severity: Major, HoldOn: s, HoldOff: 2 * s, MaskedBy: []Code{EngineDown, InputLost},
			Text:   "No sound from the sound device; silence is sent",
			Remedy: "Check input.audio_device against `arecord -l`, that no other program uses it, and that the user of quartetd is in group audio. The picture goes on."},
		// The checks stay active for 5 s after their last error, which is the rest
		// of the 10 s.
		{Code: InputTSPriority1, Severity: Major, HoldOff: 3 * s,
			MaskedBy: []Code{InputLost},
			Text:     "The feed arrives with errors that receivers cannot decode over (ETSI TR 101 290, first priority)",
			Remedy:   "The fault is before this box: the source, its multiplexer, or the network to here. `quartetctl probe input` shows each check; docs/monitoring.md says what it means. What is lost there cannot be repaired here."},
		{Code: InputTSPriority2, Severity: Minor, HoldOn: s, HoldOff: 3 * s,
			MaskedBy: []Code{InputLost},
			Text:     "The feed arrives with errors that receivers may show (ETSI TR 101 290, second priority)",
			Remedy:   "The fault is before this box: encoder, multiplexer or reception. `quartetctl probe input` shows each check; docs/monitoring.md says what it means."},
		{Code: InputErrors, Severity: Minor, Set: 0.01, Clear: 0.001, Unit: "errors/s", HoldOn: s, HoldOff: 10 * s,
			MaskedBy: []Code{InputLost, InputTSPriority1, InputTSPriority2},
			Text:     "The feed arrives damaged: continuity errors or transport error flags",
			Remedy:   "The fault is before this box: check the source and the network to it. What is lost there cannot be repaired here."},
		{Code: InputOverrate, Severity: Major, HoldOn: s, HoldOff: 10 * s,
			MaskedBy: []Code{InputLost},
			Text:     "The feed is faster than planned for",
			Remedy:   "Raise output.max_bitrate_kbps, or lower the source's rate. Until then buffers are short and paths may drop."},
		{Code: InputNoClock, Severity: Warning, HoldOn: 2 * s, HoldOff: 5 * s,
			MaskedBy: []Code{InputLost},
			Text:     "The feed carries no clock (PCR) that could pace the output",
			Remedy:   "Check the feed, and input.pcr_pid if it is set. Without a clock the output follows arrival times, with more jitter."},
		{Code: InputUnprotected, Severity: Major, HoldOn: s, HoldOff: 5 * s,
			MaskedBy: []Code{InputLost},
			Text:     "Only one copy of the ST 2022-7 feed arrives",
			Remedy:   "Check the other copy's source, cable and group: the next loss on this one is seen by viewers."},

		// How long a picture or a sound must be wrong is the configuration's to say.
		{Code: PictureBlack, Severity: Major, HoldOff: 2 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir},
			Text:     "The picture is black",
			Remedy:   "Look at the source: a camera that is capped, a router on an empty input, a player at its end. Where black is wanted for longer, raise confidence.black_hold_ms."},
		{Code: PictureBars, Severity: Minor, HoldOff: 2 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir},
			Text:     "Colour bars in place of the picture",
			Remedy:   "Look at the source: somebody sends a test picture, or a device shows one because its own input is lost."},
		{Code: PictureFrozen, Severity: Major, HoldOff: 2 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir, PictureBlack, PictureBars},
			Text:     "The picture stands still",
			Remedy:   "Look at the source: a frame store that holds the last picture of a lost input, a paused player. Where stills are wanted, raise confidence.freeze_hold_ms."},
		{Code: SoundSilent, Severity: Major, HoldOff: 2 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir},
			Text:     "Silence in the sound",
			Remedy:   "Look at the source's sound: embedder, routing, muted channels. Channels are counted through all pairs. Where silence is wanted, raise confidence.silence_hold_ms or lower silence_dbfs."},
		{Code: SoundClipped, Severity: Minor, HoldOff: 10 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir},
			Text:     "The sound is clipped: samples stay at full scale",
			Remedy:   "Lower the level before this box; what is cut off cannot be repaired. Check that no device in between adds gain."},
		{Code: SoundPeak, Severity: Warning, HoldOff: 10 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir, SoundClipped},
			Text:     "The sound's true peak is too high",
			Remedy:   "Lower the level before this box, or put a true peak limiter there. confidence.true_peak_max_dbtp is the limit."},
		{Code: SoundLoudness, Severity: Warning, HoldOff: 5 * s,
			MaskedBy: []Code{EngineDown, InputLost, SlateOnAir, SoundSilent},
			Text:     "The loudness is not what it should be",
			Remedy:   "Correct the level at the source. confidence.loudness_target_lufs and loudness_tolerance_lu say what it should be."},
		{Code: ConfidenceBlind, Severity: Warning, HoldOn: 5 * s, HoldOff: 2 * s,
			MaskedBy: []Code{EngineDown, InputLost},
			Text:     "Picture and sound are not watched for the moment; the feed itself is not affected",
			Remedy:   "Its reason says why: quartet-engine or a package of GStreamer is missing, the feed is scrambled or of a codec without a decoder here, or the processor has no time left. If it is meant to be so, set confidence.enabled to false."},

		{Code: OutputTSErrors, Severity: Major, HoldOff: 8 * s,
			MaskedBy: []Code{InputLost},
			Text:     "What this box sends has errors that its feed does not have",
			Remedy:   "The fault is in this box: too little processor time, a feed faster than output.max_bitrate_kbps or with more jitter than input.jitter_ms, or a defect. Compare `quartetctl probe input` and `quartetctl probe output`; if the load is low, keep both and report it."},
		{Code: LegDown, Severity: Critical, HoldOn: 700 * time.Millisecond, HoldOff: 5 * s,
			Text:   "All paths of the leg are down: its region gets nothing from this box",
			Remedy: "Look at the paths below: what they share (network, firewall, region) is the likely cause."},
		{Code: LegUnprotected, Severity: Major, HoldOn: s, HoldOff: 5 * s,
			MaskedBy: []Code{LegDown},
			Text:     "One path alone carries the leg",
			Remedy:   "Bring the other path back: the next fault silences the leg."},
		{Code: PathDown, Severity: Major, HoldOn: 700 * time.Millisecond, HoldOff: 5 * s,
			Text:   "Not connected",
			Remedy: "Wrong passphrase or refused: compare passphrase and stream id with the far end. Timed out: check address, port, firewall and the allowlist of the far end. Name not found: check the URL and DNS."},
		{Code: PathPending, Severity: Major, HoldOn: s, HoldOff: s,
			MaskedBy: []Code{PathDown},
			Text:     "The path goes on with its settings of before: the new ones do not connect",
			Remedy:   "Correct the path's address, stream id or passphrase and reload. Until then the next disconnection silences the path."},
		{Code: PathUnreported, Severity: Major, HoldOn: 700 * time.Millisecond, HoldOff: 5 * s,
			MaskedBy: []Code{PathDown, PathKey, InputLost},
			Text:     "Connected, but the far end does not report that anything arrives",
			Remedy:   "Check that the far end is quartet-gateway with this contribution's key. For other receivers use profile ts."},
		{Code: PathMTU, Severity: Major, HoldOn: s, HoldOff: 5 * s,
			MaskedBy: []Code{PathDown},
			Text:     "Full packets do not get through",
			Remedy:   "Run `quartetctl preflight PATH` for the largest size, and lower output.ts_packets_per_message to what it says. Or raise the MTU of the tunnel on the way."},
		{Code: PathKey, Severity: Major, HoldOn: s, HoldOff: 5 * s,
			MaskedBy: []Code{PathDown},
			Text:     "The far end cannot authenticate this box's packets: contribution keys differ, or packets are altered on the way",
			Remedy:   "Compare output.key with the contribution's key at the gateway. During a rotation both ends must know both keys."},
		{Code: PathOverload, Severity: Major, HoldOn: s / 2, HoldOff: 5 * s,
			MaskedBy: []Code{PathDown},
			Text:     "The path carries less than the feed needs; packets are dropped before they are sent",
			Remedy:   "Lower the encoder's rate or overhead_percent, or get a faster line. The other paths are not affected."},
		{Code: RateReduced, Severity: Warning, HoldOn: s, HoldOff: s,
			Text:   "The encoder's rate is lowered to what the paths carry",
			Remedy: "The picture is coarser until they carry more; the rate rises by itself. If it stays, get faster lines, or lower encoder.bitrate_kbps to what they carry for good."},
		{Code: PathShed, Severity: Major, HoldOn: s, HoldOff: s,
			MaskedBy: []Code{PathDown},
			Text:     "The path is given nothing: it is too weak for the stream, and another of its leg carries it",
			Remedy:   "It is tried again by itself. If it stays, get a faster line, or lower encoder.bitrate_kbps."},
		{Code: PathBare, Severity: Warning, HoldOn: s, HoldOff: s,
			MaskedBy: []Code{PathDown, PathShed},
			Text:     "The path carries no parity: it is too weak for both",
			Remedy:   "It gets it again by itself. Other paths' parity, and retransmission, still repair."},
		{Code: PathLoss, Severity: Minor, Set: 1, Clear: 0.5, Unit: "%", HoldOn: s, HoldOff: 5 * s,
			MaskedBy: []Code{PathDown, PathUnreported, PathOverload, PathShed},
			Text:     "Packets of this path do not arrive and are repaired from elsewhere",
			Remedy:   "Nothing is lost while another path or the parity repairs it. If it stays, ask the network's operator; a higher latency_ms gives retransmission more tries."},
		{Code: PathRTT, Severity: Warning, HoldOn: 10 * s, HoldOff: 30 * s,
			MaskedBy: []Code{PathDown},
			Text:     "The round trip is longer than planned for; retransmissions come late",
			Remedy:   "Raise output.latency_ms, or set output.rtt_ms to what `quartetctl status` shows so that more parity is planned."},

		{Code: GatewayLossy, Severity: Critical, HoldOff: 5 * s,
			MaskedBy: []Code{InputLost},
			Text:     "The gateway lost packets that neither the other paths nor parity could repair",
			Remedy:   "Look at loss and round trip of its paths. If they fail together, separate their networks; else raise latency_ms or overhead_percent."},
		{Code: DigestMismatch, Severity: Critical, HoldOff: 30 * s,
			Text:   "What the gateway received is not what this box sent",
			Remedy: "Check that no second box sends with the same key. If there is none, something on the way alters packets: keep both logs and report it."},

		{Code: ContributionLost, Severity: Critical, HoldOff: 2 * s,
			Text:   "No stream of the contribution arrives",
			Remedy: "Check the box and its paths to this gateway: stream ids, passphrases, security group, key."},
		{Code: OutputFailed, Severity: Critical, HoldOn: s, HoldOff: 5 * s,
			Text:   "The output cannot send",
			Remedy: "Check the output's address, interface and route; for SRT the far end's passphrase and allowlist."},
		{Code: PeerDown, Severity: Major, HoldOn: s, HoldOff: 5 * s,
			Text:   "The peer gateway is not connected: each decodes only from its own streams",
			Remedy: "Check the peer's address, its listener's port in the security group, and that stream id and passphrase agree."},
	}
}
