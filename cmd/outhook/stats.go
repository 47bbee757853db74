package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"
)

type statsCmd struct {
	apiFlags

	Tenant string        `help:"Only this tenant's."`
	Window time.Duration `default:"5m" help:"How far back to count: 1s to 1h."`
}

// statsAnswer is the answer of GET /api/stats.
type statsAnswer struct {
	Events     int64            `json:"events"`
	Deliveries map[string]int64 `json:"deliveries"`
	Attempts   map[string]int64 `json:"attempts"`
	LatencyMS  *percentiles     `json:"latency_ms"`
	AttemptMS  *percentiles     `json:"attempt_ms"`
	Backlog    struct {
		Pending    int64   `json:"pending"`
		Due        int64   `json:"due"`
		OldestDueS float64 `json:"oldest_due_s"`
	} `json:"backlog"`
}

// percentiles of a duration in milliseconds.
type percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

func (p *percentiles) text() string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("p50 %.0f, p95 %.0f, p99 %.0f ms", p.P50, p.P95, p.P99)
}

// Run prints what went on, and what waits.
func (s *statsCmd) Run(c *command) error {
	if s.Window < time.Second || s.Window > time.Hour {
		return usageError{errors.New("--window must be 1s to 1h; for longer times see docs/reporting.md")}
	}

	api, err := s.client()
	if err != nil {
		return err
	}

	query := url.Values{"window_s": {strconv.Itoa(int(s.Window / time.Second))}}
	set(query, "tenant_id", s.Tenant)
	raw, _, err := get[statsAnswer](c.ctx, api, "/api/stats", query)
	if err != nil {
		return err
	}

	return show(c, s.apiFlags, raw, func(w io.Writer, v statsAnswer) {
		pairs := []string{"events", fmt.Sprint(v.Events)}

		for _, state := range []string{"pending", "succeeded", "failed", "cancelled"} {
			pairs = append(pairs, "deliveries "+state, fmt.Sprint(v.Deliveries[state]))
		}

		for _, outcome := range []string{"succeeded", "rejected", "timed_out", "unreachable", "blocked", "unknown"} {
			pairs = append(pairs, "attempts "+outcome, fmt.Sprint(v.Attempts[outcome]))
		}

		waiting := fmt.Sprintf("%d, of them due %d, the oldest for %.0f s",
			v.Backlog.Pending, v.Backlog.Due, v.Backlog.OldestDueS)
		pairs = append(pairs, "latency", v.LatencyMS.text(), "attempt", v.AttemptMS.text(), "pending now", waiting)

		fields(w, pairs...)
	})
}
