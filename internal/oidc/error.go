package oidc

import (
	"errors"
	"fmt"
	"regexp"
)

// Kinds of trouble, by what a person can do about it.
var (
	// ErrAway says that the provider could not be asked.
	ErrAway = errors.New("the identity provider can't be asked")

	// ErrOtherLogin says that what came back belongs to no login of this browser, or that it came before: begin again.
	ErrOtherLogin = errors.New("this login is not the browser's, too old, or used")

	// ErrInvalid says that the provider's answer proves nothing.
	ErrInvalid = errors.New("the identity provider's answer is not valid")
)

// Error is trouble of a kind.
type Error struct {
	Kind error
	text string // for the log
}

// address is a URL in a text of a library's.
var address = regexp.MustCompile(`https?:[^\s"]+`)

// trouble returns an error with what a library says, without addresses.
func trouble(kind, cause error) *Error {
	return &Error{kind, printable(address.ReplaceAllString(cause.Error(), "…"), maxText)}
}

// Error says what went wrong.
func (e *Error) Error() string { return e.Kind.Error() + ": " + e.text }

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// RefusedError is an error that the provider has sent the browser back with.
type RefusedError struct {
	Code        string // like access_denied; at most 64 bytes
	Description string // at most 200 bytes, and may be empty
}

// Error repeats what the provider says.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the identity provider refuses: %s (%s)", e.Code, e.Description)
}

// NoRoleError says that somebody is known, and in no group that has a role.
type NoRoleError struct {
	Name   string
	Claim  string
	Groups int // how many groups the claim has
}

// Error names nobody.
func (e *NoRoleError) Error() string {
	return fmt.Sprintf("no role for any of the %d groups in the claim %s", e.Groups, e.Claim)
}
