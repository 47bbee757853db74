package batch

import (
	"context"
	"errors"
	"fmt"
)

// Sentinel errors of Do. A call that got ErrFull or ErrClosed never ran.
var (
	// ErrFull says that Config.MaxWaiting calls wait already.
	ErrFull = errors.New("batch: too many calls waiting")

	// ErrClosed says that Close was called before the call came, or that Close
	// gave up while it waited.
	ErrClosed = errors.New("batch: group closed")

	// ErrInFlight says that the outcome of a call is unknown: its group was
	// running when a context ended, the caller's or that of run. It always wraps
	// the context's error too, and a context's error without ErrInFlight always
	// means that the call never ran.
	ErrInFlight = errors.New("batch: call is in flight, its outcome is unknown")

	errExited = errors.New("batch: run ended its goroutine")
)

// PanicError is the error of all calls of a group whose run panicked. It does
// not unwrap to Value, so that a panic is never taken for the error it was
// raised with.
type PanicError struct {
	// Value is what run panicked with.
	Value any

	// Stack is the goroutine's stack at the panic, as debug.Stack prints it.
	Stack []byte
}

// Error returns the panic's value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("batch: run panicked: %v", e.Value) }

// inFlight marks the error of a context that ended while a group was running.
func inFlight(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrInFlight, err)
	}
	return err
}
