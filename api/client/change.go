package client

import "encoding/json"

// Change is a member of a body that changes an object: one that is not given stays as it is.
type Change[T any] struct {
	value *T
	given bool
}

// Set sets a member to a value.
func Set[T any](v T) Change[T] { return Change[T]{value: &v, given: true} }

// Reset sets a member to null: back to its default.
func Reset[T any]() Change[T] { return Change[T]{given: true} }

// IsZero tells encoding/json whether to leave the member out.
func (c Change[T]) IsZero() bool { return !c.given }

// MarshalJSON encodes the value, or null.
func (c Change[T]) MarshalJSON() ([]byte, error) { return json.Marshal(c.value) }
