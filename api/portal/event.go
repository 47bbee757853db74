package portal

import (
	"bytes"
	"slices"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

const (
	// maxShownPayload bounds what of a payload a page shows, in bytes.
	maxShownPayload = 64 << 10

	// maxAsked is how many endpoints an event's page looks at, maxTold of how many it tells, those first that somebody
	// asks for, and maxAttempts how many attempts of all it shows.
	maxAsked    = 1000
	maxTold     = 50
	maxAttempts = 100
)

// kind is a type of events as a page shows it: that of a test is ours, and nobody subscribes to it.
func (v *visit) kind(eventType string) string {
	if eventType == "outhook.test" {
		return v.t("A test")
	}
	return eventType
}

func (v *visit) deliveryRow(d client.Delivery, endpoint string) web.PortalDelivery {
	return web.PortalDelivery{
		Href: "/portal/events/" + d.EventID, Type: v.kind(d.Type), EventID: d.EventID, Endpoint: endpoint,
		State: web.DeliveryMark(d.State), Attempts: d.AttemptCount, At: d.CreatedAt,
	}
}

func listActivity(v *visit) error {
	page, err := v.api.ListDeliveries(v.ctx(), client.ListDeliveriesParams{
		EndpointID: v.query("endpoint"), Type: v.query("type"), State: v.query("state"), Order: "desc", Limit: pageRows,
		Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}
	places, err := v.places()
	if err != nil {
		return err
	}

	list := web.PortalActivity{
		Filters:  v.activityFilters(places),
		Filtered: v.query("endpoint")+v.query("type")+v.query("state") != "", Paging: v.paging(page.NextCursor),
		Partial: page.NextCursor != nil && len(page.Items) == 0,
	}
	for _, d := range page.Items {
		list.Rows = append(list.Rows, v.deliveryRow(d, places[d.EndpointID]))
	}

	s := v.shell(v.t("Activity"))
	if v.query("cursor") == "" {
		s.Refresh = refreshSeconds
	}
	return v.show(web.PortalActivityPage(s, list))
}

// maxPlaces is how many endpoints have their URLs on a page; a customer with more finds the others' by their own pages.
const maxPlaces = 200

// places are the URLs of the customer's endpoints, by their ids.
func (v *visit) places() (map[string]string, error) {
	list, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{Limit: maxPlaces})
	if err != nil {
		return nil, err
	}
	places := make(map[string]string, len(list.Items))
	for _, e := range list.Items {
		places[e.ID] = pages.Place(e.URL)
	}
	return places, nil
}

func (v *visit) activityFilters(places map[string]string) []web.Input {
	choice := func(name, label string, options ...web.Option) web.Input {
		options = append([]web.Option{{Label: v.t("Any")}}, options...)
		for i := range options {
			options[i].Selected = options[i].Value == v.query(name)
		}
		return web.Input{Name: name, Label: label, Type: "select", Options: options}
	}

	var of []web.Option
	for id, place := range places {
		of = append(of, web.Option{Value: id, Label: place})
	}
	slices.SortFunc(of, func(a, b web.Option) int { return bytes.Compare([]byte(a.Label), []byte(b.Label)) })
	return []web.Input{
		choice("state", v.t("State"), web.Option{Value: "succeeded", Label: v.t("Succeeded")},
			web.Option{Value: "pending", Label: v.t("Pending")}, web.Option{Value: "failed", Label: v.t("Failed")},
			web.Option{Value: "cancelled", Label: v.t("Cancelled")}),
		{Name: "type", Label: v.t("Event type"), Type: "search", Value: v.query("type"), Placeholder: "invoice.*"},
		choice("endpoint", v.t("Endpoint"), of...),
	}
}

func showEvent(v *visit) error {
	event, err := v.api.GetEvent(v.ctx(), v.PathValue("event"))
	if err != nil {
		return err
	}
	why, err := v.api.ExplainEvent(v.ctx(), event.ID, client.ExplainEventParams{Limit: maxAsked})
	if err != nil {
		return err
	}
	attempts, err := v.api.ListEventAttempts(v.ctx(), event.ID, client.ListEventAttemptsParams{
		Order: "desc", Limit: maxAttempts, Bodies: true,
	})
	if err != nil {
		return err
	}
	places, err := v.places()
	if err != nil {
		return err
	}

	page := web.PortalEvent{
		ID: event.ID, Type: v.kind(event.Type), At: event.CreatedAt,
		More: why.NextCursor != nil || len(why.Items) > maxTold,
	}
	switch {
	case event.PayloadErased:
		page.PayloadNote = v.t("The payload is no longer kept.")
	case !v.can(payloads):
		page.PayloadNote = v.t("Payloads are not shown in this session.")
	default:
		page.Payload, page.PayloadBytes = v.indented(event.Payload), len(event.Payload)
	}
	for _, w := range why.Items {
		page.Told = append(page.Told, v.toldOf(w, places, attempts.Items))
	}
	slices.SortStableFunc(page.Told, func(a, b web.PortalTold) int { return rank(a) - rank(b) })
	page.Told = page.Told[:min(len(page.Told), maxTold)]
	return v.show(web.PortalEventPage(v.fresh(page.Type), page))
}

// rank orders what became of an event by how much somebody who asks would want to know of it.
func rank(t web.PortalTold) int {
	switch t.State.Tone {
	case "bad":
		return 0
	case "warn":
		return 1
	case "mute":
		return 3
	}
	return 2
}

// toldOf is what became of an event at an endpoint.
func (v *visit) toldOf(w client.Why, places map[string]string, attempts []client.Attempt) web.PortalTold {
	t := web.PortalTold{EndpointID: w.EndpointID, Endpoint: places[w.EndpointID], Why: v.plainly(w)}
	if t.Endpoint == "" {
		t.Endpoint = v.t("A deleted endpoint")
	} else {
		t.Href = "/portal/endpoints/" + w.EndpointID
	}

	t.State = web.DeliveryMark(w.State)
	if w.State == none {
		t.State = web.MissMark(w.Because)
	}
	t.Open = w.State == "failed" || w.State == "pending"
	for _, a := range attempts {
		if a.EndpointID == w.EndpointID {
			t.Attempts = append(t.Attempts, v.told(pages.NewAttempt(a, "/portal/events/"+w.EventID)))
		}
	}

	if t.Href == "" || w.State == none {
		return t
	}
	path := "/portal/events/" + w.EventID + "/" + w.EndpointID + "/retry"
	switch {
	case !v.can(replay):
	case w.State == "pending" && w.Because == "waiting_for_retry":
		t.Actions = []web.Action{{
			Label: v.t("Send now"), Icon: "send", Href: path, Input: []web.Input{{Name: "now", Value: "true", Hidden: true}},
		}}
	case w.State != "pending":
		t.Actions = []web.Action{{
			ID: "retry-" + w.EndpointID, Label: v.t("Send again"), Icon: "again", Href: path, Title: v.t("Send this again?"),
			Text: v.f("%s gets it once more, with the same id.", t.Endpoint),
		}}
	}
	return t
}

// told is an attempt in the page's language.
func (v *visit) told(a web.Attempt) web.Attempt {
	a.Error, a.Advice = v.t(a.Error), v.t(a.Advice)
	return a
}

func retry(v *visit) error {
	event, endpoint := v.PathValue("event"), v.PathValue("endpoint")
	p := client.ReplayDeliveryParams{Now: v.FormValue("now") == "true"}
	if _, err := v.api.ReplayDelivery(v.ctx(), event, endpoint, nil, p); err != nil {
		return err
	}
	return v.back("/portal/events/"+event, "retried")
}
