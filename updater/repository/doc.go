// Package repository writes what package trust reads: a TUF repository as a
// folder of static files, with its keys beside it. It is the home side of
// updates, used by quartetctl repo.
//
//	DIR/public/metadata/N.root.json  N.targets.json  N.snapshot.json  timestamp.json
//	DIR/public/targets/HASH.NAME     the bundles
//	DIR/keys/ROLE-N.pem              Ed25519, PKCS #8; root keys belong elsewhere
//	DIR/repository.json              rings and lifetimes
//
// Only DIR/public is to be served. A change writes new files first and
// timestamp.json last, in one step, so that a reader finds the old or the new
// repository. Before that last step the result is read back as a box would
// read it; what a box would refuse is not published.
package repository
