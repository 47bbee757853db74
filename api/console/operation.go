package console

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

func operationsCrumb() web.Crumb { return web.Crumb{Label: "Operations", Href: "/console/operations"} }

func listOperations(v *visit) error {
	page, err := v.api.ListOperations(v.ctx(), client.ListOperationsParams{
		TenantID: v.query("tenant"), EndpointID: v.query("endpoint"), State: v.query("state"), Order: "desc",
		Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	filters := append([]web.Input{
		v.choice("state", "State", web.Option{Value: "running", Label: "Running"},
			web.Option{Value: "paused", Label: "Paused"}, web.Option{Value: "completed", Label: "Completed"},
			web.Option{Value: "cancelled", Label: "Cancelled"}),
	}, v.tenantFilter()...)
	list := web.Operations{
		Filters:  append(filters, v.text("endpoint", "Endpoint", "id")),
		Filtered: v.filtered("tenant", "endpoint", "state"), Paging: v.paging(page.NextCursor), Offered: v.operates(),
	}
	for _, o := range page.Items {
		list.Rows = append(list.Rows, operationRow(o))
	}
	return v.show(web.OperationsPage(v.fresh("Operations"), list))
}

func operationRow(o client.Operation) web.OperationRow {
	row := web.OperationRow{
		ID: o.ID, State: web.OperationMark(o.State), What: "Replay by a filter", At: o.CreatedAt,
		Of:       strings.Join(o.States, ", "),
		Progress: web.Progress{Done: o.ReplayedCount + o.SkippedCount},
	}
	if o.Kind == "recover" {
		row.What = "Recover an endpoint"
	}

	if len(o.EventTypes) > 0 {
		row.Of += " of " + strings.Join(o.EventTypes, ", ")
	}
	if o.Missed {
		row.Of += ", and missed"
	}
	if o.TenantID != nil {
		row.Tenant = *o.TenantID
	}
	if o.TotalCount != nil {
		row.Progress.Total, row.Progress.Counted = *o.TotalCount, true
	}
	return row
}

func showOperation(v *visit) error {
	o, err := v.api.GetOperation(v.ctx(), v.PathValue("operation"))
	if err != nil {
		return err
	}

	page := web.Operation{
		OperationRow: operationRow(*o), Types: o.EventTypes, States: o.States, Since: o.Since, Until: o.Until,
		Missed: o.Missed, Moved: o.UpdatedAt, Ended: o.CompletedAt,
		Tiles: operationTiles(o), Actions: v.operationActions(o),
	}
	if o.LastError != nil {
		page.LastError = *o.LastError
	}
	if o.EndpointID != nil {
		page.EndpointID = *o.EndpointID
		names, err := v.endpointNames([]string{page.EndpointID})
		if err != nil {
			return err
		}
		page.Endpoint = names[page.EndpointID]
	}
	return v.show(web.OperationPage(v.fresh(page.What), page))
}

// operationTiles are its counts, its speed since it was ordered, and when it ends if it goes on like that.
func operationTiles(o *client.Operation) []web.Tile {
	done, took := o.ReplayedCount+o.SkippedCount, o.UpdatedAt.Sub(o.CreatedAt)
	tiles := []web.Tile{
		{Label: "Replayed", Value: web.Count(o.ReplayedCount), Note: "given to the workers again"},
		{Label: "Left alone", Value: web.Count(o.SkippedCount), Note: "disabled, deleted, erased or changed"},
	}
	if o.TotalCount != nil {
		tiles = append(tiles, web.Tile{Label: "Matched", Value: web.Count(*o.TotalCount), Note: "when it began"})
	}

	rate := web.Tile{Label: "Speed", Value: "–", Note: "not known yet"}
	if done > 0 && took > 0 {
		rate.Value, rate.Note = fmt.Sprintf("%.3g /s", float64(done)/took.Seconds()), "since it was ordered"
	}
	tiles = append(tiles, rate)

	if o.CompletedAt != nil {
		return append(tiles, web.Tile{
			Label: "Took", Value: web.Span(o.CompletedAt.Sub(o.CreatedAt)), Note: "from order to end",
		})
	}
	left := web.Tile{Label: "Left", Value: "–", Note: "not known yet"}
	switch {
	case o.State == "paused":
		left.Note = "it is paused"
	case o.TotalCount != nil && done > 0 && took > 0:
		rest := time.Duration(float64(max(*o.TotalCount-done, 0)) / float64(done) * float64(took))
		left.Value, left.Note = web.Span(rest), "if it goes on like that"
	}
	return append(tiles, left)
}

// operationActions are what the session may order of an operation.
func (v *visit) operationActions(o *client.Operation) (actions []web.Action) {
	path := "/console/operations/" + o.ID
	if !v.operates() {
		return nil
	}

	switch o.State {
	case "running":
		actions = append(actions, web.Action{Label: "Pause", Icon: "pause", Href: path + "/pause"})
	case "paused":
		actions = append(actions, web.Action{Label: "Resume", Icon: "play", Href: path + "/resume", Tone: "primary"})
	default:
		return nil
	}
	return append(actions, web.Action{
		ID: "cancel", Label: "Give up", Icon: "stop", Href: path + "/cancel", Tone: "danger",
		Title: "Give up this operation?",
		Text: operationRow(*o).What + ": " + web.Things(o.ReplayedCount, "delivery") +
			" of it were given to the workers and go on. The rest stays as it is; another operation can take it up.",
	})
}

func pauseOperation(v *visit) error {
	id := v.PathValue("operation")
	if _, err := v.api.PauseOperation(v.ctx(), id, client.PauseOperationParams{}); err != nil {
		return err
	}
	return v.back("/console/operations/"+id, "operation-paused")
}

func resumeOperation(v *visit) error {
	id := v.PathValue("operation")
	if _, err := v.api.ResumeOperation(v.ctx(), id, client.ResumeOperationParams{}); err != nil {
		return err
	}
	return v.back("/console/operations/"+id, "operation-resumed")
}

func cancelOperation(v *visit) error {
	id := v.PathValue("operation")
	if _, err := v.api.CancelOperation(v.ctx(), id, client.CancelOperationParams{}); err != nil {
		return err
	}
	return v.back("/console/operations/"+id, "operation-cancelled")
}

// askOperation shows the form that replays by a filter.
func askOperation(v *visit) error {
	if err := v.needs(scopeAdmin, scopeTenant, scopeOperate); err != nil {
		return err
	}
	t := texts{
		"tenant": v.query("tenant"), "endpoint": v.query("endpoint"), "types": v.query("type"), "states": "failed",
		"since": time.Now().UTC().Add(-24 * time.Hour).Format(minuteLayout),
	}
	return v.showForm(0, "Replay many", operationsCrumb(), v.operationForm(t, nil))
}

func (v *visit) operationForm(t texts, f faults) web.Form {
	which := []web.Input{
		t.input(f, "endpoint", "Endpoint", "text", "any", "Its id, or with a tenant its uid."),
		t.input(f, "types", "Types", "text", "all", "invoice.paid, or invoice.* for each type below invoice."),
	}
	if v.session.TenantID == nil {
		which = append([]web.Input{t.input(f, "tenant", "Tenant", "text", "any", "")}, which...)
	}

	return web.Form{
		Path: "/console/operations", Submit: "Count", Back: "/console/operations", Hidden: []web.Input{newToken()},
		Fault: f[""],
		Groups: []web.FieldGroup{
			{
				Title: "When they were settled", Text: "Failed, cancelled or succeeded in this time, in UTC.",
				Fields: []web.Input{
					required(t.input(f, "since", "From (UTC)", "datetime-local", "", "")),
					t.input(f, "until", "Until (UTC)", "datetime-local", "", "Empty: now."),
				},
			},
			{Title: "Which", Fields: append(which, t.checks(f, "states", "States",
				"Succeeded is for a receiver that lost what it had accepted: it looks through the whole log.",
				"failed", "Failed", "cancelled", "Cancelled", "succeeded", "Succeeded"))},
		},
	}
}

// orderOperation says how much the form's operation would replay, and orders it once that is confirmed. Each delivery
// that matches is sent again, behind live traffic.
func orderOperation(v *visit) error {
	if err := v.needs(scopeAdmin, scopeTenant, scopeOperate); err != nil {
		return err
	}
	t, err := v.sent()
	if err != nil {
		return err
	}

	order := client.NewReplay{Since: moment(t["since"]), EventTypes: words(t["types"]), States: words(t["states"])}
	if text := strings.TrimSpace(t["tenant"]); text != "" {
		order.TenantID = &text
	}
	if text := strings.TrimSpace(t["endpoint"]); text != "" {
		order.EndpointID = &text
	}
	if until := moment(t["until"]); !until.IsZero() {
		order.Until = &until
	}

	f, status := faults{}, http.StatusUnprocessableEntity
	for name, text := range map[string]string{"since": "From when on?", "states": "Choose one at least."} {
		if t[name] == "" {
			f[name] = text
		}
	}
	if len(f) == 0 {
		err := v.replayMany(t, order)
		if err == nil {
			return nil
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, operationField); !ok {
			return err
		}
	}
	return v.showForm(status, "Replay many", operationsCrumb(), v.operationForm(t, f))
}

// replayMany orders what was confirmed, or asks first.
func (v *visit) replayMany(t texts, order client.NewReplay) error {
	if t[confirmedField] == "" {
		return v.confirmOperation(t, order)
	}

	p := client.CreateOperationParams{IdempotencyKey: t[tokenField]}
	made, err := v.api.CreateOperation(v.ctx(), order, p)
	if err != nil {
		return err
	}
	return v.back("/console/operations/"+made.ID, "recovering")
}

func operationField(member string) string {
	switch member {
	case "tenant_id":
		return "tenant"
	case "endpoint_id":
		return "endpoint"
	case "event_types":
		return "types"
	}
	return member
}
