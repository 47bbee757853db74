package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// ownSchedule is the choice of delays that stand in a field of their own.
const ownSchedule = "own"

// endpointMember is a member of an endpoint's body, and how a form gives it. Of the form's fields the first shows what
// is wrong with it.
type endpointMember struct {
	name   string
	fields []string
	value  func(t texts, e *client.Endpoint) (value any, fault string)
}

func endpointMembers() []endpointMember {
	plain := func(name string, of func(text string) any) endpointMember {
		return endpointMember{name, []string{name}, func(t texts, _ *client.Endpoint) (any, string) {
			return of(strings.TrimSpace(t[name])), ""
		}}
	}
	text := func(s string) any { return s }

	return []endpointMember{
		plain("tenant_id", text), plain("secret", text), plain("url", text), plain("status", text),
		plain("uid", orNull), plain("description", orNull),
		plain("timeout_ms", number), plain("max_in_flight", number), plain("retry_jitter", number),
		plain("event_types", func(s string) any { return append([]string{}, words(s)...) }),
		plain("labels", func(s string) any { return append([]string{}, words(s)...) }), plain("format", orNull),
		plain("ordered", text),
		{"filter", []string{"filter"}, filterOf},
		{"headers", []string{"headers"}, headersOf},
		{"secret_headers", []string{"secret_headers", "removed_headers"}, secretHeadersOf},
		{"metadata", []string{"metadata"}, metadataOf},
		{"rate_limit", []string{"rate_requests", "rate_per", "rate_burst"}, rateLimitOf},
		{"retry_schedule", []string{"retry_schedule", "retry_delays"}, scheduleOf},
	}
}

// fieldOfEndpoint names the field that shows what is wrong with a member.
func fieldOfEndpoint(member string) string {
	for _, m := range endpointMembers() {
		if m.name == member {
			return m.fields[0]
		}
	}
	return ""
}

// endpointTexts is an endpoint as the form shows it.
func endpointTexts(e *client.Endpoint) texts {
	t := texts{
		"url": e.URL, "description": e.Description, "event_types": strings.Join(e.EventTypes, "\n"), "status": e.Status,
		"timeout_ms": countOrNone(e.TimeoutMS), "max_in_flight": countOrNone(e.MaxInFlight),
		"rate_requests": countOrNone(e.RateLimit.Requests), "rate_per": cmp.Or(e.RateLimit.Per, "second"),
		"rate_burst": countOrNone(e.RateLimit.Burst), "retry_schedule": "",
		"labels": strings.Join(e.Labels, "\n"), "format": cmp.Or(e.Format, "standard"), "ordered": e.Ordered,
	}
	if e.UID != nil {
		t["uid"] = *e.UID
	}
	if text := string(e.Filter); text != "null" {
		t["filter"] = text
	}
	if e.RetryJitter != nil {
		t["retry_jitter"] = strconv.FormatFloat(*e.RetryJitter, 'f', -1, 64)
	}
	switch {
	case len(e.RetrySchedule) > 0:
		t["retry_schedule"], t["retry_delays"] = ownSchedule, strings.Join(e.RetrySchedule, " ")
	case e.RetrySchedule != nil:
		t["retry_schedule"] = "once"
	}

	var lines []string
	for _, h := range pages.Headers(e.Headers) {
		lines = append(lines, h.Name+": "+h.Value)
	}
	t["headers"] = strings.Join(lines, "\n")
	if len(e.Metadata) > 0 {
		t["metadata"] = object(e.Metadata)
	}
	return t
}

func countOrNone(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// object is an object of texts as people write it.
func object(m map[string]string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return "" // not for a map of strings
	}
	return strings.TrimSpace(b.String())
}

// changed returns the body that makes an endpoint what a form says, and what is wrong with the form. What the form
// shows as it is stays out of it, so that a form changes nothing that nobody has changed.
func changed(e *client.Endpoint, t texts) (body map[string]any, f faults) {
	body, f = map[string]any{}, faults{}
	before := endpointTexts(e)
	for _, m := range endpointMembers() {
		same := !slices.ContainsFunc(m.fields, func(field string) bool {
			return strings.TrimSpace(pages.PlainLines(before[field])) != strings.TrimSpace(t[field])
		})
		if same {
			continue
		}

		value, fault := m.value(t, e)
		if fault != "" {
			f[m.fields[0]] = fault
		}
		body[m.name] = value
	}
	return body, f
}

// pairs reads lines of a name, a colon and a value.
func pairs(text string) (m map[string]any, fault string) {
	m = map[string]any{}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}

		name, value, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !found || name == "" {
			return nil, "Each line is a name, a colon and a value."
		}
		if _, twice := m[name]; twice {
			return nil, "A name stands there twice."
		}
		m[name] = strings.TrimSpace(value)
	}
	return m, ""
}

// headersOf is a merge patch (RFC 7396): null removes what is no longer there.
func headersOf(t texts, e *client.Endpoint) (any, string) {
	patch, fault := pairs(t["headers"])
	if fault != "" {
		return nil, fault
	}
	for name := range e.Headers {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(patch)), func(n string) bool { return strings.EqualFold(n, name) }) {
			patch[name] = nil
		}
	}
	return patch, ""
}

// secretHeadersOf is one too: what is stored is never shown, so a form gives what is new and says what goes.
func secretHeadersOf(t texts, _ *client.Endpoint) (any, string) {
	patch, fault := pairs(t["secret_headers"])
	if fault != "" {
		return nil, fault
	}
	for _, name := range words(t["removed_headers"]) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(patch)), func(n string) bool { return strings.EqualFold(n, name) }) {
			patch[name] = nil
		}
	}
	return patch, ""
}

func filterOf(t texts, _ *client.Endpoint) (any, string) {
	text := strings.TrimSpace(t["filter"])
	switch {
	case text == "":
		return nil, ""
	case !json.Valid([]byte(text)):
		return nil, `It is no JSON object like {"data": {"amount": {"$gte": 1000}}}.`
	}
	return json.RawMessage(text), ""
}

func metadataOf(t texts, e *client.Endpoint) (any, string) {
	return metadataPatch(t["metadata"], e.Metadata)
}

// metadataPatch is the merge patch that makes stored metadata what a text says.
func metadataPatch(text string, stored map[string]string) (any, string) {
	patch := map[string]any{}
	if text = strings.TrimSpace(text); text != "" {
		if err := json.Unmarshal([]byte(text), &patch); err != nil || patch == nil {
			return nil, `It is no JSON object of texts like {"plan": "gold"}.`
		}
	}
	for name := range stored {
		if _, stays := patch[name]; !stays {
			patch[name] = nil
		}
	}
	return patch, ""
}

func rateLimitOf(t texts, _ *client.Endpoint) (any, string) {
	if strings.TrimSpace(t["rate_requests"]) == "" {
		return nil, ""
	}
	limit := map[string]any{"requests": number(t["rate_requests"]), "per": t["rate_per"]}
	if burst := number(t["rate_burst"]); burst != nil {
		limit["burst"] = burst
	}
	return limit, ""
}

func scheduleOf(t texts, _ *client.Endpoint) (any, string) {
	switch t["retry_schedule"] {
	case "once":
		return []string{}, ""
	case ownSchedule:
		delays := words(t["retry_delays"])
		if len(delays) == 0 {
			return nil, "Give at least one delay, like 1m 5m 1h."
		}
		return delays, ""
	}
	return orNull(t["retry_schedule"]), ""
}

// endpointForm is the form of an endpoint; of a new one, e has no id.
func (v *visit) endpointForm(e *client.Endpoint, t texts, f faults) web.Form {
	form := web.Form{
		Path: "/console/endpoints", Submit: "Create the endpoint", Back: "/console/endpoints", Fault: f[""],
		Hidden: []web.Input{newToken()},
	}
	if e.ID != "" {
		path := "/console/endpoints/" + e.ID
		form.Path, form.Submit, form.Back = path+"/edit", "Save", path
		form.Hidden = []web.Input{{Name: "etag", Value: e.ETag, Hidden: true}}
	}

	form.Groups = []web.FieldGroup{
		{Title: "Receiver", Fields: v.receiverFields(e, t, f)},
		{
			Title: "Subscription", Text: "What is published from now on: deliveries that exist stay as they are.",
			Fields: []web.Input{
				t.input(f, "event_types", "Event types", "textarea", "all",
					"One a line: invoice.paid, or invoice.* for each type below invoice. Empty: all."),
				t.input(f, "filter", "Filter", "textarea", `{"data": {"amount": {"$gte": 1000}}}`,
					"Which events of these types, by their content: data is the payload. Empty: all."),
				t.input(f, "labels", "Labels", "textarea", "all",
					"One a line: it gets the events that have one of them. Empty: all, with labels and without."),
			},
		},
		{Title: "Requests", Fields: requestFields(e, t, f)},
		{Title: "Limits", Fields: []web.Input{
			t.input(f, "timeout_ms", "Timeout in ms", "text", "15000", "1000 to 30000, for the whole request."),
			t.input(f, "max_in_flight", "Requests at a time", "text", "32", "1 to 1000."),
			t.pick(f, "ordered", "Order", "In the order of their ids, the next when the one before has ended.", "", "Any",
				"block", "One at a time; pause when a schedule is used up",
				"skip", "One at a time; go on when a schedule is used up"),
			t.input(f, "rate_requests", "Rate limit", "text", "none", "Requests, retries included. Empty: no limit."),
			t.pick(f, "rate_per", "In each", "", "second", "Second", "minute", "Minute"),
			t.input(f, "rate_burst", "Burst", "text", "1", "How many may follow at once after a quiet time."),
		}},
		{Title: "Retries", Fields: []web.Input{
			t.pick(f, "retry_schedule", "Schedule", "", "", "The server's", "fast", "Fast", "standard", "Standard",
				"once", "No retries", ownSchedule, "These delays:"),
			t.input(f, "retry_delays", "Delays", "text", "1m 5m 30m 2h", "1s to 168h each."),
			t.input(f, "retry_jitter", "Jitter", "text", "the server's", "0 to 1: up to so much longer. 0.1 is 10 %."),
		}},
		{Title: "Yours", Fields: []web.Input{
			t.input(f, "metadata", "Metadata", "textarea", `{"plan": "gold"}`, "A JSON object of texts."),
		}},
	}
	return form
}

func (v *visit) receiverFields(e *client.Endpoint, t texts, f faults) []web.Input {
	fields := []web.Input{required(t.input(f, "url", "URL", "url", "https://example.com/webhooks", ""))}
	if e.ID == "" && v.session.TenantID == nil {
		tenant := t.input(f, "tenant_id", "Tenant", "text", "acme", "The customer whose events it gets.")
		fields = append(fields, required(tenant))
	}

	fields = append(fields, t.input(f, "uid", "Uid", "text", "none", "Your own name for it, usable wherever its id is."))
	if e.ID == "" {
		fields = append(fields, t.input(f, "secret", "Signing secret", "text", "a new one",
			"whsec_ and base64, to keep the one that the receiver has."))
	} else {
		fields = append(fields, t.pick(f, "status", "Status", "Disabling cancels what is pending.",
			"enabled", "Enabled", "paused", "Paused: deliveries wait", "disabled", "Disabled: none are made"))
	}
	return append(fields, t.input(f, "description", "Description", "textarea", "", "For people."))
}

func requestFields(e *client.Endpoint, t texts, f faults) []web.Input {
	fields := []web.Input{
		t.input(f, "headers", "Headers", "textarea", "x-source: billing", "A line each: name: value."),
		t.input(f, "secret_headers", "Secret headers", "textarea", "authorization: Bearer …",
			"The same for credentials: stored encrypted, and never shown again."),
		t.pick(f, "format", "Format", "The body is the payload in both.",
			"standard", "Standard Webhooks", "cloudevents", "CloudEvents, binary mode"),
	}
	if len(e.SecretHeaderNames) == 0 {
		return fields
	}

	fields[1].Help = "New ones, or new values: " + strings.Join(e.SecretHeaderNames, ", ") +
		" are stored and not shown. A URL with another host needs each of them again."
	var options []string
	for _, name := range e.SecretHeaderNames {
		options = append(options, name, name)
	}
	return append(fields, t.checks(f, "removed_headers", "Remove", "", options...))
}

func askEndpoint(v *visit) error {
	if err := v.needs(scopeAdmin, scopeTenant); err != nil {
		return err
	}
	e := &client.Endpoint{}
	t := endpointTexts(e)
	t["tenant_id"] = v.query("tenant")
	return v.showForm(0, "New endpoint", endpointsCrumb(), v.endpointForm(e, t, nil))
}

func endpointsCrumb() web.Crumb { return web.Crumb{Label: "Endpoints", Href: "/console/endpoints"} }

// createEndpoint shows the new endpoint with its secret, which is in the answer to the form. The same form sent again
// gets the same answer.
func createEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}

	e := &client.Endpoint{}
	body, f := changed(e, t)
	status := http.StatusUnprocessableEntity
	if len(f) == 0 {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		p := client.CreateEndpointParams{IdempotencyKey: t[tokenField]}
		made, err := v.api.CreateEndpoint(v.ctx(), client.NewEndpoint{}, p, client.WithBody(data))
		if err == nil {
			return v.showCreated(made)
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, fieldOfEndpoint); !ok {
			return err
		}
	}
	return v.showForm(status, "New endpoint", endpointsCrumb(), v.endpointForm(e, t, f))
}

func (v *visit) showCreated(made *client.Endpoint) error {
	v.SetPathValue("endpoint", made.ID)
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	page.Secrets, page.SecretsNote = []web.Secret{{Text: made.Secret, Created: made.CreatedAt}},
		"The endpoint is created. Its receiver verifies requests with this."
	return v.show(web.EndpointPage(v.shell(page.URL), page))
}

func editEndpoint(v *visit) error {
	if err := v.needs(scopeAdmin, scopeTenant); err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}
	return v.showForm(0, "Edit", endpointCrumb(e), v.endpointForm(e, endpointTexts(e), nil))
}

func endpointCrumb(e *client.Endpoint) web.Crumb {
	return web.Crumb{Label: pages.Place(e.URL), Href: "/console/endpoints/" + e.ID}
}

// saveEndpoint changes what the form shows otherwise than it was, and only if it still is as the form was made of.
func saveEndpoint(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}
	if t["etag"] != e.ETag {
		return v.showConflict(e, t)
	}

	body, f := changed(e, t)
	status := http.StatusUnprocessableEntity
	if len(f) == 0 {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		p := client.UpdateEndpointParams{IfMatch: e.ETag}
		_, err = v.api.UpdateEndpoint(v.ctx(), e.ID, client.EndpointChange{}, p, client.WithBody(data))
		refused, _ := pages.AsRefusal(err)
		switch {
		case err == nil:
			return v.back("/console/endpoints/"+e.ID, "saved")
		case refused != nil && refused.Status == http.StatusPreconditionFailed:
			return v.showConflict(e, t)
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, fieldOfEndpoint); !ok {
			return err
		}
	}
	return v.showForm(status, "Edit", endpointCrumb(e), v.endpointForm(e, t, f))
}

// showConflict says who has changed the endpoint since the form was shown, and what the form has that it has not.
func (v *visit) showConflict(e *client.Endpoint, t texts) error {
	if err := v.needs(scopeAdmin, scopeTenant); err != nil {
		return err
	}
	e, err := v.api.GetEndpoint(v.ctx(), e.ID, client.GetEndpointParams{})
	if err != nil {
		return err
	}
	entries, err := v.api.ListAudit(v.ctx(), client.ListAuditParams{ObjectID: e.ID, Order: "desc", Limit: 20})
	if err != nil {
		return err
	}

	page := web.Conflict{Reload: "/console/endpoints/" + e.ID + "/edit", At: e.UpdatedAt}
	for _, entry := range entries.Items {
		if members, is := entry.Detail["members"]; is && entry.At.After(e.UpdatedAt.Add(-time.Second)) {
			row := auditRow(entry)
			page.Who, page.What = row.Actor, details(map[string]json.RawMessage{"members": members})[0].Value
			break
		}
	}
	if page.Who == "" {
		page.What = "status, by a worker"
		if e.StatusReason != "" {
			page.What += ": " + e.StatusReason
		}
	}

	body, _ := changed(e, t)
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if name != "secret_headers" {
			page.Sent = append(page.Sent, web.Header{Name: strings.ReplaceAll(name, "_", " "), Value: t[fieldOfEndpoint(name)]})
		}
	}
	s := v.shell("Edit")
	return v.console.write(v.w, v.Request, http.StatusPreconditionFailed, web.ConflictPage(s, endpointCrumb(e), page))
}
