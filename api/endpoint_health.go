package api

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/health"
)

// endpointHealth is what the workers saw of an endpoint, as of some seconds ago.
type endpointHealth struct {
	State               string     `json:"state" enum:"healthy,failing,disabled" doc:"failing: several attempts in a row failed; a success ends it. disabled: as the status says."`
	StateChangedAt      *time.Time `json:"state_changed_at" doc:"When it became healthy or failing. Null: it has always been healthy."`
	ConsecutiveFailures int32      `json:"consecutive_failures" example:"0" doc:"Failed attempts since the last success."`
	FailingSince        *time.Time `json:"failing_since" doc:"The first failure since the last success. Null: none."`
	LastSuccessAt       *time.Time `json:"last_success_at" doc:"To half a minute while it is healthy."`
	LastFailureAt       *time.Time `json:"last_failure_at"`
	LastStatusCode      *int32     `json:"last_status_code" doc:"Of the last failure. Null: no answer came."`
	LastError           *string    `json:"last_error" example:"connection_refused" doc:"The class of the last failure's error. Null: an answer came."`
	ProbeAt             *time.Time `json:"probe_at" doc:"When an endpoint that was disabled for failing gets the next test event, whose success enables it. Null: never."`
}

// newEndpointHealth returns the health of an endpoint; the zero h is that of one that has had no attempt.
func newEndpointHealth(status db.EndpointStatus, h db.EndpointHealth) endpointHealth {
	a := endpointHealth{
		State: cmp.Or(h.State, health.Healthy), StateChangedAt: pg.UTC(h.StateChangedAt),
		ConsecutiveFailures: h.ConsecutiveFailures, FailingSince: pg.UTC(h.FailingSince),
		LastSuccessAt: pg.UTC(h.LastSuccessAt), LastFailureAt: pg.UTC(h.LastFailureAt),
		LastStatusCode: h.LastStatusCode, LastError: h.LastError,
	}

	if status == db.EndpointStatusDisabled {
		a.State, a.ProbeAt = health.Disabled, pg.UTC(h.ProbeAt)
	}
	return a
}

// healthsOf returns the health of those endpoints that have had an attempt.
func healthsOf(ctx context.Context, conn db.DBTX, rows []db.Endpoint) (map[uuid.UUID]db.EndpointHealth, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}

	list, err := db.New().ListEndpointHealth(ctx, conn, ids)
	if err != nil {
		return nil, err
	}

	byID := make(map[uuid.UUID]db.EndpointHealth, len(list))
	for _, h := range list {
		byID[h.EndpointID] = h
	}
	return byID, nil
}
