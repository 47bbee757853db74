// Package console is the operator's console: pages about what the API knows.
//
// A page is a handler that calls the API by its own Go client, in this process, and fills a struct of package web. So
// scopes, tenants, limits, errors and the audit trail are the API's, and there is no second way to the data. A
// browser's session is a key of the API like any other, in a cookie.
//
// To add a page: a struct and a template in package web, a handler here, its line in [Console.pages], and what it is
// tried with in pages_test.go.
package console
