package egress

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// outageAfter is for how long no host at all must have been reached, and outageHosts how many must fail alike, before
	// what fails is the network of this machine and not a receiver.
	outageAfter = 10 * time.Second
	outageHosts = 3

	// outageMemory is how long a failure counts, and outageLasts how long trouble of this machine is told after it was
	// seen last.
	outageMemory = 30 * time.Second
	outageLasts  = 15 * time.Second
)

// outage finds out whether a failure is this machine's or its network's own.
type outage struct {
	reached atomic.Int64 // when a host was reached last, in Unix nanoseconds
	trying  atomic.Bool  // something is to be forgotten as soon as one is

	mu      sync.Mutex
	failed  map[string]map[string]time.Time // by kind, when a host failed last
	trouble string
	seen    time.Time
}

func newOutage() *outage {
	o := &outage{failed: map[string]map[string]time.Time{}}
	o.reached.Store(time.Now().UnixNano())
	return o
}

// reach notes that a host was reached.
func (o *outage) reach() {
	o.reached.Store(time.Now().UnixNano())
	if !o.trying.Swap(false) {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	o.trouble = ""
	clear(o.failed)
}

// note notes that a host failed in a way that may be the network's, and tells whether it is.
func (o *outage) note(kind, host string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()

	now := time.Now()
	o.trying.Store(true)
	hosts := o.failed[kind]
	if hosts == nil {
		hosts = map[string]time.Time{}
		o.failed[kind] = hosts
	}
	hosts[host] = now

	// A few are enough to tell, and hosts are strangers' names.
	for other, at := range hosts {
		if now.Sub(at) > outageMemory || len(hosts) > outageHosts && other != host {
			delete(hosts, other)
		}
	}

	if len(hosts) < outageHosts || now.UnixNano()-o.reached.Load() < int64(outageAfter) {
		return false
	}
	o.trouble, o.seen = kind, now
	return true
}

// local notes trouble that is this machine's in any case.
func (o *outage) local(errno syscall.Errno) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trying.Store(true)
	o.trouble, o.seen = errno.Error(), time.Now()
}

// Trouble returns what keeps this machine from reaching anybody, "" if nothing does: it has no file descriptors, memory
// or local ports left, no route to any host, or no name server that answers.
func (c *Client) Trouble() string {
	o := c.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.seen) > outageLasts {
		return ""
	}
	return o.trouble
}
