package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// find leads to what a text is, or shows what it may be.
func find(v *visit) error {
	text := strings.TrimSpace(v.query("q"))
	page := web.Find{
		Query: text, Fields: append([]web.Input{v.text("q", "What you have", "id, host, key, tenant")}, v.tenantFilter()...),
		AnyTenant: v.session.TenantID == nil && v.query("tenant") == "",
	}
	if text != "" {
		found, err := v.api.Find(v.ctx(), client.FindParams{Q: text, TenantID: v.query("tenant")})
		if err != nil && !isInvalid(err) { // what can't be anything is nothing
			return err
		}
		page.Found, page.More = foundThings(text, found)
	}

	if len(page.Found) == 1 {
		http.Redirect(v.w, v.Request, page.Found[0].Href, http.StatusSeeOther)
		return nil
	}
	return v.show(web.FindPage(v.shell("Find"), page))
}

// foundThings returns what was found, and a list of all endpoints if there are more of them.
func foundThings(text string, found *client.Findings) (list []web.Found, more string) {
	if found == nil {
		return nil, ""
	}

	for _, item := range found.Items {
		thing := web.Found{
			Kind: strings.ToUpper(item.Kind[:1]) + item.Kind[1:], Name: web.Or(item.Label, item.ID), Icon: item.Kind,
		}
		if item.TenantID != nil {
			thing.Detail = *item.TenantID
		}

		switch item.Kind {
		case "tenant":
			thing.Href, thing.Icon = web.TenantHref(item.ID), "people"
		case "operation":
			thing.Href, thing.Icon = objectHref(item.Kind, item.ID), "again"
		default:
			thing.Href = objectHref(item.Kind, item.ID)
		}

		if found.More && item.Kind == "endpoint" && item.By != "id" {
			more = "/console/endpoints?" + url.Values{item.By: {text}}.Encode()
		}
		list = append(list, thing)
	}
	return list, more
}

// isInvalid tells whether a parameter can't be what it was given as.
func isInvalid(err error) bool {
	refused, ok := pages.AsRefusal(err)
	return ok && (refused.Status == http.StatusUnprocessableEntity || refused.Status == http.StatusBadRequest)
}
