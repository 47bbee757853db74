// Package cursor writes and reads the cursors of lists: what they belong to, and a position, in text that is not meant
// to be read.
//
// Begin with [Of]. A cursor is good for the list that it was made for, with the same order and filters, and for no
// other. A position is one or two ids; [Pack] puts a time into the form of one.
package cursor

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrMalformed is what Decode returns for a text that is no cursor.
	ErrMalformed = errors.New("is not a next_cursor of this list")

	// ErrOtherList is what Decode returns for a cursor of another list.
	ErrOtherList = errors.New("is a next_cursor of another list: give it back with the same order and filters")
)

// tagSize is the size in bytes of what a cursor says of its list.
const tagSize = 8

// List is what cursors belong to: the list, its order and its filters.
type List [tagSize]byte

// Of returns the list at a path with a query, of which limit and cursor do not count. order is the list's, also if it
// is the default.
func Of(path string, query url.Values, order string) List {
	same := url.Values{}
	maps.Copy(same, query)
	same.Del("limit")
	same.Del("cursor")
	same.Set("order", order)

	sum := sha256.Sum256([]byte(path + "?" + same.Encode()))
	return List(sum[:tagSize])
}

// Encode returns the cursor of the page that begins after a position.
func (l List) Encode(position ...uuid.UUID) string {
	raw := slices.Clone(l[:])
	for _, id := range position {
		raw = append(raw, id[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Decode returns the n ids of a cursor. Returns ErrMalformed or ErrOtherList.
func (l List) Decode(text string, n int) ([]uuid.UUID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	size := tagSize + n*len(uuid.UUID{})
	if err != nil || len(raw) != size || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, ErrMalformed
	}
	if !bytes.Equal(raw[:tagSize], l[:]) {
		return nil, ErrOtherList
	}

	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.UUID(raw[tagSize+i*len(uuid.UUID{}):])
	}
	return ids, nil
}

// Pack puts a time, to the microsecond, and a number into the form of an id.
func Pack(at time.Time, number int32) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMicro()))
	binary.BigEndian.PutUint32(id[8:], uint32(number)) //nolint:gosec // as it comes back
	return id
}

// Unpack returns what Pack has put into an id.
func Unpack(id uuid.UUID) (at time.Time, number int32) {
	at = time.UnixMicro(int64(binary.BigEndian.Uint64(id[:]))) //nolint:gosec // as it was put in
	return at, int32(binary.BigEndian.Uint32(id[8:]))          //nolint:gosec // as it was put in
}
