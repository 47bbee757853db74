package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

// idPattern is what an event and an endpoint are called.
var idPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

// find leads to what a text is, or shows what it may be. Each look is one by an index: a part of a name finds nothing.
func find(v *visit) error {
	text := strings.TrimSpace(v.query("q"))
	page := web.Find{Query: text}
	if text != "" {
		look := v.byName
		if idPattern.MatchString(text) {
			look = v.byID
		}
		var err error
		if page.Found, err = look(text); err != nil {
			return err
		}
	}

	if len(page.Found) == 1 {
		http.Redirect(v.w, v.Request, page.Found[0].Href, http.StatusSeeOther)
		return nil
	}
	return v.show(web.FindPage(v.shell("Find"), page))
}

func (v *visit) byID(id string) (found []web.Found, err error) {
	event, err := v.api.GetEvent(v.ctx(), id)
	switch {
	case err == nil:
		found = append(found, web.Found{
			Kind: "Event", Name: event.Type, Detail: event.TenantID, Href: "/console/events/" + event.ID, Icon: "event",
		})
	case !isGone(err):
		return nil, err
	}

	endpoint, err := v.api.GetEndpoint(v.ctx(), id, client.GetEndpointParams{})
	switch {
	case err == nil:
		found = append(found, foundEndpoint(*endpoint))
	case !isGone(err):
		return nil, err
	}
	return found, nil
}

// byName looks for what has a name that somebody has chosen.
func (v *visit) byName(name string) (found []web.Found, err error) {
	for _, p := range []client.ListEndpointsParams{{UID: name, Limit: 10}, {URLHost: name, Limit: 10}} {
		page, err := v.api.ListEndpoints(v.ctx(), p)
		if isInvalid(err) {
			continue // it can't be one
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page.Items {
			found = append(found, foundEndpoint(e))
		}
	}

	events, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{TenantID: name, Limit: 1})
	if err != nil && !isInvalid(err) {
		return nil, err
	}
	endpoints, err := v.api.ListEndpoints(v.ctx(), client.ListEndpointsParams{TenantID: name, Limit: 1})
	if err != nil && !isInvalid(err) {
		return nil, err
	}
	tenant := "?tenant=" + url.QueryEscape(name)
	if events != nil && len(events.Items) > 0 {
		found = append(found, web.Found{
			Kind: "Tenant", Name: name, Detail: "its events", Href: "/console/events" + tenant, Icon: "people",
		})
	}
	if endpoints != nil && len(endpoints.Items) > 0 {
		found = append(found, web.Found{
			Kind: "Tenant", Name: name, Detail: "its endpoints", Href: "/console/endpoints" + tenant, Icon: "people",
		})
	}
	return found, nil
}

func foundEndpoint(e client.Endpoint) web.Found {
	return web.Found{
		Kind: "Endpoint", Name: place(e.URL), Detail: e.TenantID, Href: "/console/endpoints/" + e.ID, Icon: "endpoint",
	}
}

// isInvalid tells whether a parameter can't be what it was given as.
func isInvalid(err error) bool {
	refused, ok := asRefusal(err)
	return ok && (refused.Status == http.StatusUnprocessableEntity || refused.Status == http.StatusBadRequest)
}
