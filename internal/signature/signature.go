// Package signature holds endpoint secrets, signs and verifies webhooks as Standard Webhooks 1.0.0 says, and encrypts
// secrets at rest. It is pure: no clock, no network, no database.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Names of the headers that every webhook carries (Standard Webhooks 1.0.0, "Webhook Headers").
const (
	// HeaderID names the header that holds the event's id, the same on every attempt: the receiver's idempotency key.
	HeaderID = "webhook-id"
	// HeaderTimestamp names the header that holds the time of the attempt in Unix seconds.
	HeaderTimestamp = "webhook-timestamp"
	// HeaderSignature names the header that holds the signatures, see [Sign].
	HeaderSignature = "webhook-signature"
)

var (
	// ErrNoSecret is returned when there is no secret to sign or verify with.
	ErrNoSecret = errors.New("no secret given")
	// ErrInvalidID is returned for an id that would make the signed content ambiguous or can't stand in a header: it
	// must be 1 to 256 bytes of printable ASCII without space and full stop.
	ErrInvalidID = errors.New("invalid webhook-id: use 1 to 256 printable ASCII characters without spaces and full stops")
	// ErrMissingHeader is returned by [Verify] when one of the three headers is missing; the error names it.
	ErrMissingHeader = errors.New("missing header")
	// ErrTimestampOutside is returned by [Verify] when the timestamp is not within the tolerance, or is not Unix
	// seconds in decimal.
	ErrTimestampOutside = errors.New("timestamp outside the tolerance")
	// ErrNoMatch is returned by [Verify] when no signature was made with any of the secrets.
	ErrNoMatch = errors.New("no matching signature")
)

// maxIDBytes leaves room for any id in use (ours are UUIDs, 36 bytes) and keeps the header small.
const maxIDBytes = 256

// Sign returns the value of the webhook-signature header: for each secret, in the order given (the newest first),
// "v1," and the padded base64 of HMAC-SHA256 over "{id}.{at in Unix seconds}.{payload}", separated by one space.
// During a rotation both the new and the old secret sign.
//
// Returns ErrNoSecret, ErrInvalidSecret for a zero Secret, or ErrInvalidID.
func Sign(secrets []Secret, id string, at time.Time, payload []byte) (string, error) {
	if len(secrets) == 0 {
		return "", ErrNoSecret
	}
	if !validID(id) {
		return "", ErrInvalidID
	}

	// Written into the hash part by part: the payload is neither copied nor formatted.
	before := append(strconv.AppendInt([]byte(id+"."), at.Unix(), 10), '.')

	value := make([]byte, 0, len(secrets)*(len(" v1,")+base64.StdEncoding.EncodedLen(sha256.Size)))
	for i, s := range secrets {
		if s.key == nil {
			return "", ErrInvalidSecret
		}

		mac := hmac.New(sha256.New, s.key())
		mac.Write(before)
		mac.Write(payload)
		if i > 0 {
			value = append(value, ' ')
		}
		value = base64.StdEncoding.AppendEncode(append(value, "v1,"...), mac.Sum(nil))
	}
	return string(value), nil
}

// validID refuses the full stop because it separates the parts of the signed content: "a.1" + "2" and "a" + "1.2"
// would share a signature (Standard Webhooks 1.0.0, "Signature scheme").
func validID(id string) bool {
	if id == "" || len(id) > maxIDBytes {
		return false
	}

	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return true
}

// Verify reports whether one of the secrets made one of the signatures of a webhook, in constant time for each, and
// whether its timestamp is at most tolerance away from now (5 minutes in Standard Webhooks' libraries). Signatures of
// other versions than v1 are skipped. A timestamp must be written as [Sign]'s callers write it: no sign, no
// leading zero.
//
// Returns ErrMissingHeader, ErrTimestampOutside, ErrNoMatch, or what [Sign] returns.
func Verify(secrets []Secret, header http.Header, payload []byte, now time.Time, tolerance time.Duration) error {
	for _, name := range []string{HeaderID, HeaderTimestamp, HeaderSignature} {
		if header.Get(name) == "" {
			return fmt.Errorf("%w: %s", ErrMissingHeader, name)
		}
	}

	at, err := parseTimestamp(header.Get(HeaderTimestamp))
	if err != nil {
		return err
	}
	if away := now.Sub(at).Abs(); away > tolerance {
		return fmt.Errorf("%w: %v away, %v allowed", ErrTimestampOutside, away.Round(time.Second), tolerance)
	}

	expected, err := Sign(secrets, header.Get(HeaderID), at, payload)
	if err != nil {
		return err
	}
	if !anyEqual(header.Get(HeaderSignature), expected) {
		return ErrNoMatch
	}
	return nil
}

func parseTimestamp(s string) (time.Time, error) {
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != s {
		return time.Time{}, fmt.Errorf("%w: not written as Unix seconds", ErrTimestampOutside)
	}
	return time.Unix(seconds, 0), nil
}

// anyEqual reports whether the two space-delimited lists share a signature.
func anyEqual(given, expected string) bool {
	for g := range strings.SplitSeq(given, " ") {
		for e := range strings.SplitSeq(expected, " ") {
			if hmac.Equal([]byte(g), []byte(e)) {
				return true
			}
		}
	}
	return false
}
