// Package rollup adds up what happens, for charts and counts that must not read the log.
//
//   - counter.go adds up what this process records, by minute: of each endpoint, of each tenant, and of all.
//   - writer.go inserts that into the table rollups.
//   - fold.go makes the rows of five minutes, and then of an hour, one, and deletes what is older than the retention.
//   - event.go counts the events of each minute, once for all processes.
package rollup
