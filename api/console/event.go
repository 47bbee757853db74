package console

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

const (
	pageRows = 50

	// eventAttempts is how many attempts stand on an event's page.
	eventAttempts = 25

	// maxExplained is how many endpoints of its tenant an event is explained for, and maxMisses how many that have no
	// delivery of it stand on its page.
	maxExplained = 1000
	maxMisses    = 50

	// maxShownPayload is how much of an indented payload a page holds, in bytes.
	maxShownPayload = 64 << 10
)

func listEvents(v *visit) error {
	page, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{
		TenantID: v.query("tenant"), Type: v.query("type"), Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.Events{
		Filters:  append(v.tenantFilter(), v.text("type", "Type", "invoice.*")),
		Filtered: v.filtered("tenant", "type"), Paging: v.paging(page.NextCursor),
		Partial: page.NextCursor != nil && len(page.Items) == 0,
	}
	for _, e := range page.Items {
		list.Rows = append(list.Rows, web.EventRow{
			ID: e.ID, Type: e.Type, Tenant: e.TenantID, At: e.CreatedAt, Deliveries: e.DeliveryCount,
		})
	}

	s := v.shell("Events")
	if v.query("cursor") == "" {
		s.Refresh = refreshSeconds
	}
	return v.show(web.EventsPage(s, list))
}

func showEvent(v *visit) error {
	id := v.PathValue("event")
	event, err := v.api.GetEvent(v.ctx(), id)
	if err != nil {
		return err
	}

	page := web.Event{
		ID: event.ID, Type: event.Type, Tenant: event.TenantID, At: event.CreatedAt, PayloadErased: event.PayloadErased,
		PayloadBytes: len(event.Payload), Payload: indented(event.Payload), Actions: v.eventActions(event),
	}
	if page.TenantName, err = v.tenantName(event.TenantID); err != nil {
		return err
	}
	if page.Deliveries, err = v.deliveryRows(event.Deliveries); err != nil {
		return err
	}
	why, err := v.api.ExplainEvent(v.ctx(), id, client.ExplainEventParams{Limit: maxExplained})
	if err != nil {
		return err
	}
	explain(page.Deliveries, why.Items)
	page.MoreMissed = why.NextCursor != nil
	if err := v.addMisses(&page, why.Items); err != nil {
		return err
	}
	for i := range page.Deliveries {
		page.Deliveries[i].Actions = v.deliveryActions(&page.Deliveries[i], "small")
	}

	attempts, err := v.api.ListEventAttempts(v.ctx(), id, client.ListEventAttemptsParams{
		Order: "desc", Limit: eventAttempts,
	})
	if err != nil {
		return err
	}
	page.MoreAttempts = attempts.NextCursor != nil
	for _, a := range attempts.Items {
		t := newAttempt(a, id)
		for _, d := range page.Deliveries {
			if d.EndpointID == a.EndpointID {
				t.Endpoint = d.Endpoint
			}
		}
		page.Attempts = append(page.Attempts, t)
	}
	return v.show(web.EventPage(v.fresh(event.Type), page))
}

// addMisses tells of the endpoints that have no delivery. Those that were not subscribed, which are most, come last.
func (v *visit) addMisses(page *web.Event, why []client.Why) error {
	var missed []client.Why
	for _, w := range why {
		if w.State == stateNone {
			missed = append(missed, w)
		}
	}
	slices.SortStableFunc(missed, func(a, b client.Why) int { return rank(a) - rank(b) })
	if len(missed) > maxMisses {
		missed, page.MoreMissed = missed[:maxMisses], true
	}

	names := v.newNames()
	for _, w := range missed {
		name, err := names.of(w.EndpointID)
		if err != nil {
			return err
		}
		page.Missed = append(page.Missed, web.MissRow{
			EndpointID: w.EndpointID, Endpoint: name, Cause: web.MissMark(w.Because), Why: sentence(w.Text),
		})
	}
	return nil
}

// rank orders endpoints without a delivery by how much somebody who asks would want to know of them.
func rank(w client.Why) int {
	switch {
	case w.Because == "not_subscribed":
		return 2
	case w.Recoverable || w.Because == "delivery_missing":
		return 0
	}
	return 1
}

func (v *visit) eventActions(event *client.FullEvent) (actions []web.Action) {
	settled := 0
	for _, d := range event.Deliveries {
		if d.State != statePending {
			settled++
		}
	}

	path := "/console/events/" + event.ID
	if v.operates() && settled > 0 && !event.PayloadErased {
		actions = append(actions, web.Action{
			ID: "replay-all", Label: "Replay all", Icon: "again", Href: path + "/replay",
			Title: "Replay " + web.Things(settled, "delivery") + "?",
			Text:  event.Type + " of " + event.TenantID + " is delivered again, with the same id and the whole retry schedule.",
		})
	}
	if v.owns() && !event.PayloadErased {
		actions = append(actions, web.Action{
			ID: "erase", Label: "Erase payload", Icon: "trash", Href: path + "/erase", Tone: "danger",
			Title: "Erase the payload of this event?",
			Text:  event.Type + " of " + event.TenantID + ": what is pending is cancelled, and nothing brings the payload back.",
		})
	}
	return actions
}

// indented returns JSON for people: every byte but the white space is as it was published.
func indented(payload json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, payload, "", "  "); err != nil {
		b.Reset()
		b.Write(payload)
	}
	if b.Len() > maxShownPayload {
		b.Truncate(maxShownPayload)
		b.WriteString("\n… the rest is too long for a page: GET /api/events/{id} has all of it")
	}
	return b.String()
}

// replayEvent delivers all again that is settled.
func replayEvent(v *visit) error {
	id := v.PathValue("event")
	event, err := v.api.GetEvent(v.ctx(), id)
	if err != nil {
		return err
	}

	var order client.ReplaysOrder
	for _, d := range event.Deliveries {
		if d.State != statePending {
			order.Deliveries = append(order.Deliveries, client.DeliveryRef{EventID: id, EndpointID: d.EndpointID})
		}
	}
	if _, err := v.api.ReplayDeliveries(v.ctx(), order, client.ReplayDeliveriesParams{}); err != nil {
		return err
	}
	return v.back("/console/events/"+id, "replayed")
}

func erasePayload(v *visit) error {
	id := v.PathValue("event")
	if err := v.api.ErasePayload(v.ctx(), id, client.ErasePayloadParams{Force: true}); err != nil {
		return err
	}
	return v.back("/console/events/"+id, "erased")
}
