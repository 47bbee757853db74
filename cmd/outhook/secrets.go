package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/rekey"
)

// reencryptChunk is how many rows are encrypted anew in one transaction, which locks them for milliseconds.
const reencryptChunk = 500

type secretsCmd struct {
	Reencrypt secretsReencryptCmd `cmd:"" help:"Encrypt endpoint secrets and secret headers with the first key of OUTHOOK_ENCRYPTION_KEY, so that the others can be removed."`
}

type secretsReencryptCmd struct {
	databaseFlags

	EncryptionKey string `env:"OUTHOOK_ENCRYPTION_KEY" secret:"" help:"The keys with commas: the first encrypts, all decrypt."`
}

// Run encrypts anew what another key than the first has encrypted; it exits 1 if something could not be decrypted.
func (s secretsReencryptCmd) Run(c *command) error {
	if s.EncryptionKey == "" {
		return errors.New("OUTHOOK_ENCRYPTION_KEY is not set")
	}

	keyring, err := signature.ParseKeyring(s.EncryptionKey)
	if err != nil {
		return fmt.Errorf("OUTHOOK_ENCRYPTION_KEY: %w", err)
	}

	return s.with(c, func(pool *pgxpool.Pool) error {
		if err := auditUpkeep(c.ctx, pool, "reencrypt-secrets", map[string]any{"key_id": keyring.KeyID()}); err != nil {
			return err
		}

		done, err := rekey.Run(c.ctx, pool, keyring, reencryptChunk)
		c.printf("encrypted %d secrets and the secret headers of %d endpoints, and %d stored answers, with the key %s\n",
			done.Secrets, done.Headers, done.Answers, keyring.KeyID())
		if err != nil {
			return err
		}

		for _, keyID := range slices.Sorted(maps.Keys(done.Unreadable)) {
			c.printf("left %d that the key %s has encrypted: it is not in OUTHOOK_ENCRYPTION_KEY, or they were changed\n",
				done.Unreadable[keyID], keyID)
		}

		if len(done.Unreadable) > 0 {
			return exitError(1)
		}
		return nil
	})
}
