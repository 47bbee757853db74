package console

import (
	"slices"

	"github.com/outhook/outhook/api/web"
)

// pages are all that there are.
func (c *Console) pages() []page {
	return slices.Concat(c.peoplePages(), []page{
		{"GET /console", "Overview", overview, false},
		{"GET /console/login", "", login, true},
		{"POST /console/login", "", c.postLogin, true},
		{"GET /console/enter", "", enter, true},
		{"POST /console/logout", "", logout, false},
		{"POST /console/theme", "", postTheme, true},

		{"GET /console/events", "Events", listEvents, false},
		{"GET /console/events/{event}", "Events", showEvent, false},
		{"POST /console/events/{event}/replay", "Events", replayEvent, false},
		{"POST /console/events/{event}/cancel", "Events", cancelEvent, false},
		{"POST /console/events/{event}/erase", "Events", erasePayload, false},

		{"GET /console/deliveries", "Deliveries", listDeliveries, false},
		{"GET /console/deliveries/{event}/{endpoint}", "Deliveries", showDelivery, false},
		{"POST /console/deliveries/{event}/{endpoint}/replay", "Deliveries", replayDelivery, false},
		{"POST /console/deliveries/{event}/{endpoint}/cancel", "Deliveries", cancelDelivery, false},

		{"GET /console/endpoints", "Endpoints", listEndpoints, false},
		{"GET /console/endpoints/new", "Endpoints", askEndpoint, false},
		{"POST /console/endpoints", "Endpoints", createEndpoint, false},
		{"GET /console/endpoints/{endpoint}", "Endpoints", showEndpoint, false},
		{"GET /console/endpoints/{endpoint}/history", "Endpoints", showHistory, false},
		{"GET /console/endpoints/{endpoint}/edit", "Endpoints", editEndpoint, false},
		{"POST /console/endpoints/{endpoint}/edit", "Endpoints", saveEndpoint, false},
		{"POST /console/endpoints/{endpoint}/status", "Endpoints", setStatus, false},
		{"POST /console/endpoints/{endpoint}/test", "Endpoints", testEndpoint, false},
		{"GET /console/endpoints/{endpoint}/recover", "Endpoints", askRecover, false},
		{"POST /console/endpoints/{endpoint}/recover", "Endpoints", recoverEndpoint, false},
		{"POST /console/endpoints/{endpoint}/rotate", "Endpoints", rotateSecret, false},
		{"POST /console/endpoints/{endpoint}/reveal", "Endpoints", revealSecrets, false},
		{"POST /console/endpoints/{endpoint}/delete", "Endpoints", deleteEndpoint, false},

		{"GET /console/find", "", find, false},
		{"GET /console/live", "Live", showLive, false},
		{"GET /console/live/stream", "Live", streamLive, false},
		{"GET /console/", "", notFound, false},
	}, tenants(), eventTypes(), administration())
}

// eventTypes are the pages of the catalogue.
func eventTypes() []page {
	return []page{
		{"GET /console/event-types", "Event types", listEventTypes, false},
		{"GET /console/event-types/{type}", "Event types", showEventType, false},
		{"GET /console/event-types/{type}/edit", "Event types", editEventType, false},
		{"POST /console/event-types/{type}/edit", "Event types", saveEventType, false},
	}
}

// tenants are the pages of tenants, with an entry or without.
func tenants() []page {
	return []page{
		{"GET /console/tenants", "Tenants", listTenants, false},
		{"GET /console/tenants/{tenant}", "Tenants", showTenant, false},
		{"GET /console/tenants/{tenant}/edit", "Tenants", editTenant, false},
		{"POST /console/tenants/{tenant}/edit", "Tenants", saveTenant, false},
		{"POST /console/tenants/{tenant}/pause", "Tenants", pauseTenant, false},
		{"POST /console/tenants/{tenant}/resume", "Tenants", resumeTenant, false},
		{"POST /console/tenants/{tenant}/delete", "Tenants", deleteTenant, false},
		{"POST /console/tenants/{tenant}/erase", "Tenants", eraseTenant, false},
	}
}

// administration are the pages of what runs in the background, who may do what, and who did what.
func administration() []page {
	return []page{
		{"GET /console/operations", "Operations", listOperations, false},
		{"GET /console/operations/new", "Operations", askOperation, false},
		{"POST /console/operations", "Operations", orderOperation, false},
		{"GET /console/operations/{operation}", "Operations", showOperation, false},
		{"POST /console/operations/{operation}/pause", "Operations", pauseOperation, false},
		{"POST /console/operations/{operation}/resume", "Operations", resumeOperation, false},
		{"POST /console/operations/{operation}/cancel", "Operations", cancelOperation, false},

		{"GET /console/keys", "Keys", listKeys, false},
		{"GET /console/keys/new", "Keys", askKey, false},
		{"POST /console/keys", "Keys", createKey, false},
		{"POST /console/keys/{key}/revoke", "Keys", revokeKey, false},
		{"GET /console/audit", "Audit", listAudit, false},
		{"GET /console/system", "System", showSystem, false},
	}
}

// navigation are the items that lead to pages.
func (c *Console) navigation(section string, who web.Session) []web.NavGroup {
	item := func(label, icon, href string) web.NavItem {
		return web.NavItem{Label: label, Icon: icon, Href: href, Current: label == section}
	}
	outside := func(label, icon, href string) web.NavItem {
		return web.NavItem{Label: label, Icon: icon, Href: href, Outside: true}
	}

	groups := []web.NavGroup{{Items: []web.NavItem{
		item("Overview", "home", "/console"),
		item("Events", "event", "/console/events"),
		item("Deliveries", "send", "/console/deliveries"),
		item("Endpoints", "endpoint", "/console/endpoints"),
		item("Tenants", "people", "/console/tenants"),
		item("Event types", "book", "/console/event-types"),
		item("Live", "live", "/console/live"),
		item("Operations", "again", "/console/operations"),
	}}}

	// What the API refuses to a scope leads nowhere.
	var own web.NavGroup
	switch who.Scope {
	case scopeAdmin:
		own = web.NavGroup{Label: "Administration", Items: []web.NavItem{
			item("System", "gear", "/console/system"), item("Keys", "key", "/console/keys"),
			item("Audit", "list", "/console/audit"),
		}}
	case scopeTenant:
		own = web.NavGroup{Label: "Administration", Items: []web.NavItem{item("Audit", "list", "/console/audit")}}
	}
	if len(own.Items) > 0 {
		groups = append(groups, own)
	}

	more := web.NavGroup{Label: "Elsewhere", Items: []web.NavItem{outside("API", "book", "/docs")}}
	if c.cfg.RiverUI && who.Scope == scopeAdmin {
		more.Items = append(more.Items, outside("River UI", "jobs", "/riverui/"))
	}
	return append(groups, more)
}
