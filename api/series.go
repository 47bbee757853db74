package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/rollup"
)

const (
	// maxSteps is how many steps one answer has at most, and usualSteps about how many it has if nobody says how long a
	// step is.
	maxSteps   = 1500
	usualSteps = 100

	// defaultSeries is how far back a series goes if nobody says.
	defaultSeries = time.Hour
)

// seriesStep is what went on from one time to the next.
type seriesStep struct {
	At         time.Time    `json:"at" doc:"Its beginning; it ends where the next one begins."`
	Events     *int64       `json:"events" doc:"Events that were enqueued. Null for a single endpoint."`
	Attempts   attemptStats `json:"attempts" doc:"Attempts that ended, by outcome."`
	Deliveries endedStats   `json:"deliveries" doc:"Deliveries that ended."`
	LatencyMS  *percentiles `json:"latency_ms,omitempty" doc:"From the enqueue, or the deliver_at of the event, to the end of the first attempt. Absent if there was none."`
	AttemptMS  *percentiles `json:"attempt_ms,omitempty" doc:"How long attempts took. Absent if there were none."`
}

// endedStats are deliveries that ended.
type endedStats struct {
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled" doc:"By a worker; those that a person cancelled are not in it."`
}

// Steps is a time in steps. Like all that is embedded in an answer or an input, it has an exported name for huma.
type Steps struct {
	From  time.Time `json:"from" doc:"A multiple of the step."`
	To    time.Time `json:"to"`
	StepS int       `json:"step_s" doc:"How many seconds a step has."`
}

// series is what went on, step by step.
type series struct {
	Steps

	Items     []seriesStep `json:"items" nullable:"false" doc:"Each step, also those in which nothing happened."`
	LatencyMS *percentiles `json:"latency_ms,omitempty" doc:"Of the whole time."`
	AttemptMS *percentiles `json:"attempt_ms,omitempty" doc:"Of the whole time."`
}

// StepsInput asks for a time in steps.
type StepsInput struct {
	From  moment `query:"from" doc:"Default: an hour before to."`
	To    moment `query:"to" doc:"Default: now."`
	StepS int    `query:"step_s" minimum:"60" maximum:"604800" doc:"How many seconds a step has: it is rounded up to whole minutes, for times more than 2 hours ago to 5 minutes, and for those more than 2 days ago to hours, since no more is kept. At most 1,500 steps; of several endpoints, 200. Default: about 100 steps."`
}

type seriesInput struct {
	StepsInput

	EndpointID string `query:"endpoint_id" maxLength:"256" doc:"Only this endpoint's: its id, or its uid."`
	TenantID   string `query:"tenant_id" maxLength:"255" doc:"Only this tenant's."`
}

type seriesOutput struct{ Body series }

func (s *Server) addSeries() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-stats-series", Method: http.MethodGet, Path: "/api/stats/series", Tags: []string{tagDelivery},
			Summary: "What went on, step by step, for charts",
			Description: "What workers have counted, as far back as the retention: see GET /api/stats for how exact that is. " +
				"Steps begin at multiples of their length since 1970 (UTC).",
		},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getSeries)
	s.addEndpointSeries()
}

func (s *Server) getSeries(ctx context.Context, in *seriesInput) (*seriesOutput, error) {
	f := newFilters(ctx)
	of := subject{tenantID: f.tenant(in.TenantID)}
	of.endpointID = f.endpoint(ctx, s.cfg.Pool, in.EndpointID, of.tenantID)
	if f.err != nil {
		return nil, f.err
	}

	out := &seriesOutput{}
	err := s.read(ctx, func(tx pgx.Tx) error {
		now, err := db.New().GetTransactionTime(ctx, tx)
		if err != nil {
			return err
		}
		if out.Body.Steps, err = in.span(now.UTC(), maxSteps); err != nil {
			return err
		}
		if of.endpointID != nil {
			if err := of.find(ctx, tx); err != nil {
				return err
			}
		}
		return out.Body.read(ctx, tx, of)
	})
	return out, err
}

// find fills in whose the endpoint is. One of another tenant than was asked for, or none, is nobody's.
func (of *subject) find(ctx context.Context, tx pgx.Tx) error {
	owner, err := db.New().GetEndpointTenant(ctx, tx, *of.endpointID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if of.tenantID != nil && *of.tenantID != owner {
		owner = ""
	}
	of.tenantID = &owner
	return nil
}

// span returns the times and the step: as they are asked for, in multiples of what is kept of that age.
func (in *StepsInput) span(now time.Time, most int) (v Steps, err error) {
	v.To = now
	if at := bound(in.To); at != nil {
		v.To = at.UTC()
	}
	v.From = v.To.Add(-defaultSeries)
	if at := bound(in.From); at != nil {
		v.From = at.UTC()
	}
	if !v.From.Before(v.To) {
		return v, problem.Invalid("query.from", "must be before to")
	}
	if v.To.Year() > 2200 {
		return v, problem.Invalid("query.to", "must be before 2201")
	}

	unit := kept(now.Sub(v.From))
	step := time.Duration(in.StepS) * time.Second
	if in.StepS == 0 {
		step = v.To.Sub(v.From) / usualSteps
	}
	step = max(unit, (step + unit - 1).Truncate(unit))

	v.From, v.To, v.StepS = floor(v.From, step), floor(v.To.Add(step-1), step), int(step/time.Second)
	if n := v.count(); n > most {
		return v, problem.Invalid("query.step_s", fmt.Sprintf("makes %d steps, at most %d are given", n, most))
	}
	return v, nil
}

func (v *Steps) step() time.Duration { return time.Duration(v.StepS) * time.Second }

func (v *Steps) count() int { return int(v.To.Sub(v.From) / v.step()) }

// kept returns how long a row of some age is. Rows become coarser an hour at a time.
func kept(age time.Duration) time.Duration {
	for _, r := range rollup.Resolutions() {
		if r.Until == 0 || age < r.Until {
			return time.Duration(r.Seconds) * time.Second
		}
	}
	return time.Hour
}

// floor returns the last multiple of a step since 1970.
func floor(at time.Time, step time.Duration) time.Time {
	return time.Unix(0, at.UnixNano()/int64(step)*int64(step)).UTC()
}

// read fills in the steps.
func (v *series) read(ctx context.Context, tx pgx.Tx, of subject) error {
	step := v.step()
	steps := make([]tally, v.count())
	err := readRollups(ctx, tx, of, v.From, v.To, func(at time.Time) *tally { return &steps[int(at.Sub(v.From)/step)] })
	if err != nil {
		return err
	}

	var all tally
	v.Items = make([]seriesStep, len(steps))
	for i := range steps {
		t := &steps[i]
		v.Items[i] = seriesStep{
			At: v.From.Add(time.Duration(i) * step), Attempts: t.attempts, LatencyMS: t.latency(), AttemptMS: t.duration(),
			Deliveries: endedStats{t.deliveries.Succeeded, t.deliveries.Failed, t.deliveries.Cancelled},
		}
		if of.endpointID == nil {
			v.Items[i].Events = &t.events
		}

		for b := range t.attempt {
			all.attempt[b] += t.attempt[b]
			all.firstLatencies[b] += t.firstLatencies[b]
		}
	}
	v.LatencyMS, v.AttemptMS = all.latency(), all.duration()
	return nil
}
