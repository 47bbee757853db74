package console

import (
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

const day = 24 * time.Hour

func keysCrumb() web.Crumb { return web.Crumb{Label: "Keys", Href: "/console/keys"} }

func listKeys(v *visit) error { return v.showKeys(nil) }

// showKeys shows the keys, with one that was just made.
func (v *visit) showKeys(fresh *web.FreshKey) error {
	page, err := v.api.ListKeys(v.ctx(), client.ListKeysParams{
		TenantID: v.query("tenant"), Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.Keys{
		Filters: []web.Input{v.text("tenant", "Tenant", "any")}, Filtered: v.filtered("tenant"),
		Paging: v.paging(page.NextCursor), Fresh: fresh,
	}
	for _, k := range page.Items {
		list.Rows = append(list.Rows, keyRow(k))
	}
	s := v.shell("Keys")
	if fresh == nil {
		s.Refresh = refreshSeconds
	}
	return v.show(web.KeysPage(s, list))
}

func keyRow(k client.Key) web.KeyRow {
	row := web.KeyRow{
		ID: k.ID, Name: k.Name, Scope: k.Scope, Created: k.CreatedAt, Used: k.LastUsedAt, Ends: k.ExpiresAt,
		State: web.Mark{Tone: "ok", Icon: "check", Text: "Active"},
	}
	if k.TenantID != nil {
		row.Tenant = *k.TenantID
	}

	switch {
	case k.RevokedAt != nil:
		row.State = web.Mark{Tone: "mute", Icon: "stop", Text: "Revoked"}
		return row
	case k.ExpiresAt != nil && k.ExpiresAt.Before(time.Now()):
		row.State = web.Mark{Tone: "mute", Icon: "clock", Text: "Expired"}
	}
	row.Actions = []web.Action{{
		ID: "revoke-" + k.ID, Label: "Revoke", Icon: "trash", Href: "/console/keys/" + k.ID + "/revoke", Tone: "danger small",
		Title: "Revoke this key?",
		Text: k.Name + " (" + k.Scope + ") stops working at once, and so do the sessions that were made with it. " +
			"It stays in the list.",
	}}
	return row
}

func askKey(v *visit) error {
	if err := v.needs(scopeAdmin); err != nil {
		return err
	}
	return v.showForm(0, "New key", keysCrumb(), keyForm(texts{"scope": "publish", "tenant": v.query("tenant")}, nil))
}

func keyForm(t texts, f faults) web.Form {
	return web.Form{
		Path: "/console/keys", Submit: "Make the key", Back: "/console/keys", Hidden: []web.Input{newToken()}, Fault: f[""],
		Groups: []web.FieldGroup{
			{Title: "For whom", Fields: []web.Input{
				required(t.input(f, "name", "Name", "text", "billing", "What the key is for: it stands in the audit trail.")),
				t.pick(f, "expires", "Expires", "", "", "Never", "720h", "In 30 days", "2160h", "In 90 days", "8760h", "In a year"),
			}},
			{Title: "For what", Fields: []web.Input{
				t.pick(f, "scope", "Scope", "No more than it needs.",

					"publish", "publish: only publish events",
					"read", "read: look at everything, payloads too",
					"operate", "operate: and replay, recover, pause, test",
					"tenant", "tenant: everything of one tenant",
					"admin", "admin: everything"),
				t.input(f, "tenant", "Tenant", "text", "all", "Whom it is bound to: needed with tenant, impossible with admin."),
			}},
		},
	}
}

// createKey shows the key once: it is in the answer to the form. The same form sent again gets the same answer.
func createKey(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}

	k := client.NewKey{Name: strings.TrimSpace(t["name"]), Scope: t["scope"]}
	if tenant := strings.TrimSpace(t["tenant"]); tenant != "" {
		k.TenantID = &tenant
	}
	if after, err := time.ParseDuration(t["expires"]); err == nil {
		// The end of a day: the form says the same when it is sent again.
		ends := time.Now().UTC().Truncate(day).Add(day + after)
		k.ExpiresAt = &ends
	}

	made, err := v.api.CreateKey(v.ctx(), k, client.CreateKeyParams{IdempotencyKey: t[tokenField]})
	if f, status, ok := pages.FaultsOf(err, keyField); ok {
		return v.showForm(status, "New key", keysCrumb(), keyForm(t, f))
	}
	if err != nil {
		return err
	}

	fresh := &web.FreshKey{Name: made.Name, Scope: made.Scope, Text: made.Key}
	if made.TenantID != nil {
		fresh.Tenant = *made.TenantID
	}
	return v.showKeys(fresh)
}

func keyField(member string) string {
	switch member {
	case "tenant_id":
		return "tenant"
	case "expires_at":
		return "expires"
	}
	return member
}

func revokeKey(v *visit) error {
	if err := v.api.RevokeKey(v.ctx(), v.PathValue("key")); err != nil {
		return err
	}
	return v.back("/console/keys", "revoked")
}
