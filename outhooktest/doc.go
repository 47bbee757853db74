// Package outhooktest tests code that enqueues events.
//
// [Database] gives a test a database of its own with Outhook's schema. In the transaction that the code under test has
// used, [RequireEnqueued] and [RequireNotEnqueued] tell what it has enqueued; they need no rights beyond those of a
// publisher, and look at nothing but that transaction:
//
//	tx, err := pool.Begin(ctx)
//	…
//	err = shop.Pay(ctx, tx, 17)
//	…
//	outhooktest.RequireEnqueued(t, tx, outhook.Event{TenantID: "acme", Type: "invoice.paid"})
//
// [Deliver] then attempts what is due, in this process, so that a receiver of the application's can be tested as well:
// its endpoint is made by [Endpoint]. [Sign] makes the headers of a webhook, for tests of a receiver alone.
//
// Import it in tests only. Other languages have the same in SQL, outhook.enqueued_here(): see docs/testing.md.
package outhooktest
