package outhook_test

import (
	"encoding/json"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/outhooktest"
)

// exampleTest returns what a test function gets, and what ends the test.
func exampleTest() (*exampleTB, func()) {
	t := &exampleTB{}
	return t, t.cleanup
}

func ExampleEvent_test() {
	t, done := exampleTest() // the *testing.T of your test
	defer done()
	ctx := t.Context()
	pool := outhooktest.Database(t)
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()

	// What your code does with the transaction.
	_, err = outhook.Enqueue(ctx, tx, outhook.Event{
		TenantID: "acme", Type: "invoice.paid", Payload: json.RawMessage(`{"id": 17, "amount": 4200}`),
	})
	if err != nil {
		t.Fatal(err)
	}

	outhooktest.RequireEnqueued(t, tx, outhook.Event{TenantID: "acme", Type: "invoice.paid"})
	outhooktest.RequireNotEnqueued(t, tx, outhook.Event{Type: "invoice.refunded"})
	// Output:
}
