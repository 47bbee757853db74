package console

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

// showHistory shows what an endpoint has been, also one that is deleted.
func showHistory(v *visit) error {
	id := v.PathValue("endpoint")
	page, err := v.api.ListEndpointRevisions(v.ctx(), id, client.ListEndpointRevisionsParams{
		Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}
	list := page.Items
	if page.NextCursor != nil { // what the last one has changed, the one before it tells
		before, err := v.api.ListEndpointRevisions(v.ctx(), id, client.ListEndpointRevisionsParams{
			Limit: 1, Cursor: *page.NextCursor,
		})
		if err != nil {
			return err
		}
		list = append(list, before.Items...)
	}

	names, err := v.endpointNames([]string{id})
	if err != nil {
		return err
	}
	name := web.Or(names[id], id)
	h := web.History{ID: id, URL: name, Paging: v.paging(page.NextCursor)}
	if v.owns() {
		h.AuditHref = trail("object", id)
	}
	for i := range page.Items {
		var before *client.EndpointRevision
		if i+1 < len(list) {
			before = &list[i+1]
		}
		h.Revisions = append(h.Revisions, revision(list[i], before))
	}
	return v.show(web.HistoryPage(v.fresh("History of "+name), h))
}

func revision(r client.EndpointRevision, before *client.EndpointRevision) web.Revision {
	row := web.Revision{At: r.At}
	if r.By != nil {
		row.Who = *r.By
	}
	if r.Action != nil {
		row.Action = *r.Action
	}

	switch {
	case r.FirstKnown:
		row.Note = "What it was before is not known."
	case len(r.Changed) == 0:
		row.Note = "Created."
	}
	for _, property := range r.Changed {
		c := web.Change{After: revised(r, property)}
		if before != nil {
			c.Before = revised(*before, property)
		}
		c.Name = strings.ReplaceAll(strings.TrimSuffix(property, "_ms"), "_", " ")
		if property == "status" && r.By == nil { // who ordered it has said nothing of why
			row.Reason = r.StatusReason
		}
		row.Changes = append(row.Changes, c)
	}
	return row
}

// revised writes a property of a revision, as the API names it.
func revised(r client.EndpointRevision, property string) string {
	switch property {
	case "event_types":
		return web.Or(strings.Join(r.EventTypes, ", "), "all")
	case "status":
		return r.Status
	case "host":
		if r.Host == nil {
			return "erased"
		}
		return *r.Host
	case "deleted":
		return map[bool]string{true: "yes", false: "no"}[r.Deleted]

	case "timeout_ms":
		return web.Milliseconds(float64(r.TimeoutMS))
	case "max_in_flight":
		return strconv.Itoa(r.MaxInFlight)
	case "rate_limit":
		return rateLimit(r.RateLimit)
	case "ordered":
		return orderName(r.Ordered)
	case "retry_schedule":
		return web.Or(strings.Join(r.RetrySchedule, ", "), "the server's")
	case "retry_jitter":
		if r.RetryJitter == nil {
			return "the server's"
		}
		return strconv.FormatFloat(*r.RetryJitter, 'f', -1, 64)
	}
	return "changed"
}

func orderName(ordered string) string {
	switch ordered {
	case "block":
		return "yes; paused when a schedule is used up"
	case "skip":
		return "yes; goes on when a schedule is used up"
	}
	return "no"
}

func rateLimit(l client.RateLimit) string {
	if l.Requests == 0 {
		return "none"
	}
	return fmt.Sprintf("%d a %s, bursts of %d", l.Requests, l.Per, l.Burst)
}
