// Package ledger is what everybody must agree on about deliveries, and what people may order of them: replay, cancel,
// the end of an endpoint's deliveries.
//
//   - queue.go names River's queues and the lanes; reason.go the reasons why deliveries ended; depth.go how many
//     webhooks led to an event; limit.go and event.go hold the times and types that more than one package goes by;
//     text.go is what Postgres can hold of an answer.
//   - replay.go orders a delivery again, brings it forward or cancels it, replay_many.go many; payload.go erases what
//     an event said; pause.go keeps deliveries back for maintenance.
//
// Locks are taken in this order: an endpoint, its health, deliveries, jobs.
package ledger
