package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/outhook/outhook/api/client"
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
	"1 it failed, or what was asked for does not hold (doctor, health, test, recover, migrate); " +
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

// codeOf returns the exit code for the error of a command.
func codeOf(err error) int {
	var code exitError
	var usage usageError
	var key *keyError
	var refused *client.Error
	var strange *client.NotOuthookError
	var silent *client.NoAnswerError

	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &key):
		return exitKey
	case errors.As(err, &refused):
		return codeOfStatus(refused.Status)
	case errors.As(err, &strange):
		return codeOfStatus(strange.Status)
	case errors.As(err, &silent):
		return exitUnavailable
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

// codeOfStatus returns the exit code for an answer that is an error. What is a success is none if it is not Outhook's.
func codeOfStatus(status int) int {
	switch status {
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
	if status/100 == 2 {
		return exitUnavailable
	}

	return exitFailed
}
