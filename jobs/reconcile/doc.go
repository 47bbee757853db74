// Package reconcile checks what must hold between deliveries, jobs and partitions: inspect.go reports what does not,
// which is what `outhook doctor` prints, and reconcile.go repairs it, every minute.
package reconcile
