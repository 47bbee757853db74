package line

// keyBytes is the length of a line's key. River's own unique keys are twice as long.
const keyBytes = 16

// Key names a line: river_job.unique_key of its jobs, as outhook.line_key has it.
type Key string

// KeyOf returns the line that a job with this unique key is in, "" for none.
func KeyOf(uniqueKey []byte) Key {
	if len(uniqueKey) != keyBytes {
		return ""
	}
	return Key(uniqueKey)
}
