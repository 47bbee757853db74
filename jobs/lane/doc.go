// Package lane keeps one endpoint from delaying another. An endpoint that is slow, or has a rate limit, gets a lane:
// a queue of its own, endpoint-<id>, that nobody works and from which its deliveries are released as fast as it takes
// them.
//
//   - gate.go stands in front of the requests of one process and tells which endpoints are slow.
//   - keeper.go notes them in the database and sets their runs aside; throttle.go reads what an answer asks for.
//   - pacer.go decides which process paces: one, by a lease. release.go and sweep.go are what it does: look at the
//     lanes, release what may leave, close and widen lanes; move what is in the wrong queue, and cancel what waits
//     for ended endpoints.
//   - bulk.go bounds how fast bursts go while others wait, and turns.go takes each tenant's in turn.
package lane
