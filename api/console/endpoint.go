package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

func listEndpoints(v *visit) error {
	page, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{
		TenantID: v.query("tenant"), Status: v.query("status"), Health: v.query("health"), URLHost: v.query("host"),
		UID: v.query("uid"), EventType: v.query("type"), Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.Endpoints{
		Filters: append([]web.Input{
			v.choice("status", "Status", web.Option{Value: "enabled", Label: "Enabled"},
				web.Option{Value: "paused", Label: "Paused"}, web.Option{Value: "disabled", Label: "Disabled"}),
			v.choice("health", "Health", web.Option{Value: "healthy", Label: "Healthy"},
				web.Option{Value: "failing", Label: "Failing"}, web.Option{Value: "disabled", Label: "Disabled"}),
			v.text("host", "Host", "example.com"),
			v.text("type", "Subscribed to", "invoice.paid"),
		}, v.tenantFilter()...),
		Filtered: v.filtered("tenant", "status", "health", "host", "uid", "type"), Paging: v.paging(page.NextCursor),
		Offered: v.owns(),
	}
	for _, e := range page.Items {
		list.Rows = append(list.Rows, endpointRow(e))
	}
	err = v.fill(part{"The charts", nil, func(v *visit) error { return pages.Sparks(v.ctx(), v.api, list.Rows) }})
	if err != nil {
		return err
	}
	s := v.shell("Endpoints")
	s.Refresh = overviewSeconds
	return v.show(web.EndpointsPage(s, list))
}

func endpointRow(e client.Endpoint) web.EndpointRow {
	row := web.EndpointRow{
		ID: e.ID, URL: pages.Place(e.URL), Tenant: e.TenantID, Description: e.Description, Types: e.EventTypes,
		State: web.EndpointMark(e.Status, e.Health.State), Since: e.Health.StateChangedAt,
	}

	if e.UID != nil {
		row.UID = *e.UID
	}
	if e.Lane.State != "shared" {
		row.Lane = e.Lane.State
	}
	if e.Status != "enabled" {
		row.Since = &e.StatusChangedAt
	} else if e.Health.ConsecutiveFailures > 0 {
		row.Note = web.Things(e.Health.ConsecutiveFailures, "failure") + " in a row"
	}
	return row
}

func showEndpoint(v *visit) error {
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	return v.show(web.EndpointPage(v.fresh(page.URL), page))
}

// endpointPage returns what the page of an endpoint shows.
func (v *visit) endpointPage() (page web.Endpoint, err error) {
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return page, err
	}

	page = web.Endpoint{
		EndpointRow: endpointRow(*e), Created: e.CreatedAt, Updated: e.UpdatedAt, StatusReason: e.StatusReason,
		LaneReason: e.Lane.Reason, Settings: settings(e),
		Headers: pages.Headers(e.Headers), Metadata: pages.Headers(e.Metadata),
		Health: web.Health{
			Failures: e.Health.ConsecutiveFailures, LastSuccess: e.Health.LastSuccessAt, LastFailure: e.Health.LastFailureAt,
			FailingSince: e.Health.FailingSince, ProbeAt: e.Health.ProbeAt, StatusSince: &e.StatusChangedAt,
		},
	}
	test, err := v.testAction(e)
	if err != nil {
		return page, err
	}
	page.Actions, page.More = v.endpointActions(e, test)
	for _, name := range e.SecretHeaderNames {
		page.Headers = append(page.Headers, web.Header{Name: name, Value: "secret"})
	}
	switch {
	case e.Health.LastError != nil:
		page.Health.LastError = strings.ReplaceAll(*e.Health.LastError, "_", " ")
	case e.Health.LastStatusCode != nil:
		page.Health.LastError = "answered " + strconv.Itoa(*e.Health.LastStatusCode)
	}

	err = v.fill(
		v.tenantName(e.TenantID, &page.TenantName),
		part{"The charts", &page.ChartsNotice, func(v *visit) (err error) {
			page.Charts, _, err = v.activity(client.GetStatsSeriesParams{EndpointID: e.ID}, "/console/endpoints/"+e.ID)
			return err
		}},
		part{"The latest deliveries", &page.DeliveriesNotice, func(v *visit) error {
			latest, err := v.api.ListDeliveries(v.ctx(), client.ListDeliveriesParams{
				EndpointID: e.ID, Order: "desc", Limit: endpointDeliveries,
			})
			if err != nil {
				return err
			}
			for _, d := range latest.Items {
				page.Deliveries = append(page.Deliveries, deliveryRow(d, page.URL))
			}
			return nil
		}},
	)
	return page, err
}

// endpointDeliveries is how many deliveries stand on an endpoint's page.
const endpointDeliveries = 20

func settings(e *client.Endpoint) []web.Header {
	schedule, jitter := "the server's", "the server's"
	if e.RetrySchedule != nil {
		schedule = strings.Join(e.RetrySchedule, ", ")
	}
	if e.RetryJitter != nil {
		jitter = strconv.FormatFloat(*e.RetryJitter, 'f', -1, 64)
	}

	filter := "none"
	if text := string(e.Filter); text != "null" {
		filter = text
	}

	return []web.Header{
		{Name: "URL", Value: redacted(e.URL)},
		{Name: "Filter", Value: filter},
		{Name: "Labels", Value: cmp.Or(strings.Join(e.Labels, ", "), "all")},
		{Name: "Format", Value: formatName(e.Format)},
		{Name: "In order", Value: orderName(e.Ordered)},
		{Name: "Timeout", Value: web.Milliseconds(float64(e.TimeoutMS))},
		{Name: "Requests at a time", Value: strconv.Itoa(e.MaxInFlight)},
		{Name: "Rate limit", Value: rateLimit(e.RateLimit)},
		{Name: "Retry schedule", Value: schedule},
		{Name: "Retry jitter", Value: jitter},
		{Name: "Created", Value: e.CreatedAt.UTC().Format(time.RFC3339)},
		{Name: "Changed", Value: e.UpdatedAt.UTC().Format(time.RFC3339)},
	}
}

func formatName(format string) string {
	if format == "cloudevents" {
		return "CloudEvents, binary mode"
	}
	return "Standard Webhooks"
}

// redacted returns a URL whose query, which may hold a credential, is only counted.
func redacted(address string) string {
	before, query, found := strings.Cut(address, "?")
	if !found {
		return address
	}
	return before + "?… (" + web.Things(len(query), "byte") + ")"
}

// endpointActions are what the session may order of an endpoint: what is wanted often, and the rest.
func (v *visit) endpointActions(e *client.Endpoint, test web.Action) (often, more []web.Action) {
	path, name := "/console/endpoints/"+e.ID, pages.Place(e.URL)+" of "+e.TenantID
	if !v.operates() {
		return nil, nil
	}

	often = append(often, test)
	if e.Status != "disabled" {
		often = append(often, web.Action{Label: "Recover", Icon: "again", Href: path + "/recover", Opens: true})
	}
	if v.owns() {
		often = append(often, web.Action{Label: "Edit", Icon: "gear", Href: path + "/edit", Opens: true})
	}
	if e.Status == "enabled" {
		more = append(more, statusAction(path, "paused", "Pause", "pause", "Pause this endpoint?",
			name+": deliveries are made and wait until it is enabled.", ""))
	} else {
		often = append([]web.Action{statusAction(path, "enabled", "Enable", "play", "Enable this endpoint?",
			name+" gets what waits, and what is published from now on.", "primary")}, often...)
	}
	if !v.owns() {
		return append(often, more...), nil // a menu of one thing is none
	}

	return often, append(more, web.Action{
		ID: "reveal", Label: "Show the secret", Icon: "eye", Href: path + "/reveal", Title: "Show the signing secret?",
		Text: name + ": the audit trail notes that you have seen it.",
	}, web.Action{
		ID: "rotate", Label: "Rotate the secret", Icon: "key", Href: path + "/rotate", Title: "Rotate the signing secret?",
		Text: name + " gets a new one. The old one goes on signing beside it for a day.",
	}, web.Action{
		ID: "delete", Label: "Delete", Icon: "trash", Href: path + "/delete", Tone: "danger", Title: "Delete this endpoint?",
		Text: name + ": its secrets are erased and what is pending is cancelled. The log stays.",
	})
}

// testAction sends a test: at once, or with an example if the catalogue describes what the endpoint gets.
func (v *visit) testAction(e *client.Endpoint) (web.Action, error) {
	a := web.Action{Label: "Send a test", Icon: "flask", Href: "/console/endpoints/" + e.ID + "/test"}
	if !v.operates() {
		return a, nil
	}
	types, err := v.api.ListEventTypes(v.ctx(), client.ListEventTypesParams{Limit: maxExamples})
	if err != nil {
		return a, err
	}

	options := []web.Option{{Label: "none: the payload of a test", Selected: true}}
	for _, t := range types.Items {
		if t.State != "archived" && gets(e, t.Name) {
			options = append(options, web.Option{Value: t.Name, Label: t.Name})
		}
	}
	if len(options) == 1 {
		return a, nil
	}
	a.ID, a.Title = "test", "Send a test?"
	a.Text = pages.Place(e.URL) + " of " + e.TenantID + " gets an event of the type outhook.test, once."
	a.Input = []web.Input{{Name: "type", Label: "With the example of", Type: "select", Options: options}}
	return a, nil
}

// maxExamples is how many event types are offered as examples.
const maxExamples = 200

// gets tells whether an endpoint is subscribed to an event type.
func gets(e *client.Endpoint, name string) bool {
	return len(e.EventTypes) == 0 || slices.ContainsFunc(e.EventTypes, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return pattern == name || isPrefix && strings.HasPrefix(name, prefix)
	})
}

// statusAction gives an endpoint another status.
func statusAction(path, to, label, icon, title, text, tone string) web.Action {
	return web.Action{
		ID: "status-" + to, Label: label, Icon: icon, Href: path + "/status", Title: title, Text: text, Tone: tone,
		Input: []web.Input{{Name: "status", Value: to, Hidden: true}},
	}
}

func setStatus(v *visit) error {
	id, status := v.PathValue("endpoint"), v.FormValue("status")
	change := client.EndpointChange{Status: client.Set(status)}
	if _, err := v.api.UpdateEndpoint(v.ctx(), id, change, client.UpdateEndpointParams{}); err != nil {
		return err
	}
	return v.back("/console/endpoints/"+id, status)
}

// testEndpoint shows what came of the test above the endpoint's page.
func testEndpoint(v *visit) error {
	params := client.TestEndpointParams{EventType: v.FormValue("type")}
	tested, err := v.api.TestEndpoint(v.ctx(), v.PathValue("endpoint"), params)
	if err != nil {
		return err
	}
	page, err := v.endpointPage()
	if err != nil {
		return err
	}

	t := pages.NewTested(tested, "/console/deliveries/"+tested.EventID+"/"+tested.EndpointID)
	page.Tested = &t
	return v.show(web.EndpointPage(v.shell(page.URL), page))
}

func rotateSecret(v *visit) error {
	id := v.PathValue("endpoint")
	rotated, err := v.api.RotateSecret(v.ctx(), id, nil, client.RotateSecretParams{})
	if err != nil {
		return err
	}
	return v.showSecrets([]web.Secret{{Text: rotated.Secret}})
}

func revealSecrets(v *visit) error {
	live, err := v.api.GetSecret(v.ctx(), v.PathValue("endpoint"), client.GetSecretParams{})
	if err != nil {
		return err
	}

	var list []web.Secret
	for _, s := range live.Secrets {
		list = append(list, web.Secret{Text: s.Secret, Created: s.CreatedAt, Expires: s.ExpiresAt})
	}
	return v.showSecrets(list)
}

// showSecrets shows secrets once: they are in the answer to the form, and a page that is loaded again asks anew.
func (v *visit) showSecrets(list []web.Secret) error {
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	page.Secrets = list
	return v.show(web.EndpointPage(v.shell(page.URL), page))
}

func deleteEndpoint(v *visit) error {
	if err := v.api.DeleteEndpoint(v.ctx(), v.PathValue("endpoint"), client.DeleteEndpointParams{}); err != nil {
		return err
	}
	return v.back("/console/endpoints", "deleted")
}
