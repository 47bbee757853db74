// Package dbclock tells the database's time in a process whose own clock may be wrong.
package dbclock
