package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Phase is what a connection that is being made waits for.
type Phase int

// The phases, in their order.
const (
	Queued Phase = iota
	LookingUp
	Connecting
	Handshaking
	Ready
)

// Times are how long the phases of a connection's making took.
type Times struct{ LookUp, Connect, Handshake time.Duration }

// Dialing is a connection that is being made. Requests wait for it and may be gone before it ends.
type Dialing struct {
	cancel context.CancelFunc
	tenant string // whose request caused it

	mu     sync.Mutex
	phase  Phase
	since  time.Time
	times  Times
	remote string
}

// Reach notes that the next phase has begun.
func (d *Dialing) Reach(p Phase) {
	d.mu.Lock()
	defer d.mu.Unlock()

	now := time.Now()
	switch d.phase {
	case LookingUp:
		d.times.LookUp = now.Sub(d.since)
	case Connecting:
		d.times.Connect = now.Sub(d.since)
	case Handshaking:
		d.times.Handshake = now.Sub(d.since)
	case Queued, Ready:
	}
	d.phase, d.since = p, now
}

// Connected notes the address that the connection is to.
func (d *Dialing) Connected(remote net.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remote = remote.String()
}

// Progress returns the phase, how long those before it took, and the address that was connected to, "" if none was yet.
// A nil Dialing, of which nobody has begun to make a connection, is queued.
func (d *Dialing) Progress() (p Phase, times Times, remote string) {
	if d == nil {
		return Queued, Times{}, ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phase, d.times, d.remote
}
