package console

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

const (
	pageRows = 50

	// eventAttempts is how many attempts stand on an event's page.
	eventAttempts = 25

	// maxExplained is how many endpoints of its tenant an event is explained for. maxDelivered is how many deliveries
	// stand on its page, and maxMisses how many endpoints that have none.
	maxExplained = 1000
	maxDelivered = 30
	maxMisses    = 30

	// maxShownPayload is how much of an indented payload a page holds, in bytes.
	maxShownPayload = 64 << 10
)

func listEvents(v *visit) error {
	page, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{
		TenantID: v.query("tenant"), Type: v.query("type"), Label: v.query("label"),
		Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.Events{
		Filters:  append(v.tenantFilter(), v.text("type", "Type", "invoice.*"), v.text("label", "Label", "any")),
		Filtered: v.filtered("tenant", "type", "label"), Paging: v.paging(page.NextCursor),
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
		DeliverAt: event.DeliverAt, WithdrawnAt: event.WithdrawnAt, Labels: event.Labels,
		Headers: pages.Headers(event.Headers),
	}
	if event.OrderingKey != nil {
		page.OrderingKey = *event.OrderingKey
	}
	for _, d := range worst(event.Deliveries) {
		page.Deliveries = append(page.Deliveries, deliveryRow(d, ""))
	}
	page.MoreDeliveries = len(event.Deliveries) - len(page.Deliveries)

	err = v.fill(
		v.tenantName(event.TenantID, &page.TenantName),
		part{"The reasons", &page.WhyNotice, func(v *visit) error { return v.explainEvent(&page) }},
		part{"The attempts", &page.AttemptsNotice, func(v *visit) error { return v.attemptsOfEvent(&page) }},
		part{"The names", nil, func(v *visit) error { return v.nameEndpoints(&page) }},
	)
	if err != nil {
		return err
	}
	for i := range page.Deliveries {
		page.Deliveries[i].Actions = v.deliveryActions(&page.Deliveries[i], "small")
	}
	return v.show(web.EventPage(v.fresh(event.Type), page))
}

// worst returns the deliveries that stand on an event's page: all, or of very many those that somebody asks about.
func worst(list []client.Delivery) []client.Delivery {
	if len(list) <= maxDelivered {
		return list
	}
	order := []string{"failed", statePending, "cancelled", "succeeded"}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b client.Delivery) int {
		return slices.Index(order, a.State) - slices.Index(order, b.State)
	})
	return list[:maxDelivered]
}

// explainEvent fills in why each endpoint got the event or did not.
func (v *visit) explainEvent(page *web.Event) error {
	why, err := v.api.ExplainEvent(v.ctx(), page.ID, client.ExplainEventParams{Limit: maxExplained})
	if err != nil {
		return err
	}
	explain(page.Deliveries, why.Items)
	page.MoreMissed = why.NextCursor != nil
	addMisses(page, why.Items)
	return nil
}

func (v *visit) attemptsOfEvent(page *web.Event) error {
	attempts, err := v.api.ListEventAttempts(v.ctx(), page.ID, client.ListEventAttemptsParams{
		Order: "desc", Limit: eventAttempts,
	})
	if err != nil {
		return err
	}
	page.MoreAttempts = attempts.NextCursor != nil
	for _, a := range attempts.Items {
		page.Attempts = append(page.Attempts, pages.NewAttempt(a, "/console/deliveries/"+page.ID+"/"+a.EndpointID))
	}
	return nil
}

// nameEndpoints fills in the URLs of all endpoints on an event's page, asked for in one request.
func (v *visit) nameEndpoints(page *web.Event) error {
	var ids []string
	for _, d := range page.Deliveries {
		ids = append(ids, d.EndpointID)
	}
	for _, m := range page.Missed {
		ids = append(ids, m.EndpointID)
	}
	for _, a := range page.Attempts {
		ids = append(ids, a.EndpointID)
	}
	names, err := v.endpointNames(ids)
	if err != nil {
		return err
	}

	for i := range page.Deliveries {
		page.Deliveries[i].Endpoint = names[page.Deliveries[i].EndpointID]
	}
	for i := range page.Missed {
		page.Missed[i].Endpoint = names[page.Missed[i].EndpointID]
	}
	for i := range page.Attempts {
		page.Attempts[i].Endpoint = names[page.Attempts[i].EndpointID]
	}
	return nil
}

// addMisses tells of the endpoints that have no delivery. Those that were not subscribed, which are most, come last.
func addMisses(page *web.Event, why []client.Why) {
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

	for _, w := range missed {
		page.Missed = append(page.Missed, web.MissRow{
			EndpointID: w.EndpointID, Cause: web.MissMark(w.Because), Why: pages.Sentence(w.Text),
		})
	}
}

// rank orders endpoints without a delivery by how much somebody who asks would want to know of them.
func rank(w client.Why) int {
	switch {
	case w.Because == "not_subscribed" || w.Because == "other_labels":
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
	if v.owns() && event.WithdrawnAt == nil && event.DeliverAt != nil && event.DeliverAt.After(time.Now()) {
		actions = append(actions, web.Action{
			ID: "cancel", Label: "Take back", Icon: "stop", Href: path + "/cancel", Tone: "danger",
			Title: "Take this event back?",
			Text: event.Type + " of " + event.TenantID + " is to be delivered later. Its deliveries are cancelled, " +
				"and nothing can deliver it any more.",
		})
	}
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

func cancelEvent(v *visit) error {
	id := v.PathValue("event")
	if _, err := v.api.CancelEvent(v.ctx(), client.CancelEventParams{ID: id}); err != nil {
		return err
	}
	return v.back("/console/events/"+id, "cancelled")
}

func erasePayload(v *visit) error {
	id := v.PathValue("event")
	if err := v.api.ErasePayload(v.ctx(), id, client.ErasePayloadParams{Force: true}); err != nil {
		return err
	}
	return v.back("/console/events/"+id, "erased")
}
