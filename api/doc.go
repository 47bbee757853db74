// Package api is the HTTP API of Outhook: events in, endpoints, deliveries and what came of them out. A handler calls a
// generated query, and nothing is between the two.
//
// All of it is JSON in snake_case below /api, behind an API key ("Authorization: Bearer <key>"). An error is an RFC
// 9457 problem (application/problem+json) that says what to do and never repeats the request's input. The server
// documents itself at /docs and /openapi.json; /livez and /readyz tell its health.
//
// # Reading
//
// new.go builds a [Server] and says in which order a request passes: observe.go, admit.go, auth.go, then the route.
// route.go adds an operation, body.go reads its body, and problem.go is the table from errors to answers. Each noun
// has a file with its shape in JSON and its handlers (event.go, endpoint.go, delivery.go, operation.go, ...) and,
// where it takes a body, one that reads it (event_body.go); all lists answer as page.go says. What knows nothing of
// the rest is below internal: ingest stores events, strictjson reads bodies, problem is what is answered, apikey,
// limit and docspage.
//
// # Ingestion
//
// Events are stored in groups: the requests that arrive while a transaction commits make up the next one. A request
// is answered only after its commit, so a 2xx means committed; any other answer of class 5xx leaves the outcome
// unknown, and a repetition with the same idempotency key is safe. A payload is stored and sent byte for byte as it
// stood in the request's body.
package api
