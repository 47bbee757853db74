package portal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// Fields of the form of an endpoint.
const (
	urlField         = "url"
	descriptionField = "description"
	typesField       = "types" // check boxes
	otherTypesField  = "other_types"
	filterField      = "filter"
	etagField        = "etag"
	idField          = "id"    // of the endpoint that a form changes
	tokenField       = "token" // what a form is repeated with: sent twice, it does what it does once
)

// texts are the fields of a form, by name.
type texts map[string]string

// sent returns the fields of a form. It must be read before any of it is used.
func (v *visit) sent() (texts, error) { return pages.Sent(v.Request) }

func endpointTexts(e *client.Endpoint, known []string) texts {
	t := texts{urlField: e.URL, descriptionField: e.Description}
	var checked, others []string
	for _, eventType := range e.EventTypes {
		if slices.Contains(known, eventType) {
			checked = append(checked, eventType)
		} else {
			others = append(others, eventType)
		}
	}

	t[typesField], t[otherTypesField] = strings.Join(checked, "\n"), strings.Join(others, "\n")
	t.setFilter(e.Filter)
	return t
}

// eventTypes are those that a form has chosen: none stands for all.
func (t texts) eventTypes() []string {
	return strings.FieldsFunc(t[typesField]+"\n"+t[otherTypesField], func(r rune) bool {
		return r == ',' || r == ' ' || r == '\n' || r == '\t'
	})
}

func fieldOf(member string) string {
	switch member {
	case "url", "description", "filter":
		return member
	case "event_types":
		return otherTypesField
	}
	return ""
}

// knownFor is how far back the types of events are looked for.
const knownFor = 30 * 24 * time.Hour

// knownTypes are those that the customer can choose: of the catalogue what is for something new, and those that there
// were events of, as far as they are counted, and the last ones.
func (v *visit) knownTypes() ([]string, error) {
	var known []string
	add := func(eventType string) {
		if !strings.HasPrefix(eventType, "outhook.") && !slices.Contains(known, eventType) {
			known = append(known, eventType)
		}
	}

	described, err := v.described()
	if err != nil {
		return nil, err
	}
	for _, t := range described {
		if !t.Deprecated {
			add(t.Name)
		}
	}

	used, err := v.api.ListUsage(v.ctx(), client.ListUsageParams{
		From: time.Now().Add(-knownFor), GroupBy: []string{"type"}, Limit: 200,
	})
	if err != nil && !pages.IsBusy(err) {
		return nil, err
	}
	if used != nil {
		for _, u := range used.Items {
			if u.Type != nil {
				add(*u.Type)
			}
		}
	}

	latest, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{Order: "desc", Limit: 100})
	if err != nil && !pages.IsBusy(err) {
		return nil, err
	}
	if latest != nil {
		for _, e := range latest.Items {
			add(e.Type)
		}
	}
	slices.Sort(known)
	return known, nil
}

// endpointForm is the form of an endpoint; of a new one, e has no id.
func (v *visit) endpointForm(e *client.Endpoint, t texts, f pages.Faults, known []string) web.Form {
	input := func(name, label, kind, placeholder, help string) web.Input {
		return web.Input{
			Name: name, Label: label, Type: kind, Value: t[name], Placeholder: placeholder, Help: help, Fault: v.t(f[name]),
		}
	}

	form := web.Form{
		Path: "/portal/endpoints", Submit: v.t("Add and test it"), Back: "/portal", Fault: v.t(f[""]),
		Hidden: []web.Input{{Name: tokenField, Value: cmp.Or(t[tokenField], uuid.NewString()), Hidden: true}},
	}
	switch {
	case e.ID != "":
		path := "/portal/endpoints/" + e.ID
		form.Path, form.Submit, form.Back = path+"/edit", v.t("Save"), path
		form.Hidden = []web.Input{{Name: etagField, Value: e.ETag, Hidden: true}, {Name: idField, Value: e.ID, Hidden: true}}
	case !v.can(test):
		form.Submit = v.t("Add it")
	}

	address := input(urlField, "URL", "url", "https://example.com/webhooks",
		v.t("Where your receiver takes POST requests."))
	address.Required = true
	others := input(otherTypesField, v.t("Event types"), "textarea", "invoice.paid",
		v.t("One a line: invoice.paid, or invoice.* for all that begin with invoice. Empty: all events."))
	events := []web.Input{others}
	if len(known) > 0 {
		boxes := web.Input{
			Name: typesField, Label: v.t("Events"), Type: "checkboxes", Help: v.t("Nothing chosen: all events, also new kinds."),
		}
		chosen := strings.Split(t[typesField], "\n")
		for _, eventType := range known {
			boxes.Options = append(boxes.Options, web.Option{
				Value: eventType, Label: eventType, Selected: slices.Contains(chosen, eventType),
			})
		}
		events[0].Label = v.t("Other event types")
		events[0].Help = v.t("One a line: invoice.paid, or invoice.* for all that begin with invoice.")
		events = []web.Input{boxes, events[0]}
	}
	form.Groups = []web.FieldGroup{
		{Title: v.t("Your receiver"), Fields: []web.Input{
			address, input(descriptionField, v.t("Description"), "text", "", v.t("For you, like Production.")),
		}},
		{Title: v.t("What it gets"), Fields: events},
		{
			Title: v.t("Only events with this content"), Text: v.t("All of these must hold. Empty: every event of these types."),
			Fields: append(v.conditionInputs(t), input(filterField, v.t("And, as JSON"), "textarea",
				`{"data": {"amount": {"$gte": 1000}}}`, v.t("For what the fields above can't say. data is the payload."))),
		},
	}
	if v.can(payloads) {
		form.Other, form.OtherPath = v.t("Try it on past events"), "/portal/preview"
	}
	return form
}

func (v *visit) showForm(status int, title string, crumb web.Crumb, f web.Form) error {
	fields, err := v.knownFields()
	if err != nil {
		return err
	}
	f.Hints = map[string][]string{"fields": fields}
	return v.write(status, web.PortalFormPage(v.shell(title), title, []web.Crumb{crumb}, f))
}

func (v *visit) endpointsCrumb() web.Crumb {
	return web.Crumb{Label: v.t("Endpoints"), Href: "/portal"}
}

func askEndpoint(v *visit) error {
	if err := v.needs(endpoints); err != nil {
		return err
	}
	known, err := v.knownTypes()
	if err != nil {
		return err
	}
	e := &client.Endpoint{}
	return v.showForm(http.StatusOK, v.t("Add an endpoint"), v.endpointsCrumb(), v.endpointForm(e, texts{}, nil, known))
}

// createEndpoint adds an endpoint and sends it a test: if that is not answered, its events wait. The secret is in the
// answer to the form, since a receiver that verifies requests needs it to answer the test.
func createEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	if err := v.needs(endpoints); err != nil {
		return err
	}

	description := t[descriptionField]
	filter, fault := v.filter(t)
	f, status := pages.Faults{filterField: fault}, http.StatusUnprocessableEntity
	if string(filter) == "null" {
		filter = nil // there is none to take away
	}
	if fault == "" {
		made, err := v.api.CreateEndpoint(v.ctx(), client.NewEndpoint{
			URL: strings.TrimSpace(t[urlField]), Description: &description, EventTypes: t.eventTypes(), Filter: filter,
		}, client.CreateEndpointParams{IdempotencyKey: t[tokenField]})
		if err == nil {
			return v.showCreated(made)
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, fieldOf); !ok {
			return err
		}
	}

	known, err := v.knownTypes()
	if err != nil {
		return err
	}
	delete(t, tokenField) // what was refused is sent anew
	form := v.endpointForm(&client.Endpoint{}, t, f, known)
	return v.showForm(status, v.t("Add an endpoint"), v.endpointsCrumb(), form)
}

func (v *visit) showCreated(made *client.Endpoint) error {
	v.SetPathValue("endpoint", made.ID)
	note := v.t("The endpoint is added. Your receiver verifies requests with this secret: give it to it.")
	secrets := []web.Secret{{Text: made.Secret, Created: made.CreatedAt}}
	if !v.can(test) {
		return v.showSecrets(secrets, note)
	}

	t, err := v.tryUnused(made.ID)
	if err != nil {
		return err
	}
	return v.showTrial(t, secrets, note)
}

func (v *visit) endpointCrumb(e *client.Endpoint) web.Crumb {
	return web.Crumb{Label: pages.Place(e.URL), Href: "/portal/endpoints/" + e.ID}
}

func editEndpoint(v *visit) error {
	if err := v.needs(endpoints); err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}

	known, err := v.knownTypes()
	if err != nil {
		return err
	}
	form := v.endpointForm(e, endpointTexts(e, known), nil, known)
	return v.showForm(http.StatusOK, v.t("Edit"), v.endpointCrumb(e), form)
}

// saveEndpoint changes an endpoint, if it still is as the form was made of.
func saveEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	if err := v.needs(endpoints); err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}

	filter, fault := v.filter(t)
	f, status := pages.Faults{filterField: fault}, http.StatusUnprocessableEntity
	if fault == "" {
		_, err := v.api.UpdateEndpoint(v.ctx(), e.ID, client.EndpointChange{
			URL: client.Set(strings.TrimSpace(t[urlField])), Description: client.Set(t[descriptionField]),
			EventTypes: client.Set(t.eventTypes()), Filter: client.Set(filter),
		}, client.UpdateEndpointParams{IfMatch: t[etagField]})
		if err == nil {
			return v.back("/portal/endpoints/"+e.ID, "saved")
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, fieldOf); !ok {
			return err
		}
	}

	known, err := v.knownTypes()
	if err != nil {
		return err
	}
	e.ETag = t[etagField]
	return v.showForm(status, v.t("Edit"), v.endpointCrumb(e), v.endpointForm(e, t, f, known))
}
