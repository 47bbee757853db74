package console

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// tenantFields are those of the form of an entry, which are its members.
func tenantFields() []string { return []string{"name", "contact", "metadata"} }

// tenantTexts is an entry as the form shows it; of none, an empty form.
func tenantTexts(entry *client.Tenant) texts {
	if entry == nil {
		return texts{}
	}
	t := texts{"name": entry.Name, "contact": entry.Contact}
	if len(entry.Metadata) > 0 {
		t["metadata"] = object(entry.Metadata)
	}
	return t
}

func tenantETag(entry *client.Tenant) string {
	if entry == nil {
		return ""
	}
	return entry.ETag
}

// changedEntry returns the body that makes an entry what a form says, and what is wrong with the form: a merge patch of
// what the form shows otherwise than it is.
func changedEntry(entry *client.Tenant, t texts) (body map[string]any, f faults) {
	body, f = map[string]any{}, faults{}
	before := tenantTexts(entry)
	for _, field := range tenantFields() {
		if strings.TrimSpace(pages.PlainLines(before[field])) == strings.TrimSpace(t[field]) {
			continue
		}
		if field != "metadata" {
			body[field] = strings.TrimSpace(t[field])
			continue
		}

		var stored map[string]string
		if entry != nil {
			stored = entry.Metadata
		}
		value, fault := metadataPatch(t[field], stored)
		if fault != "" {
			f[field] = fault
		}
		body[field] = value
	}
	return body, f
}

func tenantCrumb(label string) web.Crumb { return web.Crumb{Label: label, Href: web.TenantHref(label)} }

func tenantForm(label string, entry *client.Tenant, t texts, f faults) web.Form {
	path := web.TenantHref(label)

	return web.Form{
		Path: path + "/edit", Submit: "Save", Back: path, Fault: f[""],
		Hidden: []web.Input{{Name: "etag", Value: tenantETag(entry), Hidden: true}},
		Groups: []web.FieldGroup{{
			Title: label,
			Text:  "For people: nothing that publishes or delivers reads it. Keys that are bound to the tenant see it.",
			Fields: []web.Input{
				t.input(f, "name", "Name", "text", "none", "It stands beside the label."),
				t.input(f, "contact", "Contact", "email", "none", "An e-mail address."),
				t.input(f, "metadata", "Metadata", "textarea", `{"plan": "gold"}`, "A JSON object of texts."),
			},
		}},
	}
}

func editTenant(v *visit) error {
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}
	label := v.PathValue("tenant")
	entry, err := v.entry(label)
	if err != nil {
		return err
	}
	return v.showForm(0, "Edit", tenantCrumb(label), tenantForm(label, entry, tenantTexts(entry), nil))
}

// saveTenant makes the entry, or changes what the form shows otherwise than it was, and only if it still is as the form
// was made of.
func saveTenant(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}
	label := v.PathValue("tenant")
	entry, err := v.entry(label)
	if err != nil {
		return err
	}
	if t["etag"] != tenantETag(entry) {
		return v.showTenantConflict(label, t)
	}

	body, f := changedEntry(entry, t)
	status := http.StatusUnprocessableEntity
	if len(f) == 0 {
		err := v.writeEntry(label, entry, body)
		refused, _ := pages.AsRefusal(err)
		switch {
		case err == nil:
			return v.back(web.TenantHref(label), "saved")
		case refused != nil && (refused.Status == http.StatusPreconditionFailed || refused.Status == http.StatusNotFound):
			return v.showTenantConflict(label, t)
		}
		var ok bool
		if f, status, ok = pages.FaultsOf(err, func(member string) string { return member }); !ok {
			return err
		}
	}
	return v.showForm(status, "Edit", tenantCrumb(label), tenantForm(label, entry, t, f))
}

// writeEntry changes an entry that is still the same, or makes one if there still is none.
func (v *visit) writeEntry(label string, entry *client.Tenant, body map[string]any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if entry == nil {
		p := client.PutTenantParams{IfNoneMatch: "*"}
		_, err = v.api.PutTenant(v.ctx(), label, client.NewTenant{}, p, client.WithBody(data))
		return err
	}
	p := client.UpdateTenantParams{IfMatch: entry.ETag}
	_, err = v.api.UpdateTenant(v.ctx(), label, client.TenantChange{}, p, client.WithBody(data))
	return err
}

// showTenantConflict says who has changed the entry since the form was shown, and what the form has that it has not.
func (v *visit) showTenantConflict(label string, t texts) error {
	entry, err := v.entry(label)
	if err != nil {
		return err
	}
	entries, err := v.api.ListAudit(v.ctx(), client.ListAuditParams{ObjectID: label, Order: "desc", Limit: 50})
	if err != nil {
		return err
	}

	page := web.Conflict{Reload: web.TenantHref(label) + "/edit", At: time.Now(), What: "the entry"}
	if entry != nil {
		page.At = entry.UpdatedAt
	}
	for _, e := range entries.Items {
		what := map[string]string{
			"put-tenant": "the entry, which is new", "update-tenant": "the entry",
			"delete-tenant": "the entry, which is deleted",
		}[e.Action]
		if what == "" {
			continue // it is about something else of the tenant
		}
		if members, is := e.Detail["members"]; is {
			what = details(map[string]json.RawMessage{"members": members})[0].Value
		}
		page.Who, page.What, page.At = e.Actor, what, e.At
		break
	}

	body, _ := changedEntry(entry, t)
	for _, name := range slices.Sorted(maps.Keys(body)) {
		page.Sent = append(page.Sent, web.Header{Name: name, Value: t[name]})
	}
	s := v.shell("Edit")
	return v.console.write(v.w, v.Request, http.StatusPreconditionFailed, web.ConflictPage(s, tenantCrumb(label), page))
}
