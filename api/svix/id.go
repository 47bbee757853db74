package svix

import (
	"encoding/binary"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/base62"
)

// What ids begin with.
const (
	applicationPrefix = "app_"
	endpointPrefix    = "ep_"
	messagePrefix     = "msg_"
	attemptPrefix     = "atmpt_"
	taskPrefix        = "qtask_"
)

// idSize is that of the API's ids in bytes.
const idSize = 16

func encodeID(prefix string, raw []byte) string { return prefix + base62.Encode(raw) }

// decodeID reads what encodeID writes of so many bytes.
func decodeID(prefix, text string, size int) ([]byte, bool) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, false
	}
	return base62.Decode(digits, size)
}

// svixID writes an id of the API, a UUID.
func svixID(prefix, id string) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return id // the API has no other ids
	}
	return encodeID(prefix, parsed[:])
}

// parseID reads an id, also as the API writes it: people paste the header webhook-id.
func parseID(prefix, text string) (uuid.UUID, bool) {
	if raw, ok := decodeID(prefix, text, idSize); ok {
		return uuid.UUID(raw), true
	}
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == len(id.String())
}

// attemptSize is that of an attempt's id: the event's and the endpoint's, each of which tells the other, and the
// number.
const attemptSize = 20

// attemptID writes the id of a delivery's attempt. It is 27 digits, as Svix's are, and needs the event or the endpoint
// to be read, one of which each call has.
func attemptID(event, endpoint uuid.UUID, number int) string {
	raw := make([]byte, attemptSize)
	for i := range event {
		raw[i] = event[i] ^ endpoint[i]
	}
	binary.BigEndian.PutUint32(raw[len(event):], uint32(number)) //nolint:gosec // attempts count from 1
	return encodeID(attemptPrefix, raw)
}

// parseAttemptID returns the endpoint of an attempt of an event, or the event of an attempt at an endpoint.
func parseAttemptID(text string, one uuid.UUID) (other uuid.UUID, number int, ok bool) {
	raw, ok := decodeID(attemptPrefix, text, attemptSize)
	if !ok {
		return other, 0, false
	}
	for i := range one {
		other[i] = raw[i] ^ one[i]
	}
	return other, int(binary.BigEndian.Uint32(raw[len(one):])), true
}
