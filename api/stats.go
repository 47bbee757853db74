package api

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
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
		access: readAccess, costly: true, timeout: s.cfg.Timeouts.Query,
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

	// An attempt that started a moment ago may be of an event of any age, and so may what is pending.
	durations := map[int32]int64{}
	err = s.readLog(ctx, logSpan{}, func(tx pgx.Tx, part stretch) (more bool, err error) {
		if err := out.Body.countBacklog(ctx, tx, part, tenantID); err != nil {
			return false, err
		}
		return true, out.Body.countAttempts(ctx, tx, part, tenantID, durations)
	})
	if err != nil {
		return nil, err
	}
	out.Body.AttemptMS = newPercentiles(percentilesOf(durations))
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
	return v, nil
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

// countAttempts adds the attempts of some days' events, and to durations how many took how many milliseconds.
func (v *stats) countAttempts(
	ctx context.Context, tx pgx.Tx, part stretch, tenantID *string, durations map[int32]int64,
) error {
	rows, err := db.New().CountAttempts(ctx, tx, db.CountAttemptsParams{
		Low: part.low, High: part.high, Since: v.Since, TenantID: tenantID,
	})
	if err != nil {
		return err
	}

	counts := map[db.AttemptOutcome]*int64{
		db.AttemptOutcomeSucceeded: &v.Attempts.Succeeded, db.AttemptOutcomeRejected: &v.Attempts.Rejected,
		db.AttemptOutcomeTimedOut: &v.Attempts.TimedOut, db.AttemptOutcomeUnreachable: &v.Attempts.Unreachable,
		db.AttemptOutcomeBlocked: &v.Attempts.Blocked, db.AttemptOutcomeUnknown: &v.Attempts.Unknown,
	}
	for _, r := range rows {
		*counts[r.Outcome] += r.Count
		if r.DurationMS != nil {
			durations[*r.DurationMS] += r.Count
		}
	}
	return nil
}

// percentilesOf returns the 50th, 95th and 99th percentile, as Postgres' percentile_cont has them: between two values
// it interpolates. counts says how often each value is there. Nil if there is none.
func percentilesOf(counts map[int32]int64) []float64 {
	values, total := slices.Sorted(maps.Keys(counts)), int64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return nil
	}

	at := func(place int64) float64 { // the value at a place, from 0
		for _, v := range values {
			if place -= counts[v]; place < 0 {
				return float64(v)
			}
		}
		return float64(values[len(values)-1])
	}
	list := make([]float64, 0, 3)
	for _, p := range []float64{0.5, 0.95, 0.99} {
		place := p * float64(total-1)
		low, high := at(int64(place)), at(int64(place)+1)
		list = append(list, low+(place-math.Floor(place))*(high-low))
	}
	return list
}

func newPercentiles(list []float64) *percentiles {
	if len(list) != 3 {
		return nil
	}
	return &percentiles{list[0], list[1], list[2]}
}
