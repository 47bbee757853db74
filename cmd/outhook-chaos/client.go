package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook"
)

const (
	// How many clients of each kind enqueue at the same time, for each crowdRate events per second that are asked for.
	restClients = 6
	goClients   = 6
	sqlClients  = 4
	crowdRate   = 200

	// maxLag is how much a client that was held up makes good.
	maxLag = time.Second

	// clientTimeout is how long a client waits for a request or a transaction.
	clientTimeout = 5 * time.Second

	// retryLimit is how long a REST client goes on with one event after an error: beyond the longest fault.
	retryLimit = 90 * time.Second
)

// clients enqueue events and note what they are told. None of them knows more than an application would: the API, the
// Go package, the SQL function.
type clients struct {
	seed   uint64
	ledger *ledger
	pool   *pgxpool.Pool // by way of the clients' own wire
	nodes  []*node       // the APIs
	http   *http.Client
	apiKey string
}

// loop enqueues about rate events per second, one after the other, until ctx ends; what is begun then is brought to an
// end. A client that was held up catches up on maxLag at most.
func (c *clients) loop(ctx context.Context, id uint64, rate float64, enqueue func(context.Context, *rand.Rand, int64)) {
	rng := draw(c.seed, streamClient, id, 0)
	for due := time.Now(); ; {
		due = due.Add(time.Duration(rng.ExpFloat64() / rate * float64(time.Second)))
		if oldest := time.Now().Add(-maxLag); due.Before(oldest) {
			due = oldest
		}

		wait(ctx, time.Until(due))
		if ctx.Err() != nil {
			return
		}

		enqueue(context.WithoutCancel(ctx), rng, c.ledger.next())
	}
}

// rest posts an event with an idempotency key to any of the APIs, again and again until one says that it is committed.
func (c *clients) rest(ctx context.Context, rng *rand.Rand, n int64) {
	verdict, why := inDoubt, ""
	var id uuid.UUID

	for end := time.Now().Add(retryLimit); verdict == inDoubt && time.Now().Before(end); {
		node := c.nodes[rng.IntN(len(c.nodes))]
		address := node.address.Load()
		if address == nil {
			wait(ctx, 50*time.Millisecond)
			continue
		}

		id, verdict, why = c.post(ctx, *address, n)
		if verdict == committed {
			c.ledger.note(node.name)
		}
		if verdict == inDoubt {
			wait(ctx, 50*time.Millisecond+time.Duration(rng.IntN(500))*time.Millisecond)
		}
	}

	back := verdict == committed && takenBack(n) && c.takeBack(ctx, rng, n)
	c.ledger.add(claim{n: n, client: "rest", verdict: verdict, eventID: id, reason: why, back: back})
}

func (c *clients) post(ctx context.Context, address string, n int64) (id uuid.UUID, v verdict, why string) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()

	more := ""
	if labelled(n) {
		more = fmt.Sprintf(`, "labels": [%q], "headers": {%q: "%d"}`, label, headerNumber, n)
	}
	if delay := delayOf(n); delay > 0 {
		more += fmt.Sprintf(`, "deliver_at": %q`, time.Now().Add(delay).Format(time.RFC3339Nano))
	}
	if key := orderingKey(n); key != "" {
		more += fmt.Sprintf(`, "ordering_key": %q`, key)
	}
	body := fmt.Sprintf(`{"tenant_id": %q, "type": %q, "idempotency_key": "order-%d", "payload": %s%s}`,
		tenantOf(n), eventType, n, payload(n), more)

	var answer struct {
		ID uuid.UUID `json:"id"`
	}
	status, err := c.request(ctx, http.MethodPost, address, "/api/events", body, &answer)

	switch {
	case status == http.StatusAccepted, status == http.StatusOK:
		if err != nil {
			return id, inDoubt, "" // the answer was cut
		}
		return answer.ID, committed, ""
	case status >= 400 && status < 500:
		return id, refused, fmt.Sprintf("the API answered %d", status)
	}
	return id, inDoubt, ""
}

// request sends a request to the API and returns the status, 0 if no answer came.
func (c *clients) request(ctx context.Context, method, address, path, body string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("asking for %s: %w", path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.apiKey)
	req.Header.Set("Content-Type", "application/json")

	res, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking for %s: %w", path, err)
	}
	defer res.Body.Close()

	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return res.StatusCode, fmt.Errorf("reading the answer of %s: %w", path, err)
	}

	return res.StatusCode, nil
}

// rollsBack tells whether the transaction of event n is to roll back: a third does.
func (c *clients) rollsBack(n int64) bool {
	return draw(c.seed, streamFate, uint64(n), 0).IntN(3) == 0 //nolint:gosec // n is positive
}

// transaction enqueues with the Go package, beside an order in the application's own table.
func (c *clients) transaction(ctx context.Context, _ *rand.Rand, n int64) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()

	entry := claim{n: n, client: "go", order: true, verdict: rolledBack}
	defer func() { c.ledger.add(entry) }()

	tx, err := c.pool.Begin(ctx)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clientTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit, or on a cut connection, there is nothing to roll back
	}()

	if _, err := tx.Exec(ctx, "INSERT INTO shop.orders (n) VALUES ($1)", n); err != nil {
		return
	}

	res, err := outhook.Enqueue(ctx, tx, event(n))
	if errors.Is(err, outhook.ErrInvalidEvent) {
		entry.verdict, entry.reason = refused, "the Go package refused a valid event"
	}

	if err != nil || c.rollsBack(n) {
		return
	}

	entry.eventID = uuid.MustParse(res.ID)
	entry.verdict, entry.reason = c.afterCommit(tx.Commit(ctx))
	if entry.verdict == committed && takenBack(n) {
		entry.back = c.cancel(ctx, outhook.Reference{TenantID: tenantOf(n), ID: res.ID})
	}
}

// plainSQL enqueues with nothing but SQL, as any language can: a transaction in one string.
func (c *clients) plainSQL(ctx context.Context, _ *rand.Rand, n int64) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()

	entry := claim{n: n, client: "sql", order: true, verdict: rolledBack}
	defer func() { c.ledger.add(entry) }()

	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return
	}
	defer conn.Release()

	more := ""
	if labelled(n) {
		more = fmt.Sprintf(`, labels => '{%s}', headers => '{"%s": "%d"}'`, label, headerNumber, n)
	}
	if delay := delayOf(n); delay > 0 {
		more += fmt.Sprintf(`, deliver_at => now() + interval '%d s'`, int(delay.Seconds()))
	}
	if key := orderingKey(n); key != "" {
		more += fmt.Sprintf(`, ordering_key => '%s'`, key)
	}
	end := "COMMIT"
	if c.rollsBack(n) {
		end = "ROLLBACK"
	}

	_, err = conn.Conn().PgConn().Exec(ctx, fmt.Sprintf(
		"BEGIN; INSERT INTO shop.orders (n) VALUES (%d); SELECT outhook.enqueue('%s', '%s', '%s'%s); %s",
		n, tenantOf(n), eventType, payload(n), more, end)).ReadAll()

	if end == "COMMIT" {
		entry.verdict, entry.reason = c.afterCommit(err)
	}
}

// afterCommit is what a client knows after a COMMIT that returned err. An error of severity ERROR ended the
// transaction; FATAL is a server that goes away, maybe just after the commit; any other error is a cut connection.
// pgconn.SafeToRetry is no help: pgx 5.12.0 says it of a connection that broke after the whole query had left ("conn
// closed"), and in half of these cases the transaction had committed.
func (c *clients) afterCommit(err error) (v verdict, reason string) {
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		c.ledger.note(wireOfClients)
		return committed, ""
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return rolledBack, fmt.Sprintf("nothing was committed: %v", err)
	case errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR":
		return rolledBack, fmt.Sprintf("an error ended the transaction: %v", err)
	}
	return inDoubt, err.Error()
}

// takeBack has an API take back event n, by its key, again and again until one has an answer or it must be due. Returns
// whether one said that it is taken back.
func (c *clients) takeBack(ctx context.Context, rng *rand.Rand, n int64) bool {
	path := fmt.Sprintf("/api/events/cancel?tenant_id=%s&key=order-%d", tenantOf(n), n)
	for end := time.Now().Add(delayOf(n)); time.Now().Before(end); {
		address := c.nodes[rng.IntN(len(c.nodes))].address.Load()
		if address == nil {
			wait(ctx, 50*time.Millisecond)
			continue
		}

		asking, cancel := context.WithTimeout(ctx, clientTimeout)
		var answer struct {
			ID uuid.UUID `json:"id"`
		}
		status, err := c.request(asking, http.MethodPost, *address, path, "", &answer)
		cancel()
		if status == http.StatusOK && err == nil {
			return true
		}
		wait(ctx, 50*time.Millisecond+time.Duration(rng.IntN(500))*time.Millisecond)
	}
	return false
}

// cancel takes an event back with the Go package, and returns whether it is committed that it is.
func (c *clients) cancel(ctx context.Context, event outhook.Reference) (back bool) {
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
		back, err = outhook.Cancel(ctx, tx, event)
		return err
	})
	return back && err == nil
}
