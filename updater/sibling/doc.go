// Package sibling is the lease between the two boxes of a pair: one of them
// may restart for an update only while it holds a lease that the other has
// granted, and the other grants it only while it streams itself and wants
// nothing of the kind.
//
// The rules, all of them in Pair:
//
//   - one lease at a time, in one direction: who has granted one does not ask,
//     who holds one does not grant;
//   - both ask at once: role A goes first;
//   - a lease ends by itself. Its holder counts from when it asked, its
//     grantor from when it granted, both by their monotonic clocks, so the
//     holder's end comes first whatever the network did and whatever the time
//     of day is set to;
//   - a grant is on the grantor's disk before it is told, and after a restart
//     of the grantor it holds for its whole length again. A holder that has
//     restarted counts its lease as ended, and asks again with the same id;
//   - no answer is no.
//
// The boxes speak HTTPS and know each other by the public keys of their
// certificates (Pin): no third party can vouch for anybody here.
package sibling
