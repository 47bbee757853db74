package main

import (
	"errors"
	"fmt"
	"net/http"
)

// Exit codes, which programs may rely on.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitKey         = 4
	exitNotFound    = 5
	exitConflict    = 6
)

// exitCodes is the part of --help that documents them.
const exitCodes = "Exit codes: 0 success; " +
	"1 it failed, or what was asked for does not hold (doctor, health, test, recover); " +
	"2 the command line, the environment or the request is invalid; 3 the server can't be reached or can't answer now; " +
	"4 the API key is missing, refused or not allowed to do this; 5 nothing has this id; 6 the state does not allow it."

// exitError ends the process with that code and without a message.
type exitError int

// Error says the code.
func (c exitError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is an error of the command line or the environment.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// unreachableError is an API that did not answer.
type unreachableError struct{ error }

// Unwrap returns the cause.
func (e unreachableError) Unwrap() error { return e.error }

// codeOf returns the exit code for the error of a command.
func codeOf(err error) int {
	var code exitError
	var usage usageError
	var unreachable unreachableError
	var key *keyError
	var refused *apiError

	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitUnavailable
	case errors.As(err, &key):
		return exitKey
	case errors.As(err, &refused):
		return refused.exitCode()
	}

	return exitFailed
}

// messageOf returns what to tell a person of an error, or "".
func messageOf(err error) string {
	var code exitError
	if err == nil || errors.As(err, &code) {
		return ""
	}
	return err.Error()
}

func (e *apiError) exitCode() int {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitKey
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return exitUsage
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnavailable
	}

	return exitFailed
}
