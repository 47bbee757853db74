// Package presence tells the dead from the slow: a worker process holds a lock that the database frees when the
// process dies and not while it is paused (lock.go), and every process hands on what a dead one had in flight
// (rescue.go).
package presence
