// Package idempotency makes requests repeatable: the answer to a request with an Idempotency-Key is stored in the
// transaction of its change, and whoever repeats the request within 24 hours is given that answer again.
//
// Begin with [Store.Once], which does it all around a handler. The handler makes its change by [Request.Change].
package idempotency
