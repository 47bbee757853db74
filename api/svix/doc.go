// Package svix answers the calls of Svix's SDKs, below [Path]: it translates them into requests to Outhook's API, in
// this process, and the answers back. So tenants, scopes, limits, errors, idempotency keys and the audit trail are the
// API's, and there is no second way to the data. docs/svix.md says, call by call, what differs from Svix.
//
// An application is a tenant that has an entry, its uid is the tenant's label; a message is an event, its eventId the
// event's idempotency key. Ids are those of the API in another writing (id.go), lists are the API's with iterators in
// the place of cursors (page.go).
//
// To add a call: its line in [API.routes], and a function that asks the API (visit.go).
package svix
