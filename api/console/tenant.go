package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

const (
	// tenantEndpoints is how many endpoints stand on a tenant's page.
	tenantEndpoints = 20

	// tenantDays is of how many days a tenant's page has the usage.
	tenantDays = 14
)

// entry returns a tenant's entry; nil: it has none.
func (v *visit) entry(label string) (*client.Tenant, error) {
	t, err := v.api.GetTenant(v.ctx(), label, client.GetTenantParams{})
	if pages.IsGone(err) || isInvalid(err) {
		return nil, nil //nolint:nilnil // nil is an answer: there is none
	}
	return t, err
}

// tenantName fills in what people call a tenant, "" if nobody has noted that.
func (v *visit) tenantName(label string, name *string) part {
	return part{"The names", nil, func(v *visit) error {
		t, err := v.entry(label)
		if t != nil {
			*name = t.Name
		}
		return err
	}}
}

// listTenants shows the tenants with an entry. Who is bound to a tenant gets to that one's page, and so does who names
// one.
func listTenants(v *visit) error {
	label := strings.TrimSpace(v.query("tenant"))
	if v.session.TenantID != nil {
		label = *v.session.TenantID
	}
	if label != "" {
		http.Redirect(v.w, v.Request, web.TenantHref(label), http.StatusSeeOther)
		return nil
	}

	page, err := v.api.ListTenants(v.ctx(), client.ListTenantsParams{
		Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}
	list := web.Tenants{
		Open:   web.Input{Name: "tenant", Label: "Label", Type: "search", Placeholder: "acme", Required: true},
		Paging: v.paging(page.NextCursor), Noting: v.may(scopeAdmin),
	}
	for _, t := range page.Items {
		list.Rows = append(list.Rows, tenantRow(&t))
	}

	err = v.fill(part{"The counts", &list.UsedNotice, func(v *visit) error { return v.used(&list) }})
	if err != nil {
		return err
	}
	return v.show(web.TenantsPage(v.fresh("Tenants"), list))
}

// usedTenants is how many tenants the list shows that have used something this month. A statement adds up all that each
// of them used by the hour.
const usedTenants = 20

// used fills in who has used something this month.
func (v *visit) used(list *web.Tenants) error {
	used, err := v.api.ListUsage(v.ctx(), client.ListUsageParams{GroupBy: []string{"tenant"}, Limit: usedTenants})
	if err != nil {
		return err
	}

	list.UsedMore = used.NextCursor != nil
	for _, u := range used.Items {
		if u.TenantID != nil {
			list.Used = append(list.Used, web.UsedTenant{Label: *u.TenantID, Used: usageOf(u)})
		}
	}
	return nil
}

func tenantRow(t *client.Tenant) web.TenantRow {
	return web.TenantRow{Label: t.TenantID, Name: t.Name, Contact: t.Contact, Since: t.CreatedAt}
}

func usageOf(u client.Usage) web.Usage {
	return web.Usage{Events: u.Events, Deliveries: u.Deliveries, Attempts: u.Attempts, Bytes: u.PayloadBytes}
}

func showTenant(v *visit) error {
	label := v.PathValue("tenant")
	if own := v.session.TenantID; own != nil && *own != label {
		return notFound(v)
	}

	page := web.Tenant{TenantRow: web.TenantRow{Label: label}}
	t, err := v.entry(label)
	if err != nil {
		return err
	}
	if t != nil {
		page.TenantRow, page.HasEntry, page.Updated = tenantRow(t), true, t.UpdatedAt
		page.Metadata = pages.Headers(t.Metadata)
	}

	err = v.fill(
		part{"The counts", &page.Notice, func(v *visit) error {
			return v.counts(label, web.TenantHref(label), &page.Charts, &page.Tiles)
		}},
		part{"The endpoints", &page.EndpointsNotice, func(v *visit) error { return v.fillTenantEndpoints(&page) }},
		part{"The days", &page.DaysNotice, func(v *visit) error { return v.fillTenantDays(&page) }},
		part{"The pauses", &page.PausesNotice, func(v *visit) error { return v.fillPauses(&page) }},
		part{"The counts of the erasure", &page.ErasureNotice, func(v *visit) error { return v.fillErasure(&page) }},
		part{"The traces", nil, func(v *visit) error { return v.fillUnknown(&page) }},
	)
	if err != nil {
		return err
	}
	v.fillTenantActions(&page)
	return v.show(web.TenantPage(v.fresh(web.Or(page.Name, label)), page))
}

func (v *visit) fillTenantEndpoints(page *web.Tenant) error {
	endpoints, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{
		TenantID: page.Label, Order: "desc", Limit: tenantEndpoints,
	})
	if err != nil {
		return err
	}
	page.More = endpoints.NextCursor != nil
	for _, e := range endpoints.Items {
		page.Endpoints = append(page.Endpoints, endpointRow(e))
	}
	return nil
}

// fillTenantDays fills in what was used on each of the last days, today first, unless nothing was.
func (v *visit) fillTenantDays(page *web.Tenant) error {
	first := time.Now().UTC().Truncate(day).Add(-(tenantDays - 1) * day)
	used, err := v.api.ListUsage(v.ctx(), client.ListUsageParams{
		From: first, TenantID: page.Label, GroupBy: []string{"day"}, Limit: tenantDays + 1,
	})
	if err != nil || len(used.Items) == 0 {
		return err
	}

	byDay := map[time.Time]client.Usage{}
	for _, u := range used.Items {
		byDay[u.From.UTC().Truncate(day)] = u
	}
	for i := tenantDays - 1; i >= 0; i-- {
		at := first.Add(time.Duration(i) * day)
		u, counted := byDay[at]
		page.Days = append(page.Days, web.UsageDay{
			Day: at.Format("Mon 2 Jan 2006"), Used: usageOf(u), Final: u.Final || !counted && i < tenantDays-2,
		})
	}
	page.Days = web.Compared(page.Days)
	return nil
}

// fillPauses fills in what keeps the tenant's deliveries back, for who may know.
func (v *visit) fillPauses(page *web.Tenant) error {
	if !v.may(scopeAdmin) {
		return nil
	}
	pauses, err := v.api.ListPauses(v.ctx())
	if err != nil {
		return err
	}

	for _, p := range pauses.Pauses {
		if p.TenantID == nil || *p.TenantID == page.Label {
			page.Pauses = append(page.Pauses, web.TenantPause{
				By: p.PausedBy, Reason: strings.TrimSuffix(p.Reason, "."), At: p.PausedAt, All: p.TenantID == nil,
			})
		}
	}
	return nil
}

// fillErasure fills in how far the erasure is that was just ordered.
func (v *visit) fillErasure(page *web.Tenant) error {
	id := v.query("erasure")
	if known := uuid.Validate(id) == nil; !known || !v.may(scopeAdmin) {
		return nil
	}

	e, err := v.api.GetErasure(v.ctx(), id)
	if pages.IsGone(err) {
		e, err = nil, nil
	}
	if err != nil || e == nil || e.TenantID != page.Label {
		return err
	}

	page.Erasure = &web.Erasure{Completed: e.CompletedAt, Counts: []web.Header{
		{Name: "Endpoints deleted", Value: web.Count(e.EndpointCount)},
		{Name: "Deliveries cancelled", Value: web.Count(e.DeliveryCount)},
		{Name: "Payloads", Value: web.Count(e.PayloadCount)},
		{Name: "Attempts' answers", Value: web.Count(e.AttemptCount)},
		{Name: "Idempotency keys", Value: web.Count(e.KeyCount)},
	}}
	return nil
}

// fillUnknown finds out whether there is such a tenant at all, if the page shows nothing of it.
func (v *visit) fillUnknown(page *web.Tenant) error {
	if page.HasEntry || len(page.Endpoints) > 0 || len(page.Days) > 0 || page.EndpointsNotice+page.DaysNotice != "" {
		return nil
	}
	found, err := v.api.Find(v.ctx(), client.FindParams{Q: page.Label, TenantID: page.Label})
	if err != nil && !isInvalid(err) {
		return err
	}

	page.Unknown = true
	if found != nil {
		for _, item := range found.Items {
			page.Unknown = page.Unknown && item.Kind != "tenant"
		}
	}
	return nil
}

// fillTenantActions fills in what the session may order of a tenant.
func (v *visit) fillTenantActions(page *web.Tenant) {
	path, name := web.TenantHref(page.Label), page.Label
	if page.Name != "" {
		name += " (" + page.Name + ")"
	}
	if v.owns() {
		page.NewHref = web.OfTenant("/console/endpoints/new", page.Label)
	}
	if !v.may(scopeAdmin) {
		return
	}

	if page.PausesNotice == "" {
		page.Actions = append(page.Actions, pauseAction(page, path, name))
	}
	page.Actions = append(page.Actions, web.Action{Label: "Edit", Icon: "gear", Href: path + "/edit", Opens: true})
	if page.HasEntry {
		page.Others = append(page.Others, web.Action{
			ID: "delete", Label: "Delete the entry", Icon: "trash", Href: path + "/delete",
			Title: "Delete the entry of this tenant?",
			Text:  name + ": its name, contact and metadata are gone. Its endpoints go on, and its events and keys stay.",
		})
	}

	count := web.Things(len(page.Endpoints), "endpoint")
	switch {
	case page.EndpointsNotice != "":
		count = "its endpoints"
	case page.More:
		count = "more than " + count
	}
	page.Others = append(page.Others, web.Action{
		ID: "erase", Label: "Erase", Icon: "trash", Href: path + "/erase", Tone: "danger",
		Title: "Erase what " + page.Label + " has?",
		Text: name + ": " + count + " with their secrets, the payloads of its events, what its receivers answered, its API " +
			"keys and its entry are gone for good, and what waits is cancelled.",
		Input: []web.Input{{Name: "label", Label: "Type " + page.Label + " to confirm", Required: true}},
	})
}

// pauseAction pauses a tenant, or ends its pause.
func pauseAction(page *web.Tenant, path, name string) web.Action {
	for _, p := range page.Pauses {
		if !p.All {
			return web.Action{Label: "Resume", Icon: "play", Href: path + "/resume", Tone: "primary"}
		}
	}
	return web.Action{
		ID: "pause", Label: "Pause", Icon: "pause", Href: path + "/pause", Title: "Pause this tenant's deliveries?",
		Text: name + ": what is published is stored and waits, and no attempt begins until somebody resumes.",
		Input: []web.Input{
			{Name: "reason", Label: "Why, for people", Required: true, Placeholder: "their data centre moves"},
		},
	}
}

func pauseTenant(v *visit) error {
	label := v.PathValue("tenant")
	order := client.NewPause{TenantID: &label, Reason: strings.TrimSpace(v.FormValue("reason"))}
	if _, err := v.api.PauseDeliveries(v.ctx(), order, client.PauseDeliveriesParams{}); err != nil {
		return err
	}
	return v.back(web.TenantHref(label), "tenant-paused")
}

func resumeTenant(v *visit) error {
	label := v.PathValue("tenant")
	order := client.NewResumption{TenantID: &label}
	if _, err := v.api.ResumeDeliveries(v.ctx(), order, client.ResumeDeliveriesParams{}); err != nil {
		return err
	}
	return v.back(web.TenantHref(label), "tenant-resumed")
}

func deleteTenant(v *visit) error {
	label := v.PathValue("tenant")
	if err := v.api.DeleteTenant(v.ctx(), label, client.DeleteTenantParams{}); err != nil {
		return err
	}
	return v.back(web.TenantHref(label), "entry-deleted")
}

// eraseTenant erases what a tenant has, if who orders it has typed whose that is.
func eraseTenant(v *visit) error {
	label := v.PathValue("tenant")
	if v.FormValue("label") != label {
		return pages.Refusal(http.StatusUnprocessableEntity, "that is not the label of this tenant: nothing was erased")
	}
	e, err := v.api.EraseTenant(v.ctx(), label)
	if err != nil {
		return err
	}
	query := url.Values{"done": {"erasing"}, "erasure": {e.ID}}
	http.Redirect(v.w, v.Request, web.TenantHref(label)+"?"+query.Encode(), http.StatusSeeOther)
	return nil
}
