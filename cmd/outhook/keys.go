package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/db"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key and print it; it is not shown again."`
	List   keysListCmd   `cmd:"" help:"List the keys, without the keys themselves."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key; it stops working at once."`
}

type keysCreateCmd struct {
	databaseFlags

	Name string `arg:"" help:"What the key is for."`
}

// Run creates a key. The key goes to stdout alone, so that a script can take it.
func (k keysCreateCmd) Run(c *command) error {
	if strings.TrimSpace(k.Name) == "" || len(k.Name) > 255 {
		return errors.New("the name must have 1 to 255 bytes")
	}
	return k.with(c, func(pool *pgxpool.Pool) error {
		key, hash := api.NewAPIKey()
		row, err := db.New().InsertAPIKey(c.ctx, pool, k.Name, hash)
		if err != nil {
			return fmt.Errorf("storing the key: %w", err)
		}
		_, _ = fmt.Fprintf(c.stderr, "created key %s; keep it, it is not shown again:\n", row.ID)
		c.printf("%s\n", key)
		return nil
	})
}

type keysListCmd struct{ databaseFlags }

// Run lists the keys, oldest first.
func (k keysListCmd) Run(c *command) error {
	return k.with(c, func(pool *pgxpool.Pool) error {
		keys, err := db.New().ListAPIKeys(c.ctx, pool)
		if err != nil {
			return fmt.Errorf("listing keys: %w", err)
		}
		c.printf("%-36s  %-20s  %-20s  %-20s  %s\n", "ID", "CREATED", "LAST USED", "REVOKED", "NAME")
		for _, key := range keys {
			c.printf("%-36s  %-20s  %-20s  %-20s  %s\n", key.ID, key.CreatedAt.UTC().Format(time.RFC3339),
				timeOrDash(key.LastUsedAt), timeOrDash(key.RevokedAt), key.Name)
		}
		return nil
	})
}

func timeOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type keysRevokeCmd struct {
	databaseFlags

	ID string `arg:"" help:"The key's id, as keys list shows it."`
}

// Run revokes a key.
func (k keysRevokeCmd) Run(c *command) error {
	id, err := uuid.Parse(k.ID)
	if err != nil {
		return errors.New("the id must be a UUID, as `outhook keys list` shows it")
	}
	return k.with(c, func(pool *pgxpool.Pool) error {
		n, err := db.New().RevokeAPIKey(c.ctx, pool, id)
		if err != nil {
			return fmt.Errorf("revoking key %s: %w", id, err)
		}
		if n == 0 {
			return fmt.Errorf("there is no live key %s", id)
		}
		c.printf("revoked %s\n", id)
		return nil
	})
}
