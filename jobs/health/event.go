package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// OperatorTenant is the tenant whose endpoints get operational events. Publishers can't enqueue for it.
const OperatorTenant = "outhook.operator"

// Types of operational events. The functions of the database know them too: a stored format.
const (
	EventEndpointDisabled  = "outhook.endpoint.disabled"
	EventEndpointPaused    = "outhook.endpoint.paused"
	EventEndpointFailing   = "outhook.endpoint.failing"
	EventEndpointRecovered = "outhook.endpoint.recovered"
	EventDeliveryFailed    = "outhook.delivery.failed"
)

// event is the payload of an operational event about an endpoint, in the form that Standard Webhooks
// recommends. It holds no secret, and of the URL only the host.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	EndpointID          uuid.UUID  `json:"endpoint_id"`
	TenantID            string     `json:"tenant_id"`
	Host                string     `json:"host"`
	Status              string     `json:"status"`
	StatusReason        string     `json:"status_reason"`
	ConsecutiveFailures int32      `json:"consecutive_failures"`
	FailingSince        *time.Time `json:"failing_since"`
	LastSuccessAt       *time.Time `json:"last_success_at"`
	LastFailureAt       *time.Time `json:"last_failure_at"`
	LastStatusCode      *int32     `json:"last_status_code"`
	LastError           *string    `json:"last_error"`
}

// Announce enqueues an operational event for each of the endpoints, if an endpoint of the operator tenant is
// subscribed. The operator's own endpoints make none, so there is no loop.
func Announce(
	ctx context.Context, tx pgx.Tx, eventType string, at time.Time, endpoints ...db.LockEndpointHealthRow,
) error {
	var payloads []string
	for _, e := range endpoints {
		if e.TenantID == OperatorTenant {
			continue
		}

		payload, err := json.Marshal(event{Type: eventType, Timestamp: at.UTC(), Data: data{
			EndpointID: e.EndpointID, TenantID: e.TenantID, Host: hostOf(e.URL),
			Status: string(e.Status), StatusReason: e.StatusReason,
			ConsecutiveFailures: e.ConsecutiveFailures, FailingSince: pg.UTC(e.FailingSince),
			LastSuccessAt: pg.UTC(e.LastSuccessAt),
			LastFailureAt: pg.UTC(e.LastFailureAt), LastStatusCode: e.LastStatusCode, LastError: e.LastError,
		}})
		if err != nil {
			return fmt.Errorf("encoding an operational event: %w", err)
		}
		payloads = append(payloads, string(payload))
	}

	if len(payloads) == 0 {
		return nil
	}
	if _, err := db.New().EnqueueOperational(ctx, tx, eventType, payloads); err != nil {
		return fmt.Errorf("enqueuing %s: %w", eventType, err)
	}
	return nil
}

// hostOf returns the host and port of an endpoint's URL: nothing else of it may be told.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// patience begins what changes one endpoint by itself: who holds its row, or its health's, for longer must not hold up
// who has others to look after. A person's change takes milliseconds.
const patience = "SET LOCAL lock_timeout = 500"

// Disable ends an endpoint, says why and tells the operator; the pacer cancels its pending deliveries. One that is
// disabled already is only never probed again. It waits for half a second at most for whoever holds the endpoint, and
// then returns an error with the code [sqlstate.LockNotAvailable].
func Disable(ctx context.Context, tx pgx.Tx, id uuid.UUID, reason string, at time.Time) error {
	if _, err := tx.Exec(ctx, patience); err != nil {
		return err
	}

	q := db.New()
	n, err := q.DisableEndpoint(ctx, tx, reason, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return q.SetProbe(ctx, tx, nil, id)
	}
	if err != nil {
		return fmt.Errorf("disabling endpoint %s: %w", id, err)
	}

	return announceEndpoint(ctx, tx, EventEndpointDisabled, at, n)
}

// EnableProbed enables an endpoint whose probe succeeded, unless a person has decided otherwise meanwhile. It waits no
// longer than Disable; the next probe tries again.
func EnableProbed(ctx context.Context, tx pgx.Tx, id uuid.UUID, at time.Time) error {
	if _, err := tx.Exec(ctx, patience); err != nil {
		return err
	}

	n, err := db.New().EnableProbedEndpoint(ctx, tx, "probe: it answered again", id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("enabling endpoint %s: %w", id, err)
	}

	if err := announceEndpoint(ctx, tx, EventEndpointRecovered, at, n); err != nil {
		return err
	}
	return Reset(ctx, tx, id)
}

// Paused tells the operator that an endpoint was paused by its order, and not by a person.
func Paused(ctx context.Context, tx pgx.Tx, n db.Endpoint, at time.Time) error {
	return announceEndpoint(ctx, tx, EventEndpointPaused, at, n)
}

// announceEndpoint announces an endpoint with its health as it is stored.
func announceEndpoint(ctx context.Context, tx pgx.Tx, eventType string, at time.Time, n db.Endpoint) error {
	rows, err := db.New().ListEndpointHealth(ctx, tx, []uuid.UUID{n.ID})
	if err != nil {
		return fmt.Errorf("reading the health of endpoint %s: %w", n.ID, err)
	}

	e := db.LockEndpointHealthRow{
		EndpointID: n.ID, TenantID: n.TenantID, URL: n.URL, Status: n.Status, StatusReason: n.StatusReason,
	}
	for _, h := range rows {
		e.ConsecutiveFailures, e.FailingSince, e.LastSuccessAt = h.ConsecutiveFailures, h.FailingSince, h.LastSuccessAt
		e.LastFailureAt, e.LastStatusCode, e.LastError = h.LastFailureAt, h.LastStatusCode, h.LastError
	}

	return Announce(ctx, tx, eventType, at, e)
}

// Reset makes an endpoint that is enabled again healthy: what was before does not count against it. Call it in
// the transaction that enables it, after the endpoint's row was changed.
func Reset(ctx context.Context, tx pgx.Tx, endpointID uuid.UUID) error {
	if err := db.New().ResetEndpointHealth(ctx, tx, endpointID); err != nil {
		return fmt.Errorf("resetting the health of endpoint %s: %w", endpointID, err)
	}
	return nil
}
