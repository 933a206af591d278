// Package adapt decides how fast an encoder may go and what each path carries,
// from what the paths tell of themselves. It is pure logic: a sample of all
// paths and the instant come in, a decision comes out, and every change of it is
// an event. docs/encoding.md says what it does in words; here is how.
//
// A path's capacity is what it has just shown to carry while it was strained:
// what it sends, retransmissions included, less what the far end misses. While it
// is not strained, it is known to carry what it carries, and no more is known.
//
// In reading order: adapt.go (Adapter.Look: from strain to decision, down and
// up), path.go (one path's strain and capacity).
package adapt
