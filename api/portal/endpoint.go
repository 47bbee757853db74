package portal

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// pageRows is how many rows a page of a list has.
const pageRows = 25

func listEndpoints(v *visit) error {
	page, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{Limit: pageRows, Cursor: v.query("cursor")})
	if err != nil {
		return err
	}

	list := web.PortalEndpoints{Paging: v.paging(page.NextCursor)}
	if v.can(endpoints) {
		list.NewHref = "/portal/endpoints/new"
	}
	for _, e := range page.Items {
		list.Rows = append(list.Rows, v.endpointRow(e))
	}
	if err := pages.Sparks(v.ctx(), v.api, list.Rows); err != nil && !pages.IsBusy(err) {
		return err
	}
	return v.show(web.PortalEndpointsPage(v.fresh(v.t("Endpoints")), list))
}

func (v *visit) endpointRow(e client.Endpoint) web.EndpointRow {
	row := web.EndpointRow{
		ID: e.ID, URL: pages.Place(e.URL), Description: e.Description, Types: e.EventTypes,
		State: web.EndpointMark(e.Status, e.Health.State),
	}
	if e.Status == enabled && e.Health.ConsecutiveFailures > 0 {
		row.Note = web.N(v.Context(), e.Health.ConsecutiveFailures, "1 failure in a row", "%s failures in a row")
	}
	return row
}

// Statuses of endpoints, and the outcome of an attempt that went well.
const (
	enabled   = "enabled"
	paused    = "paused"
	disabled  = "disabled"
	succeeded = "succeeded"
)

// isUntested tells whether an endpoint waits for its first answer: it was added, and its test was not answered.
func isUntested(e *client.Endpoint) bool { return e.Status == paused && e.Health.LastSuccessAt == nil }

func showEndpoint(v *visit) error {
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	return v.show(web.PortalEndpointPage(v.fresh(page.URL), page))
}

// endpointPage returns what the page of an endpoint shows.
func (v *visit) endpointPage() (page web.PortalEndpoint, err error) {
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return page, err
	}

	page = web.PortalEndpoint{
		EndpointRow: v.endpointRow(*e), LastSuccess: e.Health.LastSuccessAt, LastFailure: e.Health.LastFailureAt,
		LastError: v.lastError(e), Advice: v.advice(e), Actions: v.endpointActions(e),
	}
	if isUntested(e) {
		page.Waiting = v.t(
			"It is not used yet: its test was not answered. Events wait. Mend your receiver, then test it again.")
	}
	if text := string(e.Filter); text != "null" {
		page.Filter = text
	}
	if v.can(replay) && e.Status != disabled {
		page.RecoverHref = "/portal/endpoints/" + e.ID + "/recover"
	}
	if v.can(endpoints) {
		page.EditHref = "/portal/endpoints/" + e.ID + "/edit"
	}

	if page.Recovering, err = v.recovering(e.ID); err != nil {
		return page, err
	}
	if page.Charts, err = v.lastDay(e.ID); err != nil {
		return page, err
	}
	latest, err := v.api.ListDeliveries(v.ctx(), client.ListDeliveriesParams{EndpointID: e.ID, Order: "desc", Limit: 10})
	if err != nil {
		return page, err
	}
	for _, d := range latest.Items {
		page.Deliveries = append(page.Deliveries, v.deliveryRow(d, page.URL))
	}
	return page, nil
}

// lastDay is a chart of an endpoint's last 24 hours, nil if the database takes too long for it.
func (v *visit) lastDay(id string) (*web.Activity, error) {
	to := time.Now().UTC().Add(time.Hour - 1).Truncate(time.Hour)
	series, err := v.api.GetStatsSeries(v.ctx(), client.GetStatsSeriesParams{
		EndpointID: id, From: to.Add(-24 * time.Hour), To: to, StepS: int(time.Hour / time.Second),
	})
	if pages.IsBusy(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	a := &web.Activity{Step: time.Hour, Title: v.t("Attempts by outcome")}
	for _, item := range series.Items {
		step := web.Step{At: item.At}
		for _, share := range pages.Outcomes(item.Attempts) {
			share.Label = v.t(share.Label)
			step.Outcomes = append(step.Outcomes, share)
		}
		a.Steps = append(a.Steps, step)
	}

	var said []string
	for _, share := range a.Sums() {
		if share.Count > 0 {
			said = append(said, web.Count(share.Count)+" "+share.Label)
		}
	}
	a.Said = v.t("Attempts by outcome, for each hour:") + " " + strings.Join(said, ", ")
	return a, nil
}

// lastError is what the last attempt failed by, if it did.
func (v *visit) lastError(e *client.Endpoint) string {
	switch {
	case e.Health.LastFailureAt == nil:
		return ""
	case e.Health.LastError != nil:
		return v.t(pages.ErrorText(*e.Health.LastError))
	case e.Health.LastStatusCode != nil:
		return v.f("It answered %s.", strconv.Itoa(*e.Health.LastStatusCode))
	}
	return ""
}

// advice says what the state of an endpoint means, and what a person can do about it.
func (v *visit) advice(e *client.Endpoint) string {
	reason, _, _ := strings.Cut(e.StatusReason, ":")
	switch {
	case e.Status == paused:
		return v.t("It is paused: events wait until you enable it.")
	case e.Status == disabled && strings.HasPrefix(reason, "gone"):
		return v.t("It was disabled since it answered 410 Gone. Enable it if it should go on, and recover what it missed.")
	case e.Status == disabled && strings.HasPrefix(reason, "failing"):
		return v.t("It was disabled since it failed for too long. Mend your receiver, enable it, and recover what it missed.")
	case e.Status == disabled:
		return v.t("It is disabled: it gets nothing. Enable it, and recover what it missed.")
	case e.Health.State != "failing":
		return ""
	}

	text := v.t("Its last attempts failed. They are repeated by themselves, further and further apart.")
	if e.Health.LastError != nil {
		if cure := pages.Advice(*e.Health.LastError); cure != "" {
			text += " " + v.t(cure)
		}
	}
	return text
}

// endpointActions are what the session may order of an endpoint.
func (v *visit) endpointActions(e *client.Endpoint) (actions []web.Action) {
	path, name := "/portal/endpoints/"+e.ID, pages.Place(e.URL)
	add := func(capability string, a web.Action) {
		if v.can(capability) {
			actions = append(actions, a)
		}
	}
	status := func(to, label, icon, title, text, tone string) web.Action {
		return web.Action{
			ID: "status-" + to, Label: label, Icon: icon, Href: path + "/status", Title: title, Text: text, Tone: tone,
			Input: []web.Input{{Name: "status", Value: to, Hidden: true}},
		}
	}

	switch {
	case isUntested(e):
		if v.can(endpoints) {
			add(test, web.Action{Label: v.t("Test again"), Icon: "flask", Href: path + "/test", Tone: "primary"})
		}
		add(endpoints, status(enabled, v.t("Use it all the same"), "play", v.t("Use it without a test?"),
			v.f("%s gets what waits, and what happens from now on.", name), ""))
	case e.Status == enabled:
		add(test, web.Action{Label: v.t("Send a test"), Icon: "flask", Href: path + "/test"})
		add(endpoints, status(paused, v.t("Pause"), "pause", v.t("Pause this endpoint?"),
			v.f("%s: events wait until you enable it.", name), ""))
	default:
		add(endpoints, status(enabled, v.t("Enable"), "play", v.t("Enable this endpoint?"),
			v.f("%s gets what waits, and what happens from now on.", name), "primary"))
	}

	add(readSecrets, web.Action{Label: v.t("Show the secret"), Icon: "eye", Href: path + "/reveal"})
	add(rotateSecrets, web.Action{
		ID: "rotate", Label: v.t("Rotate the secret"), Icon: "key", Href: path + "/rotate", Title: v.t("Rotate the secret?"),
		Text: v.f("%s gets a new one. For a day, requests are signed with both, so that you can change over.", name),
	})
	add(endpoints, web.Action{
		ID: "delete", Label: v.t("Delete"), Icon: "trash", Href: path + "/delete", Tone: "danger",
		Title: v.t("Delete this endpoint?"), Text: v.f("%s gets nothing any more, and its secret is erased.", name),
	})
	return actions
}

func setStatus(v *visit) error {
	id, status := v.PathValue("endpoint"), v.FormValue("status")
	if status != enabled && status != paused {
		return pages.Refusal(http.StatusUnprocessableEntity, "the status must be enabled or paused")
	}
	if err := v.change(id, status); err != nil {
		return err
	}
	return v.back("/portal/endpoints/"+id, status)
}

func (v *visit) change(id, status string) error {
	change := client.EndpointChange{Status: client.Set(status)}
	_, err := v.api.UpdateEndpoint(v.ctx(), id, change, client.UpdateEndpointParams{})
	return err
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
	return v.showSecrets(list, v.t("Your receiver verifies requests with it. Keep it where your other secrets are."))
}

func rotateSecret(v *visit) error {
	rotated, err := v.api.RotateSecret(v.ctx(), v.PathValue("endpoint"), nil, client.RotateSecretParams{})
	if err != nil {
		return err
	}
	note := v.t("This is the new one. Give it to your receiver: for a day, requests are signed with the old one too.")
	return v.showSecrets([]web.Secret{{Text: rotated.Secret}}, note)
}

// showSecrets shows secrets once: they are in the answer to the form, and a page that is loaded again asks anew.
func (v *visit) showSecrets(list []web.Secret, note string) error {
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	page.Secrets, page.SecretNote = list, note
	return v.show(web.PortalEndpointPage(v.shell(page.URL), page))
}

func deleteEndpoint(v *visit) error {
	if err := v.api.DeleteEndpoint(v.ctx(), v.PathValue("endpoint"), client.DeleteEndpointParams{}); err != nil {
		return err
	}
	return v.back("/portal", "deleted")
}
