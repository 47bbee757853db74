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
	Since      time.Time     `json:"since" doc:"The beginning of the window, a whole minute."`
	Until      time.Time     `json:"until" doc:"Its end: now, on the database's clock."`
	Events     int64         `json:"events" doc:"Events that were enqueued in the window, of the minutes that have ended."`
	Deliveries deliveryStats `json:"deliveries" doc:"Deliveries that ended in the window, and those that are pending now."`
	LatencyMS  *percentiles  `json:"latency_ms,omitempty" doc:"From the enqueue, or the deliver_at of the event, to the end of the first attempt, of the first attempts in the window. Absent if there are none."`
	Attempts   attemptStats  `json:"attempts" doc:"Attempts that ended in the window, by outcome."`
	AttemptMS  *percentiles  `json:"attempt_ms,omitempty" doc:"How long they took. Absent if there are none."`
	Backlog    backlogStats  `json:"backlog" doc:"What is pending now, of whatever age."`
}

type deliveryStats struct {
	Pending   int64 `json:"pending" doc:"As in backlog."`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled" doc:"By a worker, as of an endpoint that was disabled; those that a person cancelled are not in it."`
}

type attemptStats struct {
	Succeeded   int64 `json:"succeeded"`
	Rejected    int64 `json:"rejected"`
	TimedOut    int64 `json:"timed_out"`
	Unreachable int64 `json:"unreachable"`
	Blocked     int64 `json:"blocked"`
	Unknown     int64 `json:"unknown" doc:"Those that a stop cut; those of workers that died are not in it."`
}

type backlogStats struct {
	Pending    int64   `json:"pending"`
	Due        int64   `json:"due" doc:"Pending deliveries whose next attempt is due."`
	OldestDueS float64 `json:"oldest_due_s" doc:"For how many seconds the oldest of them has been due."`
}

type statsInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only this tenant's."`
	WindowS  int    `query:"window_s" minimum:"1" maximum:"3600" default:"300" doc:"How many seconds back to count; the minute in which that was is counted whole."`
}

type statsOutput struct{ Body stats }

func (s *Server) addStats() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-stats", Method: http.MethodGet, Path: "/api/stats", Tags: []string{tagDelivery},
			Summary: "Count what went on in the last minutes, and what waits",
			Description: "What workers have counted: it costs the same however much there is, and is a little behind. All " +
				"tenants together are as of some 10 seconds ago, a busy tenant as of a minute ago, and events as of " +
				"the last minute that has ended. A worker that dies takes what it has not told along. Percentiles " +
				"are estimates, off by less than the width of a bucket, of which there are four to a power of ten. " +
				"Only the backlog is counted on the spot; it gives up after 5 seconds (503). What is exact is in the " +
				"usage and in SQL.",
		},

		access: readAccess, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.getStats)
	s.addSeries()
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

	// What is pending may be of any age.
	err = s.readLog(ctx, logSpan{}, func(tx pgx.Tx, part stretch) (more bool, err error) {
		return true, out.Body.countBacklog(ctx, tx, part, tenantID)
	})
	out.Body.Deliveries.Pending = out.Body.Backlog.Pending
	return out, err
}

func countStats(ctx context.Context, tx pgx.Tx, tenantID *string, window time.Duration) (v stats, err error) {
	if v.Until, err = db.New().GetTransactionTime(ctx, tx); err != nil {
		return v, err
	}
	v.Until = v.Until.UTC()
	v.Since = v.Until.Add(-window).Truncate(time.Minute)

	// A process's clock may be ahead of the transaction's by a moment.
	var sum tally
	err = sum.read(ctx, tx, subject{tenantID: tenantID}, v.Since, v.Until.Add(time.Minute))
	v.Events, v.Attempts, v.LatencyMS, v.AttemptMS = sum.events, sum.attempts, sum.latency(), sum.duration()
	v.Deliveries = sum.deliveries
	return v, err
}

// countBacklog adds what is pending of some days' events.
func (v *stats) countBacklog(ctx context.Context, tx pgx.Tx, part stretch, tenantID *string) error {
	backlog, err := db.New().GetBacklogStats(ctx, tx, part.low, part.high, tenantID)
	if err != nil {
		return err
	}
	v.Backlog.Pending += backlog.Pending
	v.Backlog.Due += backlog.Due
	v.Backlog.OldestDueS = max(v.Backlog.OldestDueS, backlog.OldestDueS)
	return nil
}
