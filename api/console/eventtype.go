package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// versionsShown is how many versions of an event type its page has, with what they changed.
const versionsShown = 10

func listEventTypes(v *visit) error {
	page, err := v.api.ListEventTypes(v.ctx(), client.ListEventTypesParams{
		State: v.query("state"), Group: v.query("group"), Order: "asc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.EventTypes{
		Filters: []web.Input{
			v.text("group", "Group", "any"),
			v.choice("state", "State", web.Option{Value: "active", Label: "Active"},
				web.Option{Value: "deprecated", Label: "Deprecated"}, web.Option{Value: "archived", Label: "Archived"}),
		},
		Filtered: v.filtered("group", "state"), Paging: v.paging(page.NextCursor),
	}
	for _, t := range page.Items {
		list.Rows = append(list.Rows, eventTypeRow(t))
	}
	if list.Filtered || v.query("cursor") != "" {
		return v.show(web.EventTypesPage(v.fresh("Event types"), list))
	}

	seen, err := v.api.ListUndescribedTypes(v.ctx())
	if err != nil {
		return err
	}
	for _, t := range seen.Types {
		list.Undescribed = append(list.Undescribed, web.UndescribedRow{Name: t.Type, Events: t.Events, Last: t.SeenAt})
	}
	return v.show(web.EventTypesPage(v.fresh("Event types"), list))
}

func eventTypeRow(t client.EventType) web.EventTypeRow {
	row := web.EventTypeRow{
		Name: t.Name, Title: t.Title, Group: t.Group, Version: t.Version, Public: shownTo(t.Visibility),
	}
	switch t.State {
	case "deprecated":
		row.State = web.Mark{Tone: "warn", Icon: "clock", Text: "Deprecated"}
	case "archived":
		row.State = web.Mark{Tone: "mute", Icon: "stop", Text: "Archived"}
	default:
		row.State = web.Mark{Tone: "ok", Icon: "check", Text: "Active"}
	}

	switch {
	case t.Checked == 0:
		row.Sample = web.Mark{Tone: "mute", Icon: "dot", Text: "None looked at"}
	case t.Violations == 0:
		row.Sample = web.Mark{Tone: "ok", Icon: "check", Text: "None of " + web.Count(t.Checked)}
	default:
		row.Sample = web.Mark{
			Tone: "warn", Icon: "alert", Text: web.Count(t.Violations) + " of " + web.Count(t.Checked),
		}
	}
	return row
}

func shownTo(visibility string) string {
	return map[string]string{"public": "everybody", "flagged": "who has a flag", "hidden": "the operator"}[visibility]
}

// enforcement says what becomes of a payload that breaks the schema.
func enforcement(enforce string) string {
	return map[string]string{
		"none":   "Nothing: they are not looked for.",
		"warn":   "They are stored and delivered; those in samples are counted.",
		"reject": "The API refuses them. What is enqueued in SQL is stored and delivered.",
		"guard": "The API refuses them, and so do the enqueue functions what this condition is not true of: " +
			"the transaction that enqueues it fails.",
	}[enforce]
}

func showEventType(v *visit) error {
	name := v.PathValue("type")
	t, err := v.api.GetEventType(v.ctx(), name)
	if pages.IsGone(err) || isInvalid(err) {
		return notFound(v)
	}
	if err != nil {
		return err
	}

	page := web.EventType{
		EventTypeRow: eventTypeRow(eventTypeOf(t)),
		Description:  t.Description, Flags: strings.Join(t.Flags, ", "), Enforce: enforcement(t.Enforce), Guard: t.Guard,
		Subscribers: subscribers(t.Subscribers), Changed: t.UpdatedAt, Schema: indented(t.Schema),
	}
	if t.Violation != nil {
		page.Broken = &web.Broken{
			EventID: t.Violation.EventID, Where: web.Or(t.Violation.Pointer, "its root"), How: t.Violation.Problem,
		}
	}
	for _, example := range t.Examples {
		page.Examples = append(page.Examples, indented(example))
	}
	if v.may(scopeAdmin) {
		page.EditHref = web.EventTypeHref(name) + "/edit"
	}
	if err := v.fillVersions(&page, t); err != nil {
		return err
	}
	return v.show(web.EventTypePage(v.shell(name), page))
}

// eventTypeOf is a type as lists have it.
func eventTypeOf(t *client.EventTypeDetails) client.EventType {
	return client.EventType{
		Name: t.Name, Title: t.Title, Group: t.Group, State: t.State, Visibility: t.Visibility, Version: t.Version,
		Checked: t.Checked, Violations: t.Violations,
	}
}

func subscribers(n int) string {
	switch n {
	case 0:
		return "none get it"
	case 1:
		return "1 gets it, unless its filter or its labels keep it from that"
	case mostSubscribers:
		return web.Count(n) + " or more get it, but for those whose filters or labels keep them from it"
	}
	return web.Count(n) + " get it, but for those whose filters or labels keep them from it"
}

// mostSubscribers is up to which number the API counts them.
const mostSubscribers = 1000

// fillVersions fills in the newest versions, with what they changed.
func (v *visit) fillVersions(page *web.EventType, t *client.EventTypeDetails) error {
	for i, version := range t.Versions {
		if i == versionsShown {
			break
		}
		details, err := v.api.GetEventTypeVersion(v.ctx(), t.Name, strconv.Itoa(version.Version))
		if err != nil {
			return err
		}

		shown := web.EventTypeVersion{
			Version: version.Version, At: version.CreatedAt, Breaking: version.Breaking, Note: version.Note,
		}
		for _, c := range details.Changes {
			shown.Changes = append(shown.Changes, web.Difference{Where: c.Pointer, What: c.What, Breaking: c.Breaking})
		}
		if version.Version != t.Version {
			shown.Schema = indented(details.Schema)
		}
		page.Versions = append(page.Versions, shown)
	}
	return nil
}

func editEventType(v *visit) error {
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}
	name := v.PathValue("type")
	t, err := v.api.GetEventType(v.ctx(), name)
	if err != nil {
		return err
	}
	stored := texts{"state": t.State, "visibility": t.Visibility, "enforce": t.Enforce, "etag": t.ETag}
	return v.showForm(0, "Change", eventTypeCrumb(name), eventTypeForm(name, stored, nil))
}

func eventTypeCrumb(name string) web.Crumb {
	return web.Crumb{Label: name, Href: web.EventTypeHref(name)}
}

func eventTypeForm(name string, t texts, f faults) web.Form {
	path := web.EventTypeHref(name)

	return web.Form{
		Path: path + "/edit", Submit: "Save", Back: path, Fault: f[""],
		Hidden: []web.Input{{Name: "etag", Value: t["etag"], Hidden: true}},
		Groups: []web.FieldGroup{{
			Title: name,
			Text: "None of it stops a delivery. The next push says again what its document says of the state and of who it " +
				"is shown to.",
			Fields: []web.Input{
				t.pick(f, "state", "State", "",

					"active", "active", "deprecated", "deprecated", "archived", "archived: not in the catalogue any more"),
				t.pick(f, "visibility", "Shown to", "",

					"public", "everybody", "flagged", "who has one of its flags", "hidden", "the operator"),
				t.pick(f, "enforce", "Payloads that break the schema",
					"With guard, a transaction that enqueues one fails, and the business that it is about with it.",

					"none", "none: nothing", "warn", "warn: those in samples are counted",
					"reject", "reject: the API refuses them", "guard", "guard: the enqueue functions refuse them, too"),
			},
		}},
	}
}

// saveEventType changes a type, if it still is as the form was made of.
func saveEventType(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}

	name := v.PathValue("type")
	change := client.EventTypeChange{
		State: client.Set(t["state"]), Visibility: client.Set(t["visibility"]), Enforce: client.Set(t["enforce"]),
	}
	_, err = v.api.UpdateEventType(v.ctx(), name, change, client.UpdateEventTypeParams{IfMatch: t["etag"]})
	if f, status, ok := pages.FaultsOf(err, func(member string) string { return member }); ok {
		return v.showForm(status, "Change", eventTypeCrumb(name), eventTypeForm(name, t, f))
	}
	if refused, is := pages.AsRefusal(err); is && refused.Status == http.StatusPreconditionFailed {
		return pages.Refusal(http.StatusPreconditionFailed,
			fmt.Sprintf("somebody has changed %s since the form was shown: nothing was saved; open the form again", name))
	}
	if err != nil {
		return err
	}
	return v.back(web.EventTypeHref(name), "saved")
}
