// Package network is the box's network and clock: what may be set, how
// systemd-networkd is told, what is there now, and the change that takes
// itself back unless it is confirmed. cmd/quartet-netd runs it as a small
// process with few rights; quartet-manage talks to that over a Unix socket.
//
// Reading order, which is also the way of a change:
//
//	settings.go  the document: Settings, Parse, Default
//	rules.go     what is wrong with one: field, value, remedy
//	render.go    Settings to files of systemd-networkd, hostname, time zone
//	keeper.go    commit-confirm: apply, confirm, revert, and every restart between
//	store.go     the confirmed settings and the trial on disk, power-cut safe
//	system.go    what Keeper needs of a system; linux.go the real one
//	state.go     what is there now: links, addresses, routes, leases, clock
//	protocol.go  requests over the socket; server.go and client.go its ends
//	serial.go    what a box is called that nobody provisioned
//	ports.go     which UDP ports a box document opens; firewall.go the ruleset
//
// Who keeps what: the settings lie on the configuration partition; the files
// that networkd reads lie in /run and are made from the settings at each start
// of quartet-netd. So the root file system stays read-only, a power cut cannot
// leave half of a change, and the media plane needs nothing of this package.
//
// The clock is a Now that the caller gives: time since the machine started,
// which no setting of the wall clock moves.
package network
