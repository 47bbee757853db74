package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// Header is the header with the key of a request.
	Header = "Idempotency-Key"

	// ReplayedHeader is in an answer that was given before. The name is Stripe's.
	ReplayedHeader = "Idempotent-Replayed"

	// MaxKeyBytes is the longest key. It is the limit of an event's key, too.
	MaxKeyBytes = 255
)

// Caller is the API key of a request.
type Caller struct {
	ID       uuid.UUID         // in api_keys; zero: the bootstrap key
	Hash     [sha256.Size]byte // of its text
	TenantID string            // that it is bound to; "": none
}

// Request is a request with a key. A stored answer belongs to its API key: nobody else's request finds it.
type Request struct {
	// Isolation is its transaction's isolation level. "": the database's.
	Isolation pgx.TxIsoLevel

	caller Caller
	id     []byte // of its row
	asked  string // a hash of what it asks for

	tx      pgx.Tx // holds the row, and makes the change; nil: it has ended, or there was an answer
	free    func() // gives back the place of tx
	began   bool   // the handler has got as far as a change
	raced   bool   // another request was faster with what the change needs
	tenants []string
	note    []byte // of the first request, if this one is repeated and goes on with it
}

// Key returns a request's key, "" for none. What it may consist of is the same as for an event's. Returns a problem
// with the status 422.
func Key(h http.Header) (string, error) {
	values := h.Values(Header)
	if len(values) == 0 {
		return "", nil
	}

	key := values[0]
	var fault string
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case len(values) > 1:
		fault = "is given more than once"
	case key == "":
		fault = "is empty: give a key, or leave the header out"
	case len(key) > MaxKeyBytes:
		fault = fmt.Sprintf("is longer than %d bytes", MaxKeyBytes)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, control):
		fault = "must be UTF-8 without control characters"
	default:
		return key, nil
	}
	return "", problem.Invalid("header."+Header, fault)
}

// NewRequest returns a request with a key. What it asks for is its method, path, query and body, byte for byte.
func NewRequest(caller Caller, key string, r *http.Request, body []byte) *Request {
	id := hmac.New(sha256.New, caller.Hash[:])
	id.Write([]byte(key))

	asked := sha256.New()
	fmt.Fprintf(asked, "%s %s?%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	asked.Write(body)

	k := &Request{
		caller: caller, id: id.Sum(nil), asked: hex.EncodeToString(asked.Sum(nil)), tenants: []string{},
	}
	k.About(caller.TenantID)
	return k
}

// About notes a tenant whose objects the answer is about: it goes when that one's data is erased. "" is none.
func (r *Request) About(tenantID string) {
	if tenantID != "" && !slices.Contains(r.tenants, tenantID) {
		r.tenants = append(r.tenants, tenantID)
	}
}

// Open tells whether the request has its transaction, and so a place at the database.
func (r *Request) Open() bool { return r.tx != nil }

// Change makes a change in the request's transaction, which commits with the answer, once the handler has returned it.
// The change is undone if do returns an error; the answer to that may be stored nonetheless. If the error is that
// another request was faster, Once calls the handler again.
func (r *Request) Change(ctx context.Context, do func(pgx.Tx) error) error {
	if r.tx == nil {
		return errors.New("the transaction of an Idempotency-Key has ended")
	}
	r.began = true
	err := pgx.BeginFunc(ctx, r.tx, do)
	r.raced = isRace(err)
	return err
}

// isRace tells whether an error is that another transaction was faster, and that a new one would see what it did.
func isRace(err error) bool {
	code := sqlstate.Of(err)
	return code == sqlstate.UniqueViolation || code == sqlstate.SerializationFailure
}

// lasts tells whether an answer is stored: whatever came of the change, and no trouble that may have passed next time.
// What was refused before the change began is judged anew.
func (r *Request) lasts(status int) bool {
	success := status < http.StatusMultipleChoices
	return success || r.began && status < http.StatusInternalServerError && status != http.StatusTooManyRequests
}
