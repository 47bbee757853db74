// Package deliver works deliveries: a River worker loads one, signs its payload, POSTs it, records the attempt and,
// if it failed, says when the next one is due.
//
// A delivery file by file:
//
//   - args.go is what its job holds: ids, no payload.
//   - worker.go is the way of a run from the fetch to the record, and who decides what.
//   - load.go reads what many runs need in one query; run.go is one run with what was loaded for it.
//   - request.go makes the request's headers, signed, and the attempt that is logged of it; trace.go its span.
//   - record.go ends many runs in one statement: attempts, deliveries, jobs. tell.go does what that means for the
//     endpoint.
//   - finish.go is how a run ends that sent nothing, and what keeps River from ending it; giveback.go why one was given
//     back. log.go is the line of an attempt.
//   - due.go makes jobs available whose time has come, and frees those that were fetched without hearing of it.
package deliver
