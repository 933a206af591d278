// Package rauc talks to RAUC, which owns the slots, the bundles' signatures
// and the boot loader's choice. It is spoken to over D-Bus
// (de.pengutronix.rauc.Installer, RAUC 1.8 and later; the manifest's hash is
// required where RAUC knows how, from 1.15 on).
//
// Client does one thing at a time and blocks. What RAUC answers in its own
// words becomes an *Error with words for an operator. ReadManifest reads the
// manifest of a bundle without RAUC and without checking its signature.
package rauc
