// Package jobs delivers events: River workers load a delivery, sign its payload, POST it, record the attempt and, if it
// failed, wait for the next one in the retry schedule.
//
// A delivery is worked in three steps, each of which needs a database connection only for a moment:
//
//   - load: what many jobs need is read in one query (see loader);
//   - send: the request leaves without a transaction or a connection being held;
//   - record: the attempt rows, the deliveries and the settled jobs of many runs are written in one transaction (see
//     recorder). Only then does the job end.
//
// River counts the runs of a job when it fetches it, so a run has a number of its own even if two workers run the same
// delivery. That number, plus the base of a replay, is the attempt's number. Exhaustion is decided by the delivery's
// try_count and the retry schedule, never by River.
//
// What crashes and people leave behind is looked after in two ways: every worker process hands on what a dead one had
// in flight (see presence and rescuer), and a periodic job repairs what must hold between deliveries, jobs and
// partitions (see Reconcile; Inspect only reports it).
package jobs
