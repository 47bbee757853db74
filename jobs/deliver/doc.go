// Package deliver works deliveries: a River worker loads one, signs its payload, POSTs it, records the attempt and,
// if it failed, says when the next one is due.
//
// A delivery file by file:
//
//   - args.go is what its job holds: ids, no payload.
//   - worker.go is the way of a run from the fetch to the record, and who decides what.
//   - load.go reads what many runs need in one query; run.go is one run with what was loaded for it.
//   - request.go makes the request's headers, signed, and the attempt that is logged of it; trace.go its span;
//     text.go what Postgres can hold of an answer.
//   - record.go writes the outcomes of many runs in one transaction: attempts, deliveries, jobs. tell.go does what they
//     mean beyond that.
//   - finish.go is how a run ends: settled, given back, or to be tried again.
package deliver
