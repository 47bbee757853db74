// Package jobs runs the workers of a process. It wires what its packages do and knows River; it decides nothing about
// deliveries.
//
//   - client.go makes the workers from a Config (config.go), starts and stops them; periodic.go and cancel.go are
//     jobs that belong to no package below.
//   - driver.go is River's driver with our clock, our pools of kept plans and without the end of runs that are over
//     in the database already.
//   - metrics.go counts fetches; collector.go reads for a scrape what only the database knows.
//
// A delivery is worked in three steps (package deliver), each of which needs a database connection only for a moment:
//
//   - load: what many jobs need is read in one query;
//   - send: the request leaves without a transaction or a connection being held;
//   - record: the attempt rows, the deliveries and the settled jobs of many runs are written in one transaction. Only
//     then does the job end.
//
// River counts the runs of a job when it fetches it, so a run has a number of its own even if two workers run the same
// delivery. That number, plus the base of a replay, is the attempt's number. Exhaustion is decided by the delivery's
// try_count and the retry schedule (internal/retry), never by River.
//
// Around it: lane keeps a slow endpoint from delaying others; health disables one that fails for too long; presence
// hands on what a dead worker had in flight; reconcile repairs what must hold between deliveries, jobs and
// partitions; retention makes partitions and removes old days; operation and erasure carry out long orders; rekey
// changes the encryption key; why says why a delivery is where it is; ledger is what all of them agree on.
package jobs
