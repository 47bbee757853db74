package rekey

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/signature"
)

// begin begins each chunk. It gives up soon on a row that somebody holds: the chunk's others must not be held as long.
const begin = "BEGIN; SET LOCAL lock_timeout = 1000"

// Result is what Run has done.
type Result struct {
	// Secrets is how many signing secrets were sealed anew, and Headers how many endpoints' secret headers.
	Secrets int
	Headers int

	// Answers is how many stored answers were.
	Answers int

	// Unreadable counts what could not be decrypted and was left as it is, by the id of the key that sealed it.
	Unreadable map[string]int
}

// Run seals with the keyring's first key everything that another key has sealed: the endpoints' secrets, also
// those whose overlap has ended, their secret headers, and the answers that are stored for an Idempotency-Key. It
// commits every chunk rows, and begins where something is left to do, so it may be cut short and called again. Workers
// go on meanwhile: a row changes its key and what is sealed in one statement. Returns an error with the code
// [sqlstate.LockNotAvailable] if somebody holds a row for long.
//
// What a process with an older keyring stores during the call may be missed: call it again once all have the new one.
func Run(ctx context.Context, pool *pgxpool.Pool, keyring *signature.Keyring, chunk int32) (Result, error) {
	r := &rekeying{keyring: keyring, chunk: chunk, done: Result{Unreadable: map[string]int{}}, afterAnswer: []byte{}}

	for _, step := range []func(context.Context, pgx.Tx) (more bool, err error){r.secrets, r.headers, r.answers} {
		for more := true; more; {
			err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) (err error) {
				more, err = step(ctx, tx)
				return err
			})
			if err != nil {
				return r.done, fmt.Errorf("encrypting anew: %w", err)
			}
		}
	}
	return r.done, nil
}

// rekeying is one call of Run and how far it is.
type rekeying struct {
	keyring *signature.Keyring
	chunk   int32
	done    Result

	afterEndpoint uuid.UUID // of the secrets
	afterSecret   int64
	afterHeaders  uuid.UUID
	afterAnswer   []byte
}

// secrets seals the next chunk of secrets.
func (r *rekeying) secrets(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	rows, err := db.New().LockStaleSecrets(ctx, tx, db.LockStaleSecretsParams{
		KeyID: r.keyring.KeyID(), AfterEndpointID: r.afterEndpoint, AfterID: r.afterSecret, MaxRows: r.chunk,
	})
	if err != nil {
		return false, fmt.Errorf("reading secrets: %w", err)
	}

	for _, row := range rows {
		r.afterEndpoint, r.afterSecret = row.EndpointID, row.ID
		raw, err := r.keyring.Open(row.KeyID, row.Sealed, row.EndpointID[:])
		if err != nil {
			r.done.Unreadable[row.KeyID]++
			continue
		}

		keyID, sealed := r.keyring.Seal(raw, row.EndpointID[:])
		if err := db.New().ResealSecret(ctx, tx, db.ResealSecretParams{
			KeyID: keyID, Sealed: sealed, EndpointID: row.EndpointID, SecretID: row.ID,
		}); err != nil {
			return false, fmt.Errorf("storing a secret of endpoint %s: %w", row.EndpointID, err)
		}
		r.done.Secrets++
	}

	return len(rows) == int(r.chunk), nil
}

// answers seals the next chunk of stored answers.
func (r *rekeying) answers(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	rows, err := db.New().LockStaleAnswers(ctx, tx, r.keyring.KeyID(), r.afterAnswer, r.chunk)
	if err != nil {
		return false, fmt.Errorf("reading stored answers: %w", err)
	}

	for _, row := range rows {
		r.afterAnswer = row.ID
		plain, err := r.keyring.Open(row.KeyID, row.Sealed, row.ID)
		if err != nil {
			r.done.Unreadable[row.KeyID]++
			continue
		}

		keyID, sealed := r.keyring.Seal(plain, row.ID)
		if err := db.New().ResealAnswer(ctx, tx, keyID, sealed, row.ID); err != nil {
			return false, fmt.Errorf("storing a stored answer: %w", err)
		}
		r.done.Answers++
	}
	return len(rows) == int(r.chunk), nil
}

// headers seals the secret headers of the next chunk of endpoints that have any.
func (r *rekeying) headers(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	rows, err := db.New().LockSecretHeaders(ctx, tx, r.afterHeaders, r.chunk)
	if err != nil {
		return false, fmt.Errorf("reading secret headers: %w", err)
	}

	for _, row := range rows {
		r.afterHeaders = row.ID
		if err := r.endpointHeaders(ctx, tx, row); err != nil {
			return false, fmt.Errorf("endpoint %s: %w", row.ID, err)
		}
	}
	return len(rows) == int(r.chunk), nil
}

func (r *rekeying) endpointHeaders(ctx context.Context, tx pgx.Tx, row db.LockSecretHeadersRow) error {
	keyIDs, _, err := signature.HeaderKeys(row.SecretHeaders)
	if err != nil || slices.Equal(keyIDs, []string{r.keyring.KeyID()}) {
		return err
	}

	headers, err := r.keyring.OpenHeaders(row.SecretHeaders, row.ID[:])
	switch {
	case errors.Is(err, signature.ErrUnknownKey), errors.Is(err, signature.ErrDecrypt):
		r.done.Unreadable[keyIDs[0]]++
		return nil
	case err != nil:
		return err
	}

	stored, err := r.keyring.SealHeaders(headers, row.ID[:])
	if err != nil {
		return err
	}

	r.done.Headers++
	return db.New().SetSecretHeaders(ctx, tx, stored, row.ID)
}
