package console

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

func listAudit(v *visit) error {
	page, err := v.api.ListAudit(v.ctx(), client.ListAuditParams{
		TenantID: v.query("tenant"), ObjectID: v.query("object"), Action: v.query("action"), KeyID: v.query("key"),
		Since: moment(v.query("since")), Until: moment(v.query("until")), Order: "desc", Limit: pageRows,
		Cursor: v.query("cursor"),
	})
	if err != nil {
		return err
	}

	list := web.Audit{
		Filters: v.auditFilters(), Filtered: v.filtered("tenant", "object", "action", "key", "since", "until"),
		Paging: v.paging(page.NextCursor),
	}
	for _, e := range page.Items {
		list.Rows = append(list.Rows, auditRow(e))
	}

	s := v.shell("Audit")
	if v.query("cursor") == "" {
		s.Refresh = refreshSeconds
	}
	return v.show(web.AuditPage(s, list))
}

func (v *visit) auditFilters() []web.Input {
	at := func(name, label string) web.Input {
		return web.Input{Name: name, Label: label, Type: "datetime-local", Value: v.query(name)}
	}
	filters := append([]web.Input{
		v.text("action", "Action", "replay-delivery"), v.text("object", "Object", "id"), v.text("key", "Key", "id"),
	}, v.tenantFilter()...)
	return append(filters, at("since", "Since (UTC)"), at("until", "Until (UTC)"))
}

func auditRow(e client.AuditEntry) web.AuditRow {
	row := web.AuditRow{
		At: e.At, Actor: e.Actor, Action: e.Action, ObjectType: strings.ReplaceAll(e.ObjectType, "_", " "),
		ObjectID: e.ObjectID, ObjectHref: objectHref(e.ObjectType, e.ObjectID), Detail: details(e.Detail),
		ActionHref: trail("action", e.Action), ObjectOnly: trail("object", e.ObjectID),
	}

	for to, from := range map[*string]*string{
		&row.KeyID: e.KeyID, &row.Address: e.SourceAddress, &row.RequestID: e.RequestID, &row.Tenant: e.TenantID,
	} {
		if from != nil {
			*to = *from
		}
	}
	return row
}

// trail is the path of the audit trail with one filter.
func trail(filter, value string) string {
	return "/console/audit?" + url.Values{filter: {value}}.Encode()
}

// objectHref returns the path of an object's page, or "".
func objectHref(kind, id string) string {
	switch kind {
	case "delivery":
		event, endpoint, _ := strings.Cut(id, "/")
		return "/console/deliveries/" + url.PathEscape(event) + "/" + url.PathEscape(endpoint)

	case "endpoint":
		return "/console/endpoints/" + url.PathEscape(id)
	case "event":
		return "/console/events/" + url.PathEscape(id)
	case "operation":
		return "/console/operations/" + url.PathEscape(id)
	case "key":
		return trail("key", id)
	case "tenant":
		return web.TenantHref(id)
	}
	return ""
}

// details writes what was changed: texts as they are, moments to the second, lists with commas, all else as JSON.
func details(detail map[string]json.RawMessage) (list []web.Header) {
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		var text string
		var several []string

		value := string(detail[name])
		switch {
		case value == "null" || value == "[]":
			continue
		case json.Unmarshal(detail[name], &text) == nil:
			value = text
			if at, err := time.Parse(time.RFC3339, text); err == nil {
				value = at.UTC().Format("2006-01-02 15:04:05 UTC")
			}
		case json.Unmarshal(detail[name], &several) == nil:
			value = strings.Join(several, ", ")
		}
		list = append(list, web.Header{Name: strings.ReplaceAll(name, "_", " "), Value: value})
	}
	return list
}
