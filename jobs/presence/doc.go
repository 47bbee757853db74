// Package presence tells who is alive: a worker process has a lease, a row that it renews each second and that lapses
// when it dies or is frozen (lease.go), and every process hands on what a dead one had in flight (rescue.go).
// A process that lives knows which runs it has, and whether it takes what is due (fetching.go).
package presence
