package config

import "fmt"

// What other packages of the box need to report issues of their own documents
// in the same words.

// Add appends an issue about a field; value and problem make a sentence, as in
// "90000 is out of range".
func (is *Issues) Add(path, value, problem, remedy string) {
	is.add(path, clip(value), problem, remedy)
}

// Addf is Add with a quoted value and a formatted problem.
func (is *Issues) Addf(path, value, remedy, problem string, args ...any) {
	is.add(path, fmt.Sprintf("%q", clip(value)), fmt.Sprintf(problem, args...), remedy)
}

// Err returns the list as an error, and nil if it is empty.
func (is Issues) Err() error { return is.err() }
