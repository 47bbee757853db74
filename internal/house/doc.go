// Package house holds the tests of how the code is laid out and how it reads, and no code: CONTRIBUTING.md says the
// rules.
package house
