// Package architecture holds the rules of this repository as tests: who may
// import whom, where C may be called, what every package must say of itself,
// where clocks, sleeps and goroutines are allowed, and that what the
// documents in docs/ show is what the programs accept and send.
//
// It has no code of its own. The tests read the source: `go list` for the
// imports, go/parser for the rest. A failure names the file and line and says
// what to do instead; where a rule is in the way of something better, change
// the rule here, in the same commit, and say why.
//
//	imports_test.go   directions between packages, cgo, GStreamer
//	code_test.go      init, sleeps, clocks, goroutines, fuzz targets, allocations
//	comments_test.go  package comments and doc comments
//	files_test.go     lengths, paths of somebody's machine
//	docs_test.go      examples, vectors and links in the documents
package architecture
