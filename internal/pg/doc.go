// Package pg is how we use Postgres beyond what pgx does: transactions and pools whose plans look rows up by their
// keys (pg.go, pool.go), statements for one day (day.go), connections beside a pool (side.go), the check that a pooler
// keeps sessions (session.go), and the times that are in ids (id.go).
package pg
