package rekey

import (
	"context"
	"fmt"
	"strings"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/signature"
)

// maxCount is how far the rows are counted that need a key, and how many of the oldest and newest stored answers are
// looked at.
const maxCount = 1000

// MissingKey is an encryption key that has sealed what is needed and is not in a keyring.
type MissingKey struct {
	// ID is the first 8 hex digits of the key's SHA-256, as the log has it at each start.
	ID string

	// Secrets is how many live secrets of endpoints it has sealed, Headers how many endpoints' secret headers, and Answers
	// how many stored answers: each counted up to 1,000.
	Secrets, Headers, Answers int64
}

// String names the key and who needs it.
func (k MissingKey) String() string {
	var parts []string
	for _, of := range []struct {
		n    int64
		what string
	}{{k.Secrets, "endpoint secrets"}, {k.Headers, "endpoints' secret headers"}, {k.Answers, "stored answers"}} {
		switch {
		case of.n >= maxCount:
			parts = append(parts, fmt.Sprintf("%d or more %s", maxCount, of.what))
		case of.n > 0:
			parts = append(parts, fmt.Sprintf("%d %s", of.n, of.what))
		}
	}

	return fmt.Sprintf("%s (%s)", k.ID, strings.Join(parts, ", "))
}

// MissingKeysError says which keys a keyring lacks. Nothing could be sent to the endpoints that need them.
type MissingKeysError struct {
	// Keys are the missing ones, by their ids.
	Keys []MissingKey
}

func (e *MissingKeysError) Error() string {
	names := make([]string, len(e.Keys))
	for i, k := range e.Keys {
		names[i] = k.String()
	}
	return "keys are missing that have sealed what is stored: " + strings.Join(names, "; ") +
		": add them again behind the first key (docs/security.md says what to do if one is lost)"
}

// Missing returns the keys that have sealed what is needed and are not in the keyring. It looks at the beginnings of
// indexes, however much is stored; of the stored answers, which have no index by key, at the oldest and the newest.
func Missing(ctx context.Context, q db.DBTX, keyring *signature.Keyring) ([]MissingKey, error) {
	rows, err := db.New().ListMissingKeys(ctx, q, idempotency.Kept.Seconds(), maxCount, keyring.KeyIDs())
	if err != nil {
		return nil, fmt.Errorf("looking for the keys that are needed: %w", err)
	}

	list := make([]MissingKey, len(rows))
	for i, row := range rows {
		list[i] = MissingKey{ID: row.KeyID, Secrets: row.Secrets, Headers: row.Headers, Answers: row.Answers}
	}
	return list, nil
}

// Check returns a MissingKeysError if keys are missing.
func Check(ctx context.Context, q db.DBTX, keyring *signature.Keyring) error {
	list, err := Missing(ctx, q, keyring)
	if err == nil && len(list) > 0 {
		err = &MissingKeysError{list}
	}
	return err
}
