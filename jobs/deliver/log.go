package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// attemptBurst is how many failed attempts of an endpoint have a line each at once, and attemptEvery how often one has
	// after that: four a minute. delivery_attempts has them all.
	attemptBurst = 5
	attemptEvery = 15 * time.Second

	// attemptEndpoints is how many endpoints are told apart, in some 2 MB.
	attemptEndpoints = 10_000
)

// lines are those about attempts.
type lines struct {
	logger  *slog.Logger
	sampler *logthrottle.Sampler[uuid.UUID] // of failed ones, by endpoint
}

func newLines(logger *slog.Logger) *lines {
	return &lines{logger, logthrottle.NewSampler[uuid.UUID](attemptBurst, attemptEvery, attemptEndpoints)}
}

// write writes a line for an attempt: a success only with debug, and of an endpoint's failures the first ones and a few
// a minute. docs/logging.md has its members.
func (l *lines) write(ctx context.Context, r *run, rec *record, res egress.Result) {
	level := slog.LevelInfo
	if res.Outcome == egress.Succeeded {
		level = slog.LevelDebug
	}
	if !l.logger.Enabled(ctx, level) {
		return
	}

	omitted := 0
	if level != slog.LevelDebug {
		var ok bool
		if omitted, ok = l.sampler.Allow(r.EndpointID, time.Now()); !ok {
			return
		}
	}

	attrs := r.attrs(
		slog.String("outcome", string(res.Outcome)),
		slog.Int("status_code", res.StatusCode),
		slog.Int64("duration_ms", res.Duration.Milliseconds()),
		slog.String("state", string(rec.state)),
		slog.String("receiver_host", ledger.HostOf(r.URL)),
	)
	if rec.ending == wait && rec.state == db.DeliveryStatePending {
		attrs = append(attrs, slog.Time("next_attempt_at", rec.at.UTC()))
	}
	if res.Error != "" {
		attrs = append(attrs, slog.String("error", res.Error))
	}
	if omitted > 0 {
		attrs = append(attrs, slog.Int(logthrottle.Omitted, omitted))
	}
	l.logger.LogAttrs(ctx, level, "attempt", attrs...)
}

// attrs returns what the lines about a run have in common. What is loaded is missing before the load.
func (r *run) attrs(more ...slog.Attr) []slog.Attr {
	attrs := make([]slog.Attr, 0, 16)
	if r.delivery != nil {
		attrs = append(attrs, slog.String("tenant_id", r.TenantID))
	}

	attrs = append(attrs,
		slog.String("endpoint_id", r.job.Args.EndpointID.String()),
		slog.String("event_id", r.job.Args.EventID.String()),
		slog.Int("attempt", int(r.number)))
	if r.delivery != nil {
		attrs = append(attrs, slog.String("event_type", r.Type))
	}
	if id := ledger.TraceID(r.trace); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	return append(attrs, more...)
}
