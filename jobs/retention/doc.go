// Package retention makes the partitions of the coming days and removes what is older than the retention.
//
//   - retention.go is one run, step by step; partition.go makes, detaches and drops partitions.
//   - payload.go erases payloads before their events.
//   - check.go refuses a retention that is shorter than a retry schedule.
package retention
