package portal

import (
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// askRecover says how much a recover of an endpoint would deliver again, and asks for it. What was missed while it was
// disabled is part of it: a customer asks for what is not there, whatever has kept it away.
func askRecover(v *visit) error {
	if err := v.needs(replay); err != nil {
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
	counted, err := v.api.PreviewRecover(v.ctx(), e.ID, client.PreviewRecoverParams{
		Since: time.Now().UTC().Add(-back).Truncate(time.Second), Missed: true,
	})
	if err != nil {
		return err
	}

	path := "/portal/endpoints/" + e.ID
	since := web.Input{Name: "since", Label: v.t("What failed or was missed in"), Type: "select"}
	for _, o := range []web.Option{
		{Value: "1h", Label: v.t("The last hour")},
		{Value: "24h", Label: v.t("The last 24 hours")},
		{Value: "168h", Label: v.t("The last 7 days")},
		{Value: "720h", Label: v.t("The last 30 days")},
	} {
		length, _ := time.ParseDuration(o.Value) // they are ours
		o.Selected = length == back
		since.Options = append(since.Options, o)
	}
	exact := func(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }
	page := web.Confirm{
		Title: v.t("Recover"), Path: path + "/recover", Back: path,
		Crumbs: []web.Crumb{v.endpointsCrumb(), v.endpointCrumb(e)},
		Choice: []web.Input{since},
		Count:  web.Counted{Replayed: counted.ReplayCount, Endpoints: 1, Complete: counted.Complete},
		Order: web.Action{
			Label: v.t("Deliver again"), Icon: "again", Tone: "primary", Href: path + "/recover",
			Input: []web.Input{
				{Name: tokenField, Value: uuid.NewString(), Hidden: true},
				{Name: "since", Value: exact(counted.Since), Hidden: true},
				{Name: "until", Value: exact(counted.Until), Hidden: true},
			},
		},
	}
	return v.show(web.PortalConfirmPage(v.shell(page.Title), page))
}

// recoverEndpoint orders what was counted.
func recoverEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	since, err := time.Parse(time.RFC3339Nano, t["since"])
	if err != nil {
		return pages.Refusal(422, "this is no time")
	}

	missed := true
	order := client.NewRecover{Since: since, Missed: &missed}
	if until, err := time.Parse(time.RFC3339Nano, t["until"]); err == nil {
		order.Until = &until
	}
	id := v.PathValue("endpoint")
	_, err = v.api.RecoverEndpoint(v.ctx(), id, order, client.RecoverEndpointParams{IdempotencyKey: t[tokenField]})
	if err != nil {
		return err
	}
	return v.back("/portal/endpoints/"+id, "recovering")
}

// recovering says how far an endpoint's recover is, or "".
func (v *visit) recovering(id string) (string, error) {
	running, err := v.api.ListOperations(v.ctx(), client.ListOperationsParams{EndpointID: id, State: "running", Limit: 1})
	if err != nil || len(running.Items) == 0 {
		return "", err
	}
	return web.N(v.Context(), running.Items[0].ReplayedCount, "What was missed is delivered again: 1 event so far.",
		"What was missed is delivered again: %s events so far."), nil
}
