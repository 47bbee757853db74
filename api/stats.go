package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// stats is what went on in a short time, and what waits.
type stats struct {
	Since      time.Time     `json:"since" doc:"The beginning of the window."`
	Until      time.Time     `json:"until" doc:"Its end: now, on the database's clock."`
	Events     int64         `json:"events" doc:"Events that were enqueued in the window."`
	Deliveries deliveryStats `json:"deliveries" doc:"Their deliveries, by the state that they are in now."`
	LatencyMS  *percentiles  `json:"latency_ms,omitempty" doc:"From the enqueue to the success, of those that succeeded. Absent if there are none."`
	Attempts   attemptStats  `json:"attempts" doc:"Attempts that started in the window, by outcome."`
	AttemptMS  *percentiles  `json:"attempt_ms,omitempty" doc:"How long they took. Absent if there are none."`
	Backlog    backlogStats  `json:"backlog" doc:"What is pending now, of whatever age."`
}

type deliveryStats struct {
	Pending   int64 `json:"pending"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
}

type attemptStats struct {
	Succeeded   int64 `json:"succeeded"`
	Rejected    int64 `json:"rejected"`
	TimedOut    int64 `json:"timed_out"`
	Unreachable int64 `json:"unreachable"`
	Blocked     int64 `json:"blocked"`
	Unknown     int64 `json:"unknown"`
}

type backlogStats struct {
	Pending    int64   `json:"pending"`
	Due        int64   `json:"due" doc:"Pending deliveries whose next attempt is due."`
	OldestDueS float64 `json:"oldest_due_s" doc:"For how many seconds the oldest of them has been due."`
}

// percentiles of a duration in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

type statsInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only this tenant's."`
	WindowS  int    `query:"window_s" minimum:"1" maximum:"3600" default:"300" doc:"How many seconds back to count."`
}

type statsOutput struct{ Body stats }

func (s *Server) addStats() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-stats", Method: http.MethodGet, Path: "/api/stats", Tags: []string{tagDelivery},
			Summary: "Count what went on in the last minutes, and what waits",
			Description: "Counts rows, so its cost grows with the window and the backlog; " +
				"it gives up after 5 seconds (503). For a graph, use metrics.",
		},
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.getStats)
}

func (s *Server) getStats(ctx context.Context, in *statsInput) (*statsOutput, error) {
	f := newFilters(ctx)
	tenantID := f.tenant(in.TenantID)
	if f.err != nil {
		return nil, f.err
	}

	out := &statsOutput{}
	err := s.read(ctx, func(tx pgx.Tx) (err error) {
		out.Body, err = countStats(ctx, tx, tenantID, time.Duration(in.WindowS)*time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func countStats(ctx context.Context, tx pgx.Tx, tenantID *string, window time.Duration) (v stats, err error) {
	q := db.New()
	if v.Until, err = q.GetTransactionTime(ctx, tx); err != nil {
		return v, err
	}
	v.Until = v.Until.UTC()
	v.Since = v.Until.Add(-window)
	if v.Events, err = q.CountEvents(ctx, tx, v.Since, tenantID); err != nil {
		return v, err
	}

	deliveries, err := q.GetDeliveryStats(ctx, tx, v.Since, tenantID)
	if err != nil {
		return v, err
	}
	v.Deliveries = deliveryStats{deliveries.Pending, deliveries.Succeeded, deliveries.Failed, deliveries.Cancelled}
	v.LatencyMS = newPercentiles(deliveries.LatencyMS)

	attempts, err := q.GetAttemptStats(ctx, tx, v.Since, tenantID)
	if err != nil {
		return v, err
	}
	v.Attempts = attemptStats{
		attempts.Succeeded, attempts.Rejected, attempts.TimedOut, attempts.Unreachable, attempts.Blocked, attempts.Unknown,
	}
	v.AttemptMS = newPercentiles(attempts.DurationMS)

	backlog, err := q.GetBacklogStats(ctx, tx, tenantID)
	v.Backlog = backlogStats(backlog)
	return v, err
}

func newPercentiles(list []float64) *percentiles {
	if len(list) != 3 {
		return nil
	}
	return &percentiles{list[0], list[1], list[2]}
}
