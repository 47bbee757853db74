// Package portal is what a customer sees inside the product of whoever runs Outhook: pages about one tenant's endpoints
// and events.
//
// A page is a handler that calls the API by its own Go client, in this process, with the key of the session, which is
// in the browser's cookie. So the tenant, the capabilities, the limits, the errors and the audit trail are the API's,
// and there is no second way to the data. What a page offers is what the session can do.
//
// To add a page: a struct and a template in package web, a handler here, its line in [Portal.pages], its texts in
// api/web/languages, and what it is tried with in pages_test.go.
package portal
