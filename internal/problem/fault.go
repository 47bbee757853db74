package problem

import "regexp"

// MaxDetails bounds an answer to a request that is wrong in very many places.
const MaxDetails = 20

// plainLocation is what a location may repeat of a request: names as they are in use, and nothing long.
var plainLocation = regexp.MustCompile(`^(body|path|query|header)(\.[A-Za-z0-9_-]{1,64}|\[[0-9]{1,6}\])*$`)

// IsPlain tells whether a location may be told: it consists of plain names, which repeat no input.
func IsPlain(location string) bool { return plainLocation.MatchString(location) }

// Faults collects what is wrong with a body, at most [MaxDetails] places of it. The zero value holds none.
type Faults []Detail

// Add notes a fault.
func (f *Faults) Add(location, message string) {
	if len(*f) < MaxDetails {
		*f = append(*f, Detail{Location: location, Message: message})
	}
}

// Problem returns an *[Error] with all faults, or nil if there are none.
func (f *Faults) Problem(code Code) error {
	if len(*f) == 0 {
		return nil
	}
	return New(code, InvalidText, *f...)
}
