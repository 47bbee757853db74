package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/outhook/outhook/api/client"
)

type statsCmd struct {
	apiFlags

	Tenant string        `help:"Only this tenant's."`
	Window time.Duration `default:"5m" help:"How far back to count: 1s to 1h."`
}

func percentiles(p *client.Percentiles) string {
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

	_, err := ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.Stats, error) {
		params := client.GetStatsParams{WindowS: int(s.Window / time.Second), TenantID: s.Tenant}
		return api.GetStats(c.ctx, params, o)
	}, showStats)
	return err
}

func showStats(w io.Writer, v *client.Stats) {
	pairs := []string{"events", fmt.Sprint(v.Events)}
	count := func(what string, n int) { pairs = append(pairs, what, fmt.Sprint(n)) }

	count("deliveries pending", v.Deliveries.Pending)
	count("deliveries succeeded", v.Deliveries.Succeeded)
	count("deliveries failed", v.Deliveries.Failed)
	count("deliveries cancelled", v.Deliveries.Cancelled)

	count("attempts succeeded", v.Attempts.Succeeded)
	count("attempts rejected", v.Attempts.Rejected)
	count("attempts timed_out", v.Attempts.TimedOut)
	count("attempts unreachable", v.Attempts.Unreachable)
	count("attempts blocked", v.Attempts.Blocked)
	count("attempts unknown", v.Attempts.Unknown)

	waiting := fmt.Sprintf("%d, of them due %d, the oldest for %.0f s",
		v.Backlog.Pending, v.Backlog.Due, v.Backlog.OldestDueS)
	fields(w, append(pairs, "latency", percentiles(v.LatencyMS), "attempt", percentiles(v.AttemptMS),
		"pending now", waiting)...)
}
