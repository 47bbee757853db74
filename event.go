package outhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/jsondepth"
)

// Limits of an event. The SQL function has the same.
const (
	// MaxPayloadBytes is the largest payload in bytes. Standard Webhooks advises to stay below about 20,000 and to send
	// links to large data.
	MaxPayloadBytes = 262_144

	// MaxDepth is how many levels of objects and arrays a payload may nest. Receivers' parsers have limits too; 512 is
	// the smallest that is common (PHP).
	MaxDepth = 512

	// MaxLabels is the most labels of an event.
	MaxLabels = 10

	// MaxHeaderBytes bounds an event's headers, as the bytes of their JSON object.
	MaxHeaderBytes = 2048

	// MaxDelay is how far ahead Event.DeliverAt may be.
	MaxDelay = 30 * 24 * time.Hour

	// maxLabelBytes bounds a label.
	maxLabelBytes = 64

	// maxNameBytes bounds tenant ids, event types and idempotency and ordering keys.
	maxNameBytes = 255

	// reservedPrefix begins the event types of Outhook itself.
	reservedPrefix = "outhook."

	// reservedTenant gets operational events, and nobody else's.
	reservedTenant = "outhook.operator"
)

var (
	// ErrInvalidEvent is wrapped by the error of every event that breaks a rule. If the error came before any SQL, which
	// it does for everything that [Event.Validate] checks, the transaction is still usable.
	ErrInvalidEvent = errors.New("invalid event")

	// ErrPayloadTooLarge is wrapped, beside ErrInvalidEvent, by the error of an event whose payload is larger than
	// MaxPayloadBytes.
	ErrPayloadTooLarge = errors.New("payload too large")

	// ErrConflict is wrapped by the error of an event whose idempotency key belongs to an event of another type or
	// payload. The transaction is still usable; the error is a [*ConflictError].
	ErrConflict = errors.New("idempotency key conflict")
)

// Event is one fact to tell a tenant's endpoints.
type Event struct {
	// TenantID is the customer whose endpoints get the event: 1 to 255 bytes of UTF-8 without control characters. It is
	// a label of yours; a tenant without endpoints is not an error.
	TenantID string

	// Type is a dotted name like invoice.paid: letters, digits and _, at most 255 bytes. Names that begin with "outhook."
	// are reserved.
	Type string

	// Payload is any JSON value, at most MaxPayloadBytes. Exactly these bytes are stored, signed and sent.
	Payload json.RawMessage

	// IdempotencyKey makes enqueuing repeatable: a second event of a tenant with the same key, type and payload, byte for
	// byte, is a duplicate of the first and is not stored; with another type or payload it is an ErrConflict. So it names
	// the change ("payment-8812", not "invoice-17-paid", which may happen twice), or is left out. It is kept as long as
	// events. At most 255 bytes of UTF-8 without control characters; "" means none.
	IdempotencyKey string

	// Labels are those by which endpoints with labels choose: such a one gets the events that have one of its labels; one
	// without gets all. At most MaxLabels names of letters, digits and _ . : -, each of at most 64 bytes. Defaults to
	// none.
	Labels []string

	// Headers are sent with each request, to all endpoints, beside those that the signature is in: they are not signed.
	// Names are in lower case and begin with x-, or are baggage or tracestate; those by which proxies tell of clients and
	// paths (x-forwarded-for) are not allowed. Values are visible ASCII. At most MaxHeaderBytes as JSON. An endpoint's own
	// header of the same name goes first. Defaults to none.
	Headers map[string]string

	// DeliverAt is when the event is to be delivered: its first attempt leaves at this time, within seconds. Endpoints are
	// chosen when it is enqueued, and it can be cancelled until then. At most MaxDelay ahead; a time that is past is at
	// once. The database keeps microseconds. Defaults to the zero time, at once.
	DeliverAt time.Time

	// OrderingKey puts the event in order with others of its tenant that have the same one: each endpoint gets them in the
	// order in which their transactions commit, one at a time, the next when the one before has ended. So it names what
	// changes ("order-7"). Until tx ends, whoever else enqueues with it waits: enqueue late in a transaction, and where
	// two keys are needed, both in one EnqueueMany. At most 255 bytes of UTF-8 without control characters. "": none.
	OrderingKey string

	// Traceparent is the trace that the event belongs to, in the form of the header of W3C Trace Context, version 00:
	// its attempts continue the trace, and its receivers get it. A value of any other form is ignored, so that a broken
	// tracer aborts nobody's transaction.
	//
	// Defaults to that of the context (see [ContextWithTraceparent]), and without one to none.
	Traceparent string
}

// Result is what became of an event. It is true once the transaction commits.
type Result struct {
	// ID is the event's id, a UUIDv7 in its usual text form: the receiver's webhook-id. For a duplicate it is the id of
	// the first event.
	ID string

	// CreatedAt is the time inside the id, on the database's clock.
	CreatedAt time.Time

	// Duplicate says that the idempotency key was taken, so nothing was stored. Without Conflict that is no error.
	Duplicate bool

	// Conflict says that the event has another type or payload than the first one with its key. It came with an
	// ErrConflict.
	Conflict bool

	// DeliveryCount is how many endpoints the event goes to. 0: nobody is subscribed.
	DeliveryCount int
}

// InvalidEventError says which field of an event breaks which rule. It never holds a value.
type InvalidEventError struct {
	// Index is the event's position in the call, from 0.
	Index int

	// Field is tenant_id, type, payload, idempotency_key, labels, headers, deliver_at or ordering_key.
	Field string

	// Problem says what is wrong and what to do.
	Problem string

	tooLarge bool
}

// Error names the event, the field and the problem.
func (e *InvalidEventError) Error() string {
	return fmt.Sprintf("event %d: %s %s", e.Index, e.Field, e.Problem)
}

// Is makes every InvalidEventError an ErrInvalidEvent, and one about size an ErrPayloadTooLarge as well.
func (e *InvalidEventError) Is(target error) bool {
	return target == ErrInvalidEvent || e.tooLarge && target == ErrPayloadTooLarge
}

// ConflictError says which event of a call has a key that belongs to another one, and to which. It never holds a value.
type ConflictError struct {
	// Index is the event's position in the call, from 0: the first one, if there are several.
	Index int

	// FirstID is the id of the event that the key belongs to.
	FirstID string
}

// Error names both events and says what to do.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("event %d: its idempotency key belongs to event %s, which has another type or payload; "+
		"a key names one change: make it of the id of the change, or leave it out", e.Index, e.FirstID)
}

// Is makes every ConflictError an ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Validate returns an *InvalidEventError if the event breaks a rule. Enqueue calls it before any SQL, and the SQL
// function checks the same.
func (e Event) Validate() error {
	for _, check := range []*InvalidEventError{
		checkTenant(e.TenantID), checkType(e.Type), checkPayload(e.Payload), checkKey("idempotency_key", e.IdempotencyKey),
		checkLabels(e.Labels), checkHeaders(e.Headers), checkDeliverAt(e.DeliverAt), checkKey("ordering_key", e.OrderingKey),
	} {
		if check != nil {
			return check
		}
	}
	return nil
}

func invalid(field, problem string) *InvalidEventError {
	return &InvalidEventError{Field: field, Problem: problem}
}

func checkName(field, s string) *InvalidEventError {
	switch {
	case s == "":
		return invalid(field, "is empty; give the label of the customer")
	case len(s) > maxNameBytes:
		return invalid(field, "is longer than 255 bytes")
	case !utf8.ValidString(s):
		return invalid(field, "is not valid UTF-8")
	case strings.ContainsFunc(s, isControl):
		return invalid(field, "contains a control character")
	}
	return nil
}

func checkTenant(s string) *InvalidEventError {
	if s == reservedTenant {
		return invalid("tenant_id", "is outhook.operator, which is reserved for operational events")
	}
	return checkName("tenant_id", s)
}

func checkKey(field, s string) *InvalidEventError {
	if s == "" {
		return nil
	}
	return checkName(field, s)
}

// isControl matches what the SQL function refuses: the control characters of ASCII.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func checkType(s string) *InvalidEventError {
	switch {
	case !isDotted(s):
		return invalid("type", "must be names of letters, digits and _ joined by dots, like invoice.paid")
	case len(s) > maxNameBytes:
		return invalid("type", "is longer than 255 bytes")
	case strings.HasPrefix(s, reservedPrefix):
		return invalid("type", "begins with outhook., which is reserved")
	}
	return nil
}

func isDotted(s string) bool {
	dot := true // at the beginning a dot is as wrong as after another
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
		case c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			dot = false
		default:
			return false
		}
	}

	return !dot
}

func checkPayload(p json.RawMessage) *InvalidEventError {
	switch {
	case len(p) == 0:
		return invalid("payload", "is missing; JSON null is the text null")
	case len(p) > MaxPayloadBytes:
		e := invalid("payload", "is larger than 262144 bytes; send a link to large data instead")
		e.tooLarge = true
		return e

	case !utf8.Valid(p):
		return invalid("payload", "is not valid UTF-8")
	case jsondepth.Of(p) > MaxDepth:
		return invalid("payload", "nests deeper than 512 levels")
	case !json.Valid(p):
		return invalid("payload", "is not valid JSON")
	}
	return nil
}
