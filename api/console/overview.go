package console

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

// overview shows what goes on now.
func overview(v *visit) error {
	window, err := strconv.Atoi(v.query("window"))
	if err != nil || window < 1 || window > 3600 {
		window = 300
	}
	tenant := v.query("tenant")
	o := web.Overview{Tenant: tenant, Window: windowInput(window)}

	stats, err := v.api.GetStats(v.ctx(), client.GetStatsParams{TenantID: tenant, WindowS: window})
	switch {
	case isBusy(err):
		o.Notice = "The counts are missing: the database takes too long for them at this moment."
	case err != nil:
		return err
	default:
		o.Tiles, o.Shares = tiles(stats), outcomes(stats.Attempts)
	}

	if o.Trouble, err = v.trouble(tenant); err != nil {
		return err
	}
	failed, err := v.api.ListDeliveries(v.ctx(), client.ListDeliveriesParams{
		TenantID: tenant, State: "failed", Order: "desc", Limit: 8,
	})
	if err != nil {
		return err
	}
	if o.Failed, err = v.deliveryRows(failed.Items); err != nil {
		return err
	}

	s := v.fresh("Overview")
	if v.may(scopeAdmin) {
		work, err := v.api.ListWorkers(v.ctx())
		if err != nil {
			return err
		}
		o.Workers = newWorkforce(work)
		s.Alarm = alarm(work)
	}
	return v.show(web.OverviewPage(s, o))
}

// isBusy tells whether the API gave up because the database takes too long.
func isBusy(err error) bool {
	refused, ok := asRefusal(err)
	return ok && refused.Status == http.StatusServiceUnavailable
}

func windowInput(window int) web.Input {
	in := web.Input{Name: "window", Label: "The last", Type: "select"}
	for _, seconds := range []int{60, 300, 900, 3600} {
		in.Options = append(in.Options, web.Option{
			Value: strconv.Itoa(seconds), Label: web.Things(seconds/60, "minute"), Selected: seconds == window,
		})
	}
	return in
}

func tiles(s *client.Stats) []web.Tile {
	seconds := max(s.Until.Sub(s.Since).Seconds(), 1)
	d, a := s.Deliveries, s.Attempts
	all := a.Succeeded + a.Rejected + a.TimedOut + a.Unreachable + a.Blocked + a.Unknown
	perSecond := func(n int) string { return fmt.Sprintf("%.3g a second", float64(n)/seconds) }

	list := []web.Tile{
		{Label: "Events", Value: web.Count(s.Events), Note: perSecond(s.Events), Href: "/console/events"},
		{Label: "Attempts", Value: web.Count(all), Note: perSecond(all)},
		{Label: "Succeeded", Value: web.Percent(a.Succeeded, all), Note: "of the attempts", Tone: share(a.Succeeded, all)},
		{
			Label: "Failed deliveries", Value: web.Count(d.Failed), Note: "of these events", Tone: tone(d.Failed, "bad"),
			Href: "/console/deliveries?state=failed",
		},
		waiting(s.Backlog),
		{Label: "Latency", Value: "–", Note: "nothing was received"},
	}
	if s.LatencyMS != nil {
		latency := &list[len(list)-1]
		latency.Value = web.Milliseconds(s.LatencyMS.P50)
		latency.Note = "p95 " + web.Milliseconds(s.LatencyMS.P95) + " · p99 " + web.Milliseconds(s.LatencyMS.P99)
	}
	return list
}

// waiting is the tile of the backlog: more than a minute due is more than a retry that waits for its turn.
func waiting(b client.BacklogStats) web.Tile {
	t := web.Tile{
		Label: "Waiting", Value: web.Count(b.Pending), Note: "none of it due", Href: "/console/deliveries?state=pending",
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

func outcomes(a client.AttemptStats) []web.Share {
	return []web.Share{
		{Label: "Succeeded", Tone: "ok", Count: a.Succeeded},
		{Label: "Rejected", Tone: "bad", Count: a.Rejected},
		{Label: "Timed out", Tone: "warn", Count: a.TimedOut},
		{Label: "Unreachable", Tone: "info", Count: a.Unreachable},
		{Label: "Blocked or unknown", Tone: "mute", Count: a.Blocked + a.Unknown},
	}
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
				return "The queue " + w.PausedQueues[0].Queue + " is paused in River UI: what is in it is not delivered."
			}
			return ""
		}
	}
	return "No worker lives: nothing is delivered. Start `outhook serve` with the role worker."
}
