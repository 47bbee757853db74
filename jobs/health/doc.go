// Package health knows how endpoints do, and what follows: an endpoint that fails for too long is disabled, and
// probed until it works again.
//
//   - tracker.go adds up what this process sees of each endpoint.
//   - keeper.go tells the database every few seconds, changes states and disables.
//   - probe.go sends a test event to disabled endpoints whose time has come.
//   - event.go makes the operational events, which tell the operator.
package health
