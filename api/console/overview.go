package console

import (
	"fmt"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// nowSeconds is what the overview takes for now.
const nowSeconds = 300

// overviewSeconds is after how long the overview is read again: what it counts is added up each 10 s.
const overviewSeconds = 10

// overview shows what goes on now.
func overview(v *visit) error {
	tenant := v.query("tenant")
	o := web.Overview{Tenant: tenant}
	s := v.shell("Overview")
	s.Refresh = overviewSeconds

	parts := []part{
		{"The counts", &o.Notice, func(v *visit) error { return v.counts(tenant, "/console", &o.Charts, &o.Tiles) }},
		{"The endpoints that need attention", &o.TroubleNotice, func(v *visit) (err error) {
			o.Trouble, err = v.trouble(tenant)
			return err
		}},
		{"The failed deliveries", &o.FailedNotice, func(v *visit) (err error) {
			o.Failed, err = v.lately(client.ListDeliveriesParams{TenantID: tenant, State: "failed", Limit: 8})
			return err
		}},
	}
	if v.may(scopeAdmin) {
		parts = append(parts, part{"The workers", &o.WorkersNotice, func(v *visit) error {
			work, err := v.api.ListWorkers(v.ctx())
			if err != nil {
				return err
			}
			o.Workers, s.Alarm = newWorkforce(work), alarm(work)
			return nil
		}})
	}

	if err := v.fill(parts...); err != nil {
		return err
	}
	return v.show(web.OverviewPage(s, o))
}

// counts fills in the charts and the numbers of a tenant, "" for all.
func (v *visit) counts(tenant, path string, charts **web.Activity, list *[]web.Tile) error {
	shown, series, err := v.activity(client.GetStatsSeriesParams{TenantID: tenant}, path)
	if err != nil {
		return err
	}
	*charts = shown

	now, err := v.api.GetStats(v.ctx(), client.GetStatsParams{TenantID: tenant, WindowS: nowSeconds})
	if err == nil {
		*list = tiles(shown, series, now, tenant)
	}
	return err
}

// tiles are the numbers of the range of the charts, and how it goes now, each with the list of what it counts.
func tiles(charts *web.Activity, series *client.Series, now *client.Stats, tenant string) []web.Tile {
	events, failed := 0, 0
	for _, step := range series.Items {
		if step.Events != nil {
			events += *step.Events
		}
		failed += step.Deliveries.Failed
	}
	ok, all := 0, 0
	for _, o := range charts.Sums() {
		all += o.Count
		if o.Tone == "ok" {
			ok += o.Count
		}
	}

	seconds := max(now.Until.Sub(now.Since).Seconds(), 1)
	perSecond := func(n int) string { return fmt.Sprintf("%.3g /s now", float64(n)/seconds) }
	list := []web.Tile{
		{
			Label: "Events", Value: web.Count(events), Note: perSecond(now.Events),
			Href: web.OfTenant("/console/events", tenant),
		},
		{Label: "Attempts", Value: web.Count(all), Note: perSecond(attemptsOf(now.Attempts))},
		{Label: "Succeeded", Value: web.Percent(ok, all), Note: "of the attempts", Tone: share(ok, all)},
		{
			Label: "Failed deliveries", Value: web.Count(failed), Note: "used up their retries", Tone: tone(failed, "bad"),
			Href: web.OfTenant("/console/deliveries?state=failed", tenant),
		},
		waiting(now.Backlog, tenant),
		{Label: "Latency", Value: "–", Note: "nothing was received"},
	}
	if charts.Whole != nil {
		latency := &list[len(list)-1]
		latency.Value = web.Milliseconds(charts.Whole.P50)
		latency.Note = "p95 " + web.Milliseconds(charts.Whole.P95) + " · p99 " + web.Milliseconds(charts.Whole.P99)
	}
	return list
}

func attemptsOf(a client.AttemptStats) (n int) {
	for _, o := range pages.Outcomes(a) {
		n += o.Count
	}
	return n
}

// waiting is the tile of the backlog: more than a minute due is more than a retry that waits for its turn.
func waiting(b client.BacklogStats, tenant string) web.Tile {
	t := web.Tile{
		Label: "Waiting", Value: web.Count(b.Pending), Note: "none of it due",
		Href: web.OfTenant("/console/deliveries?state=pending", tenant),
	}
	if b.Due > 0 {
		t.Note = web.Count(b.Due) + " due, the oldest for " + web.Milliseconds(b.OldestDueS*1000)
		if b.OldestDueS > 60 {
			t.Tone = "warn"
		}
	}
	return t
}

func tone(n int, tone string) string {
	if n > 0 {
		return tone
	}
	return ""
}

// share is the tone of a part that should be the whole.
func share(part, whole int) string {
	switch {
	case whole == 0 || part*100 >= whole*99:
		return ""
	case part*100 >= whole*90:
		return "warn"
	}
	return "bad"
}

// trouble returns the endpoints that somebody should look at: a few that fail, and a few that are disabled.
func (v *visit) trouble(tenant string) ([]web.EndpointRow, error) {
	failing, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{TenantID: tenant, Health: "failing", Limit: 8})
	if err != nil {
		return nil, err
	}
	disabled, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{
		TenantID: tenant, Status: "disabled", Order: "desc", Limit: 4,
	})
	if err != nil {
		return nil, err
	}

	var rows []web.EndpointRow
	for _, e := range append(failing.Items, disabled.Items...) {
		rows = append(rows, endpointRow(e))
	}
	return rows, nil
}

func newWorkforce(w *client.Workforce) *web.Workforce {
	f := &web.Workforce{}
	for _, worker := range w.Workers {
		row := web.WorkerRow{ID: worker.ID, Running: worker.Running}
		if worker.Since != nil {
			row.Since = worker.Since.UTC().Format(time.RFC3339)
		}
		f.Workers = append(f.Workers, row)
	}

	for _, q := range w.Queues {
		row := web.QueueRow{Name: q.Queue, Due: q.Due, Later: q.Later, Running: q.Running}
		if q.Due > 0 {
			row.Oldest = web.Milliseconds(q.OldestDueS * 1000)
		}
		f.Queues = append(f.Queues, row)
	}
	for _, q := range w.PausedQueues {
		f.Paused = append(f.Paused, q.Queue)
	}
	return f
}

// alarm returns what everybody must know of who works.
func alarm(w *client.Workforce) string {
	for _, worker := range w.Workers {
		if worker.Since != nil {
			if len(w.PausedQueues) > 0 {
				return "The queue " + w.PausedQueues[0].Queue + " is paused: what is in it is not delivered."
			}
			return ""
		}
	}
	return "No worker lives: nothing is delivered. Start `outhook serve` with the role worker."
}
