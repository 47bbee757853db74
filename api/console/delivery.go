package console

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// States of deliveries, as the API has them; none: of an endpoint that has no delivery.
const (
	statePending = "pending"
	stateNone    = "none"
)

func listDeliveries(v *visit) error {
	p := client.ListDeliveriesParams{
		TenantID: v.query("tenant"), EndpointID: v.query("endpoint"), EventID: v.query("event"), Type: v.query("type"),
		State:  v.query("state"),
		Reason: v.query("reason"), Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	}
	if outcome := v.query("outcome"); outcome != "" {
		p.Outcome = []string{outcome}
	}
	p.StatusCode, _ = strconv.Atoi(v.query("status")) // what is no number filters nothing

	page, err := v.api.ListDeliveries(v.ctx(), p)
	if err != nil {
		return err
	}
	list := web.Deliveries{
		Filters:  v.deliveryFilters(),
		Filtered: v.filtered("tenant", "endpoint", "event", "type", "state", "reason", "outcome", "status"),
		Paging:   v.paging(page.NextCursor), Partial: page.NextCursor != nil && len(page.Items) == 0,
	}
	if list.Rows, err = v.deliveryRows(page.Items); err != nil {
		return err
	}

	s := v.shell("Deliveries")
	if v.query("cursor") == "" {
		s.Refresh = refreshSeconds
	}
	return v.show(web.DeliveriesPage(s, list))
}

func (v *visit) deliveryFilters() []web.Input {
	options := func(values ...string) (list []web.Option) {
		for _, value := range values {
			text := strings.ReplaceAll(value, "_", " ")
			list = append(list, web.Option{Value: value, Label: strings.ToUpper(text[:1]) + text[1:]})
		}
		return list
	}

	filters := append([]web.Input{
		v.choice("state", "State", options("pending", "succeeded", "failed", "cancelled")...),
		v.choice("outcome", "Last attempt", options("succeeded", "rejected", "timed_out", "unreachable", "blocked",
			"unknown")...),
		v.text("status", "Status", "500"),
		v.text("type", "Type", "invoice.*"),
	}, v.tenantFilter()...)
	filters = append(filters, v.text("endpoint", "Endpoint", "id"))
	if v.query("event") != "" {
		filters = append(filters, v.text("event", "Event", "id"))
	}
	return filters
}

// deliveryRows returns rows with the URLs of their endpoints.
func (v *visit) deliveryRows(list []client.Delivery) ([]web.DeliveryRow, error) {
	ids := make([]string, len(list))
	for i, d := range list {
		ids[i] = d.EndpointID
	}
	names, err := v.endpointNames(ids)
	if err != nil {
		return nil, err
	}

	rows := make([]web.DeliveryRow, len(list))
	for i, d := range list {
		rows[i] = deliveryRow(d, names[d.EndpointID])
	}
	return rows, nil
}

// lately returns the newest deliveries.
func (v *visit) lately(p client.ListDeliveriesParams) ([]web.DeliveryRow, error) {
	p.Order = "desc"
	latest, err := v.api.ListDeliveries(v.ctx(), p)
	if err != nil {
		return nil, err
	}
	return v.deliveryRows(latest.Items)
}

// maxNamed bounds how many endpoints a page names, in one request; the others have their ids.
const maxNamed = 200

// endpointNames returns the URLs of endpoints by their ids, without queries. A list is a list without them.
func (v *visit) endpointNames(ids []string) (names map[string]string, err error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	ids = ids[:min(len(ids), maxNamed)]
	if len(ids) == 0 {
		return nil, nil
	}

	return names, v.fill(part{"The names", nil, func(v *visit) error {
		page, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{ID: ids, Limit: maxNamed})
		if err != nil {
			return err
		}

		names = make(map[string]string, len(ids))
		for _, id := range ids {
			names[id] = "deleted"
		}
		for _, e := range page.Items {
			names[e.ID] = pages.Place(e.URL)
		}
		return nil
	}})
}

func deliveryRow(d client.Delivery, endpoint string) web.DeliveryRow {
	row := web.DeliveryRow{
		EventID: d.EventID, EndpointID: d.EndpointID, Type: d.Type, Tenant: d.TenantID, Endpoint: endpoint,
		State: web.DeliveryMark(d.State), Attempts: d.AttemptCount, At: d.CreatedAt, Next: d.NextAttemptAt,
	}
	if d.Reason != nil {
		row.Reason = strings.ReplaceAll(*d.Reason, "_", " ")
	}
	return row
}

// explain gives each row the words of its delivery.
func explain(rows []web.DeliveryRow, why []client.Why) {
	for i := range rows {
		for _, w := range why {
			if w.EndpointID == rows[i].EndpointID {
				rows[i].Why = pages.Sentence(w.Text)
			}
		}
	}
}

func showDelivery(v *visit) error {
	event, endpoint := v.PathValue("event"), v.PathValue("endpoint")
	d, err := v.api.GetDelivery(v.ctx(), event, endpoint, client.GetDeliveryParams{})
	if err != nil {
		return err
	}
	rows, err := v.deliveryRows([]client.Delivery{*d})
	if err != nil {
		return err
	}

	page := web.Delivery{DeliveryRow: rows[0], CompletedAt: d.CompletedAt}
	page.Actions = v.deliveryActions(&rows[0], "")
	err = v.fill(
		part{"The reasons", &page.WhyNotice, func(v *visit) error {
			why, err := v.api.ExplainEvent(v.ctx(), event, client.ExplainEventParams{EndpointID: d.EndpointID})
			if err == nil {
				explain(rows, why.Items)
				page.Why = rows[0].Why
			}
			return err
		}},
		part{"The attempts", &page.AttemptsNotice, func(v *visit) error { return v.attemptsOf(event, endpoint, &page) }},
		v.tenantName(d.TenantID, &page.TenantName),
	)
	if err != nil {
		return err
	}
	return v.show(web.DeliveryPage(v.fresh(d.Type), page))
}

// attemptsOf fills in a page of a delivery's attempts.
func (v *visit) attemptsOf(event, endpoint string, page *web.Delivery) error {
	attempts, err := v.api.ListDeliveryAttempts(v.ctx(), event, endpoint, client.ListDeliveryAttemptsParams{
		Order: "desc", Limit: 10, Bodies: true, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	if attempts.NextCursor != nil {
		page.Older = v.pathWith("cursor", *attempts.NextCursor)
	}
	for _, a := range attempts.Items {
		page.Attempts = append(page.Attempts, pages.NewAttempt(a, "/console/deliveries/"+event+"/"+a.EndpointID))
	}
	return nil
}

// deliveryActions are what the session may order of a delivery.
func (v *visit) deliveryActions(r *web.DeliveryRow, tone string) []web.Action {
	what := r.Type + " of " + r.Tenant + " to " + web.Or(r.Endpoint, r.EndpointID)
	if r.State.Tone != web.DeliveryMark(statePending).Tone {
		if !v.operates() {
			return nil
		}
		return []web.Action{{
			ID: "replay-" + r.EndpointID, Label: "Replay", Icon: "again", Href: r.Href() + "/replay", Tone: tone,
			Title: "Replay this delivery?", Text: what + " is delivered again, with the same id and the whole retry schedule.",
		}}
	}

	var actions []web.Action
	if v.operates() && r.Next != nil {
		actions = append(actions, web.Action{
			Label: "Send now", Icon: "send", Href: r.Href() + "/replay", Tone: tone,
			Input: []web.Input{{Name: "now", Value: "true", Hidden: true}},
		})
	}
	if v.owns() {
		actions = append(actions, web.Action{
			ID: "cancel-" + r.EndpointID, Label: "Give up", Icon: "stop", Href: r.Href() + "/cancel", Tone: "danger " + tone,
			Title: "Give up this delivery?", Text: what + " gets no further attempt. It can be replayed later.",
		})
	}
	return actions
}

func replayDelivery(v *visit) error {
	event, endpoint := v.PathValue("event"), v.PathValue("endpoint")
	p := client.ReplayDeliveryParams{Now: v.FormValue("now") == "true"}
	if _, err := v.api.ReplayDelivery(v.ctx(), event, endpoint, nil, p); err != nil {
		return err
	}
	return v.back("/console/deliveries/"+event+"/"+endpoint, "replayed")
}

func cancelDelivery(v *visit) error {
	event, endpoint := v.PathValue("event"), v.PathValue("endpoint")
	if _, err := v.api.CancelDelivery(v.ctx(), event, endpoint, client.CancelDeliveryParams{}); err != nil {
		return err
	}
	return v.back("/console/deliveries/"+event+"/"+endpoint, "cancelled")
}
