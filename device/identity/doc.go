// Package identity is who the box is, and how others can tell: its serial
// number and claim code, the keys and certificates with which it speaks to its
// page's visitors and to home, and the time it may rely on.
//
//	provision.v1.json  serial, hash of the claim code; written once, in production
//	identity.v1.json   device key and page key (sealed), certificates, where to renew
//	clock.v1.json      the last time that was certain
//
//	device key ─ CSR ─▶ a CA, through the page or by EST ─ Install ─▶ HomeTLS (telemetry)
//	page key ─▶ self-signed certificate, renewed by itself ─▶ PageTLS
//	seal.Destroy ─▶ everything else is wiped: FactoryReset
//
// The device key is made on the box and leaves it never; what others get is a
// request signed by it. A certificate is taken only if it is for that key.
//
// Before the clock is set, "now" is the latest time that is certain to be past
// (Clock): no certificate is believed to be valid because the box woke up in
// 1970.
//
// Knows nothing of HTTP handlers, users and telemetry's records; of HTTP it has
// the EST client. Files go through device/durable, secrets through device/seal.
package identity
