package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
)

const (
	// Kept is how long an answer is given again: Stripe's 24 hours.
	Kept = 24 * time.Hour

	// MaxAnswerBytes bounds the body of a stored answer: more than any of those that hold no payload has.
	MaxAnswerBytes = 1 << 20

	// maxRaces is how often a request is tried. Each try but the last means that another one has committed in between.
	maxRaces = 5
)

// Store keeps the answers, sealed with the keyring: they may hold secrets. The associated data is the row's id.
type Store struct {
	pool    *pgxpool.Pool
	keyring *signature.Keyring
}

// NewStore returns a store in a database with all migrations.
func NewStore(pool *pgxpool.Pool, keyring *signature.Keyring) *Store {
	return &Store{pool: pool, keyring: keyring}
}

// Once returns the answer to a request: the first one's if it is repeated, else that of handle, which is called with
// the request's transaction open. It is called again, in a new transaction, if another request was faster with what the
// change needs, or the transaction could not be serialized; only the last call's answer counts. place waits for a place
// at the database and returns what gives it back; none is kept while the request waits for another one with its key.
//
// Returns a problem with the status 409 if the key belongs to another request, or to one that is still under way after
// two seconds.
func (st *Store) Once(
	ctx context.Context, r *Request, place func(context.Context) (free func(), err error), handle func() *Answer,
) (a *Answer, repeated bool, err error) {
	for range maxRaces {
		a, repeated, err = st.try(ctx, r, place, handle)
		if !r.raced && !isRace(err) {
			break
		}
	}
	return a, repeated, err
}

// try is Once without another try.
func (st *Store) try(
	ctx context.Context, r *Request, place func(context.Context) (func(), error), handle func() *Answer,
) (a *Answer, repeated bool, err error) {
	r.began, r.raced, r.note = false, false, nil
	asked, first, err := st.claim(ctx, r, place)
	if err != nil {
		return nil, false, err
	}
	defer r.end(ctx)

	switch {
	case first == nil:
	case asked != r.asked:
		return nil, false, problem.New(problem.IdempotencyConflict, "this "+Header+" belongs to an earlier request with "+
			"another path, query or body: nothing was done; use a new key for a new request",
			problem.Detail{Location: "header." + Header, Message: "is in use for another request"})
	case first.Status != 0:
		return first, true, nil
	default:
		r.note = first.Body
	}

	a = handle()
	if r.tx != nil && !r.raced && r.lasts(a.Status) {
		err = st.keep(ctx, r, a)
	}
	return a, first != nil, err
}

// ChangeFirst is Request.Change for a handler that waits for what follows from the change before it answers, so the
// change commits first. note, a pointer, is what the handler goes on with. It is stored in the place of an answer, and
// whoever repeats the request goes on with it, too: do is not called then, and note is what it was.
func (st *Store) ChangeFirst(ctx context.Context, r *Request, note any, do func(pgx.Tx) error) error {
	if r.note != nil {
		if err := json.Unmarshal(r.note, note); err != nil {
			return fmt.Errorf("reading the note of a request: %w", err)
		}
		return nil
	}

	if err := r.Change(ctx, do); err != nil {
		return err
	}
	body, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("writing the note of a request: %w", err)
	}
	return st.keep(ctx, r, &Answer{Body: body})
}

// keep stores an answer and commits it with the change.
func (st *Store) keep(ctx context.Context, r *Request, a *Answer) error {
	if !r.began {
		return errors.New("a handler that takes an Idempotency-Key has made its change elsewhere")
	}
	if len(a.Body) > MaxAnswerBytes {
		return problem.New(problem.AnswerTooLarge, fmt.Sprintf("the answer has more than %d bytes, which is too "+
			"much to store for an %s: nothing was done; ask for less at a time", MaxAnswerBytes, Header))
	}

	plain, err := encode(r.asked, a)
	if err != nil {
		return err
	}
	keyID, sealed := st.keyring.Seal(plain, r.id)
	err = db.New().StoreAnswer(ctx, r.tx, db.StoreAnswerParams{
		ID: r.id, TenantIds: r.tenants, KeyID: keyID, Sealed: sealed,
	})
	if err != nil {
		return fmt.Errorf("storing an answer: %w", err)
	}

	tx := r.tx
	r.tx = nil
	defer r.free()
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("committing a change with its answer: %w", err)
	}
	return nil
}

func (st *Store) open(row db.GetStoredAnswerRow, id []byte) (asked string, a *Answer, err error) {
	plain, err := st.keyring.Open(row.KeyID, row.Sealed, id)
	if err != nil {
		return "", nil, fmt.Errorf("decrypting a stored answer: %w", err)
	}
	return decode(plain)
}
