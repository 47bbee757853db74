package console

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

const riverUIPath = "/riverui/"

// showSystem shows who works, and what waits for them.
func showSystem(v *visit) error {
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}
	page, s := web.System{}, v.fresh("System")
	if v.console.cfg.RiverUI {
		page.RiverUI = riverUIPath
	}

	var err error
	if page.Ready, page.Checks, err = v.readiness(); err != nil {
		return err
	}
	err = v.fill(part{"The queues and workers", &page.Notice, func(v *visit) error {
		work, err := v.api.ListWorkers(v.ctx())
		if err != nil {
			return err
		}
		pauses, err := v.api.ListPauses(v.ctx())
		if err != nil {
			return err
		}
		v.fillWork(&page, work, pauses)
		work.PausedQueues = nil // the page says more of them
		s.Alarm = alarm(work)
		return nil
	}})
	if err != nil {
		return err
	}
	return v.show(web.SystemPage(s, page))
}

func (v *visit) fillWork(page *web.System, work *client.Workforce, pauses *client.Pauses) {
	var all *client.Pause
	for _, p := range pauses.Pauses {
		if p.TenantID == nil {
			all = &p
			page.Pause = &web.TenantPause{By: p.PausedBy, Reason: strings.TrimSuffix(p.Reason, "."), At: p.PausedAt, All: true}
		}
	}

	for _, w := range work.Workers {
		page.Workers = append(page.Workers, systemWorker(w))
	}
	for _, q := range work.Queues {
		page.Queues = append(page.Queues, v.systemQueue(q))
	}

	for _, q := range work.PausedQueues {
		if all != nil && q.PausedAt.Equal(all.PausedAt) {
			continue // by that, and not by itself
		}
		page.Paused = append(page.Paused, web.PausedQueue{
			Name: q.Queue, At: q.PausedAt, Due: q.Due, Href: v.inRiverUI(q.Queue),
		})
	}
	for _, l := range work.Leases {
		page.Leases = append(page.Leases, web.Lease{Name: l.Name, Holder: l.Holder, Since: l.Since, Text: leaseText(l.Name)})
	}
}

func systemWorker(w client.Worker) web.SystemWorker {
	row := web.SystemWorker{ID: w.ID, Since: w.Since, Running: w.Running}
	for _, r := range w.Runs {
		row.Runs = append(row.Runs, web.Run{Queue: r.Queue, Running: r.Running, Oldest: r.OldestAt})
	}
	return row
}

func (v *visit) systemQueue(q client.QueueDepth) web.SystemQueue {
	row := web.SystemQueue{
		QueueRow: web.QueueRow{Name: q.Queue, Due: q.Due, Later: q.Later, Running: q.Running},
		Text:     queueText(q.Queue), Href: v.inRiverUI(q.Queue),
	}
	if q.Due > 0 {
		row.Oldest = web.Milliseconds(q.OldestDueS * 1000)
	}
	return row
}

// inRiverUI returns the path of a queue there, or "". River knows no row of a lane's queue: all queues are listed.
func (v *visit) inRiverUI(queue string) string {
	switch {
	case !v.console.cfg.RiverUI:
		return ""
	case queue == "lane":
		return riverUIPath + "queues"
	}
	return riverUIPath + "queues/" + queue
}

// queueText says who waits in a queue.
func queueText(name string) string {
	switch name {
	case "deliver":
		return "live traffic of healthy endpoints"
	case "deliver_bulk":
		return "bursts, replays and recovers, by tenant in turn"

	case "deliver_slow":
		return "slow endpoints, as their lanes release it"
	case "deliver_limited":
		return "endpoints with a rate limit, as their lanes release it"
	case "lane":
		return "lanes: what slow, limited and paused endpoints hold back"
	}
	return ""
}

func leaseText(name string) string {
	switch name {
	case "pacer":
		return "releases what waits in lanes"
	case "retention":
		return "removes old days, and makes new ones"
	}
	return ""
}

// readiness asks this process what load balancers ask it.
func (v *visit) readiness() (ready web.Mark, checks []web.Check, err error) {
	r, err := http.NewRequestWithContext(v.ctx(), http.MethodGet, "http://console/readyz", http.NoBody)
	if err != nil {
		return ready, nil, err
	}
	res, err := v.console.inside.Do(r)
	if err != nil {
		return ready, nil, err
	}
	defer func() { _ = res.Body.Close() }()

	var answer struct{ Checks map[string]string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return ready, nil, err
	}

	ready = web.Mark{Tone: "ok", Icon: "check", Text: "Ready"}
	if res.StatusCode != http.StatusOK {
		ready = web.Mark{Tone: "bad", Icon: "cross", Text: "Not ready"}
	}
	for _, c := range pages.Headers(answer.Checks) {
		checks = append(checks, readinessCheck(c.Name, c.Value))
	}
	return ready, checks, nil
}

func readinessCheck(name, result string) web.Check {
	c := web.Check{Name: pages.Sentence(name)[:len(name)], State: web.Mark{Tone: "bad", Icon: "cross", Text: "Not ready"}}

	switch result {
	case "ok":
		c.State = web.Mark{Tone: "ok", Icon: "check", Text: "OK"}
	case "unknown":
		c.State = web.Mark{Tone: "mute", Icon: "dot", Text: "Unknown"}
		c.Text = "It could not be asked."
	case "unreachable":
		c.State.Text, c.Text = "Unreachable", "The log of the server says why."
	case "read_only":
		c.State.Text, c.Text = "Read-only", "Connections go to a standby, or the server is in recovery."
	case "stopping":
		c.State.Text, c.Text = "Stopping", "The process ends after what it has begun."
	case "given_back":
		c.State = web.Mark{Tone: "warn", Icon: "alert", Text: "Given back"}
		c.Text = "Deliveries could not be worked for trouble of ours; they are tried again. The log says why."
	case "held_back":
		c.State = web.Mark{Tone: "warn", Icon: "alert", Text: "Held back"}
		c.Text = "Vacuum can't remove dead rows: a transaction, a slot or a standby holds them. The log names it."
	}
	return c
}
