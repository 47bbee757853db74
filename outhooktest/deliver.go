package outhooktest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
)

const (
	// deliverLimit bounds one Deliver: above the 30 s that an attempt may take at most.
	deliverLimit = time.Minute

	// stopLimit bounds the end of its workers.
	stopLimit = 10 * time.Second

	// endpointTimeoutMS is an endpoint's, as the API's default.
	endpointTimeoutMS = 15_000
)

// key encrypts the secrets of tests' endpoints. It is no secret itself.
const key = "outhooktest: this hides nothing."

// keyring returns the one of all test binaries: a failed test's database is left, for the next one to look at.
func keyring(t testing.TB) *signature.Keyring {
	t.Helper()
	keys, err := signature.ParseKeyring(base64.StdEncoding.EncodeToString([]byte(key)))
	if err != nil {
		t.Fatalf("reading the key: %v", err)
	}
	return keys
}

// Attempt is one that [Deliver] has made.
type Attempt struct {
	EventID    uuid.UUID
	EndpointID uuid.UUID
	Type       string // of the event
	Number     int    // counts from 1 for each delivery
	Outcome    string // succeeded, rejected, timed_out, unreachable, …: those of delivery_attempts.outcome
	StatusCode int    // 0 without an answer
	Error      string // "" after a success
}

// Endpoint makes an endpoint of a tenant that gets the events of these types, or all if there are none, at a URL: that
// of an httptest.Server, say. It returns the endpoint's secret, whsec_…, by which the receiver verifies.
func Endpoint(t testing.TB, pool *pgxpool.Pool, tenantID, url string, types ...string) (secret string) {
	t.Helper()
	keys, made := keyring(t), signature.NewSecret()

	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		n, err := db.New().InsertEndpoint(t.Context(), tx, db.InsertEndpointParams{
			TenantID: tenantID, URL: url, EventTypes: append([]string{}, types...), Headers: json.RawMessage(`{}`),
			Metadata: json.RawMessage(`{}`), TimeoutMS: endpointTimeoutMS,
		})
		if err != nil {
			return fmt.Errorf("inserting an endpoint: %w", err)
		}
		keyID, sealed := keys.Seal(made.Bytes(), n.ID[:])
		return db.New().InsertEndpointSecret(t.Context(), tx, n.ID, keyID, sealed)
	})
	if err != nil {
		t.Fatalf("making an endpoint: %v", err)
	}
	return made.Reveal()
}

// Deliver attempts each delivery that is due, once, as a worker does and in this process: signed, to http and loopback
// too. It returns the attempts in the order in which they began. What fails is due again after its endpoint's schedule,
// a minute at first, as ever; what waits for a paused endpoint goes on waiting. The endpoints are those of [Endpoint].
//
// It fails the test at once if something is due that was not attempted within a minute.
func Deliver(t testing.TB, pool *pgxpool.Pool) []Attempt {
	t.Helper()
	return deliver(t, pool, deliverLimit)
}

func deliver(t testing.TB, pool *pgxpool.Pool, limit time.Duration) []Attempt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	before := map[Attempt]bool{}
	for _, a := range attempts(t, pool) {
		before[a] = true
	}
	var began time.Time
	if err := pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&began); err != nil {
		t.Fatalf("asking the database for its time: %v", err)
	}

	client, closeClient := newClient(t, pool)
	defer closeClient()
	if err := client.Start(ctx); err != nil {
		t.Fatalf("starting workers: %v", err)
	}
	left, err := awaitNoneDue(ctx, pool, began)
	stopping, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancelStop()
	if stopped := client.Stop(stopping); err == nil {
		err = stopped
	}
	if err != nil {
		t.Fatalf("%d deliveries that are due were not attempted (%v): were their endpoints made by outhooktest.Endpoint? "+
			"The workers can't read the secrets of others", left, err)
	}
	return slices.DeleteFunc(attempts(t, pool), func(a Attempt) bool { return before[a] })
}

// newClient returns workers that may send to this machine.
func newClient(t testing.TB, pool *pgxpool.Pool) (client *jobs.Client, closeClient func()) {
	t.Helper()
	outgoing, err := egress.New(egress.Config{Allow: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}

	cfg := jobs.DefaultConfig()
	cfg.Pool, cfg.Deliver.Keyring, cfg.Deliver.Egress, cfg.Deliver.Version = pool, keyring(t), outgoing, "outhooktest"
	if client, err = jobs.New(cfg); err != nil {
		outgoing.Close()
		t.Fatalf("making workers: %v", err)
	}
	return client, outgoing.Close
}

// awaitNoneDue waits until each delivery has been attempted that was due at a time, and returns how many have not.
func awaitNoneDue(ctx context.Context, pool *pgxpool.Pool, at time.Time) (left int, err error) {
	const sql = `SELECT count(*) FROM outhook.deliveries AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
		WHERE d.state = 'pending' AND d.next_attempt_at <= $1 AND n.status <> 'paused'`

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := pool.QueryRow(ctx, sql, at).Scan(&left); err != nil || left == 0 {
			return left, err
		}
		select {
		case <-ctx.Done():
			return left, ctx.Err()
		case <-tick.C:
		}
	}
}

// attempts returns all of them in the order in which they began.
func attempts(t testing.TB, pool *pgxpool.Pool) []Attempt {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT a.event_id, a.endpoint_id, e.type, a.number, a.outcome::text,
			coalesce(a.status_code, 0), coalesce(a.error, '')
		FROM outhook.delivery_attempts AS a JOIN outhook.events AS e ON e.id = a.event_id
		ORDER BY a.started_at, a.event_id, a.endpoint_id, a.number`)
	if err != nil {
		t.Fatalf("reading the attempts: %v", err)
	}

	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Attempt])
	if err != nil {
		t.Fatalf("reading the attempts: %v", err)
	}
	return list
}
