package outhooktest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// DeliverWithin is Deliver with another limit.
func DeliverWithin(t testing.TB, pool *pgxpool.Pool, limit time.Duration) []Attempt {
	t.Helper()
	return deliver(t, pool, limit)
}
