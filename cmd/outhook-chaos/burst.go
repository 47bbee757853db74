package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
)

const (
	// burstLimit is how long an application has for a transaction with a burst.
	burstLimit = 30 * time.Second

	// A burst has as many events as all clients enqueue in burstLeast seconds, or in up to burstMore more.
	burstLeast, burstMore = 2, 6
)

// burst has an application enqueue many events for one tenant in one transaction, as no call that takes many would: one
// by one, or by a trigger.
func (s *saboteur) burst(ctx context.Context, f fault) (bool, error) {
	numbers := s.operator.clients.burstNumbers(int(burstLeast+f.size%burstMore) * s.rate)
	return s.operator.clients.burst(ctx, numbers, f.kind == burstByTrigger), nil
}

// burstNumbers draws the numbers of the next burst.
func (c *clients) burstNumbers(n int) []int64 {
	first := burstBase + c.ledger.nextBurst()*burstSpan
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = first + int64(i)
	}
	return numbers
}

// burst enqueues them, and returns false if the database did not take them.
func (c *clients) burst(ctx context.Context, numbers []int64, trigger bool) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), burstLimit)
	defer cancel()

	client, write := "loop", c.writeByLoop
	if trigger {
		client, write = "trigger", c.writeByTrigger
	}

	v, why := rolledBack, ""
	ids := make([]uuid.UUID, len(numbers))
	var began time.Time
	tx, err := c.pool.Begin(ctx)
	if err == nil {
		if err = tx.QueryRow(ctx, "SELECT now()").Scan(&began); err == nil {
			err = write(ctx, tx, numbers, ids)
		}
		if err == nil {
			v, why = c.afterCommit(tx.Commit(ctx))
		}
		_ = tx.Rollback(ctx) // after a commit, or on a cut connection, there is nothing to roll back
	}

	for i, n := range numbers {
		c.ledger.add(claim{n: n, client: client, order: true, verdict: v, eventID: ids[i], reason: why, began: began})
	}
	return v == committed
}

func (c *clients) writeByLoop(ctx context.Context, tx pgx.Tx, numbers []int64, ids []uuid.UUID) error {
	for i, n := range numbers {
		if _, err := tx.Exec(ctx, "INSERT INTO shop.orders (n) VALUES ($1)", n); err != nil {
			return err
		}

		res, err := outhook.Enqueue(ctx, tx, event(n))
		if err != nil {
			return err
		}
		ids[i] = uuid.MustParse(res.ID)
	}
	return nil
}

func (c *clients) writeByTrigger(ctx context.Context, tx pgx.Tx, numbers []int64, _ []uuid.UUID) error {
	payloads := make([]string, len(numbers))
	for i, n := range numbers {
		payloads[i] = payload(n)
	}

	_, err := tx.Exec(ctx, `INSERT INTO shop.orders (n, tenant, payload)
		SELECT unnest($1::bigint[]), $2, unnest($3::text[])`, numbers, tenantOf(numbers[0]), payloads)
	return err
}
