package pg

import (
	"time"

	"github.com/google/uuid"
)

// IDTime returns the time inside a UUIDv7, to the millisecond (RFC 9562, section 5.7).
func IDTime(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms)
}

// FloorID returns the smallest id of a moment, as outhook.uuid_v7_floor does; at must be a whole millisecond.
func FloorID(at time.Time) (id uuid.UUID) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // the byte is what is wanted
	}
	id[6] = 0x70 // version 7
	return id
}
