package portal

import "github.com/outhook/outhook/api/web"

// pages are all that there are.
func (p *Portal) pages() []page {
	return []page{
		{"GET /portal/enter", "", enter, true},
		{"POST /portal/session", "", p.openSession, true},
		{"POST /portal/logout", "", logout, false},

		{"GET /portal", "Endpoints", listEndpoints, false},
		{"GET /portal/endpoints/new", "Endpoints", askEndpoint, false},
		{"POST /portal/endpoints", "Endpoints", createEndpoint, false},
		{"POST /portal/preview", "Endpoints", tryFilter, false},
		{"GET /portal/endpoints/{endpoint}", "Endpoints", showEndpoint, false},
		{"GET /portal/endpoints/{endpoint}/edit", "Endpoints", editEndpoint, false},
		{"POST /portal/endpoints/{endpoint}/edit", "Endpoints", saveEndpoint, false},
		{"POST /portal/endpoints/{endpoint}/status", "Endpoints", setStatus, false},
		{"POST /portal/endpoints/{endpoint}/test", "Endpoints", testEndpoint, false},
		{"POST /portal/endpoints/{endpoint}/reveal", "Endpoints", revealSecrets, false},
		{"POST /portal/endpoints/{endpoint}/rotate", "Endpoints", rotateSecret, false},
		{"GET /portal/endpoints/{endpoint}/recover", "Endpoints", askRecover, false},
		{"POST /portal/endpoints/{endpoint}/recover", "Endpoints", recoverEndpoint, false},
		{"POST /portal/endpoints/{endpoint}/delete", "Endpoints", deleteEndpoint, false},

		{"GET /portal/activity", "Activity", listActivity, false},
		{"GET /portal/events/{event}", "Activity", showEvent, false},
		{"POST /portal/events/{event}/{endpoint}/retry", "Activity", retry, false},
		{"GET /portal/missing", "Missing an event?", findMissing, false},
		{"GET /portal/help", "Help", showHelp, false},
		{"GET /portal/event-types/{type}", "Help", showType, false},

		{"GET /portal/", "", notFound, false},
	}
}

// navigation are the items that lead to pages.
func navigation(section string) []web.NavItem {
	item := func(label, href string) web.NavItem {
		return web.NavItem{Label: label, Href: href, Current: label == section}
	}
	return []web.NavItem{
		item("Endpoints", "/portal"), item("Activity", "/portal/activity"), item("Missing an event?", "/portal/missing"),
		item("Help", "/portal/help"),
	}
}
