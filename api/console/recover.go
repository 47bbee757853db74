package console

import (
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// sinceChoices are how far back an endpoint is recovered.
func sinceChoices() []web.Option {
	return []web.Option{
		{Value: "1h", Label: "The last hour"},
		{Value: "24h", Label: "The last 24 hours"},
		{Value: "168h", Label: "The last 7 days"},
		{Value: "720h", Label: "The last 30 days"},
	}
}

// askRecover says how much a recover of an endpoint would deliver again, and asks for it.
func askRecover(v *visit) error {
	if err := v.needs(scopeAdmin, scopeTenant, scopeOperate); err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}
	back, err := time.ParseDuration(v.query("since"))
	if err != nil || back <= 0 {
		back = 24 * time.Hour
	}

	missed := v.query("missed") == "true"
	counted, err := v.api.PreviewRecover(v.ctx(), e.ID, client.PreviewRecoverParams{
		Since: time.Now().UTC().Add(-back).Truncate(time.Second), Missed: missed,
	})
	if err != nil {
		return err
	}

	page := web.Confirm{
		Title: "Recover", Path: "/console/endpoints/" + e.ID + "/recover", Back: "/console/endpoints/" + e.ID,
		Crumbs: []web.Crumb{
			{Label: "Endpoints", Href: "/console/endpoints"}, {Label: pages.Place(e.URL), Href: "/console/endpoints/" + e.ID},
		},
		Choice: []web.Input{
			{Name: "since", Label: "What failed in", Type: "select"},
			{Name: "missed", Label: "And what was missed", Type: "select", Options: []web.Option{
				{Value: "", Label: "No"}, {Value: "true", Label: "Yes", Selected: missed},
			}},
		},
		Count: newCounted(counted),
	}
	for _, o := range sinceChoices() {
		length, _ := time.ParseDuration(o.Value) // they are ours
		o.Selected = length == back
		page.Choice[0].Options = append(page.Choice[0].Options, o)
	}

	page.What = append([]web.Header{
		{Name: "Endpoint", Value: pages.Place(e.URL)}, {Name: "Tenant", Value: e.TenantID},
	}, settledIn(counted)...)
	page.Order = web.Action{
		Label: "Deliver again", Icon: "again", Tone: "primary", Href: page.Path,
		Input: []web.Input{
			newToken(),
			{Name: "since", Value: exact(counted.Since), Hidden: true},
			{Name: "until", Value: exact(counted.Until), Hidden: true},
			{Name: "missed", Value: v.query("missed"), Hidden: true},
		},
	}
	return v.show(web.ConfirmPage(v.shell("Recover "+pages.Place(e.URL)), page))
}

// settledIn is the range of time that was counted.
func settledIn(p *client.Preview) []web.Header {
	return []web.Header{{Name: "Settled from", Value: exact(p.Since)}, {Name: "Until", Value: exact(p.Until)}}
}

func newCounted(p *client.Preview) web.Counted {
	return web.Counted{Replayed: p.ReplayCount, Endpoints: p.EndpointCount, Skipped: p.SkipCount, Complete: p.Complete}
}

// exact writes a moment so that it is read again as it was.
func exact(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// recoverEndpoint orders what was counted.
func recoverEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}

	order := client.NewRecover{Since: moment(t["since"])}
	if until := moment(t["until"]); !until.IsZero() {
		order.Until = &until
	}
	if t["missed"] == "true" {
		missed := true
		order.Missed = &missed
	}
	started, err := v.api.RecoverEndpoint(v.ctx(), v.PathValue("endpoint"), order, client.RecoverEndpointParams{
		IdempotencyKey: t[tokenField],
	})
	if err != nil {
		return err
	}
	return v.back("/console/operations/"+started.ID, "recovering")
}

// confirmOperation says how much the operation of a form would replay, and asks for it. Of what is wrong with the form,
// the error is the API's.
func (v *visit) confirmOperation(t texts, order client.NewReplay) error {
	p := client.PreviewOperationParams{Since: order.Since, EventTypes: order.EventTypes, States: order.States}
	what := []web.Header{{Name: "States", Value: strings.Join(order.States, ", ")}}
	if order.Until != nil {
		p.Until = *order.Until
	}
	if len(order.EventTypes) > 0 {
		what = append(what, web.Header{Name: "Types", Value: strings.Join(order.EventTypes, ", ")})
	}
	if order.TenantID != nil {
		p.TenantID = *order.TenantID
		what = append(what, web.Header{Name: "Tenant", Value: p.TenantID})
	}
	if order.EndpointID != nil {
		p.EndpointID = *order.EndpointID
		what = append(what, web.Header{Name: "Endpoint", Value: p.EndpointID})
	}

	counted, err := v.api.PreviewOperation(v.ctx(), p)
	if err != nil {
		return err
	}
	page := web.Confirm{
		Title: "Replay many", Crumbs: []web.Crumb{operationsCrumb()}, Back: "/console/operations/new",
		Count: newCounted(counted),
		What: append(what, web.Header{Name: "Settled from", Value: exact(counted.Since)},
			web.Header{Name: "Until", Value: exact(counted.Until)}),
		Order: web.Action{Label: "Replay", Icon: "again", Tone: "primary", Href: "/console/operations"},
	}
	t["until"], t[confirmedField] = exact(counted.Until), "yes"
	for _, name := range []string{tokenField, confirmedField, "since", "until", "tenant", "endpoint", "types", "states"} {
		page.Order.Input = append(page.Order.Input, web.Input{Name: name, Value: t[name], Hidden: true})
	}
	return v.show(web.ConfirmPage(v.shell("Replay many"), page))
}

// confirmedField tells the order of somebody who has seen how much it does.
const confirmedField = "confirmed"
