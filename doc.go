// Package outhook enqueues webhook events in the caller's own Postgres transaction.
//
// An event enqueued with [Enqueue] exists if and only if the transaction commits. The same commit holds one delivery
// for each subscribed endpoint and the job that will attempt it, so there is nothing to lose between your database and
// a queue:
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE invoices SET paid = true WHERE id = $1", id); err != nil {
//			return err
//		}
//		_, err := outhook.Enqueue(ctx, tx, outhook.Event{TenantID: "acme", Type: "invoice.paid", Payload: payload})
//		return err
//	})
//
// Ways to start:
//
//   - [Enqueue] and [EnqueueMany] take a [pgx.Tx].
//   - [EnqueueSQL] and [EnqueueManySQL] take a [sql.Tx] of any Postgres driver, or what sqlx, GORM, bun and ent have.
//   - Other languages call the SQL function outhook.enqueue in their transaction. It is what this package calls.
//
// [Define] ties an event type to the Go type of its payload, and an [Envelope] is a payload that names its type, so
// that a receiver finds it where it is signed. Package outhooktest tests code that enqueues.
//
// The database needs Outhook's schema (outhook migrate up) and the caller's role EXECUTE on the function (GRANT
// outhook_publisher TO …). The package has no state, starts nothing and connects to nothing.
//
// # What to know
//
// Delivery is at least once and in no order. A receiver sees the event's id in the header webhook-id, the same on every
// attempt.
//
// A savepoint that is rolled back takes the events enqueued after it along.
//
// Under READ COMMITTED an event waits for another transaction that has taken the same idempotency key and not committed
// yet. Under REPEATABLE READ and SERIALIZABLE such an event fails with SQLSTATE 40001: roll back and run the
// transaction again.
//
// Importing this package raises the importing module's requirements to what Outhook's go.mod lists, because client and
// server are one module; only pgx is linked. See docs/go-client.md.
package outhook
