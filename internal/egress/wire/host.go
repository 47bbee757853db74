package wire

import (
	"context"
	"slices"
	"time"
)

// dialTimeout ends the making of a connection that goes on although the request that caused it has ended: the longest
// timeout that an endpoint may have.
const dialTimeout = 30 * time.Second

// protocol is what a host has spoken last.
type protocol int

const (
	unknown protocol = iota
	speaksHTTP1
	speaksHTTP2
)

// host is what there is of one host and port. All is the pool's, under its mutex.
type host struct {
	pool       *Pool
	key        Key
	speaks     protocol
	http1Until time.Time          // it does not want HTTP/2
	own        map[string][]*Link // HTTP/1.1's idle ones by tenant, longest first
	shared     []*Link            // HTTP/2's
	waiting    []*waiter          // longest first
	dials      []*Dialing         // longest first
}

// waiter is a request that waits for a link.
type waiter struct {
	tenant string
	ready  chan got
}

type got struct {
	link    *Link
	dialing *Dialing
	err     error
}

// take returns a link that is there, nil if there is none.
func (h *host) take(tenant string, old *closers) *Link {
	if l := h.takeShared(old); l != nil {
		return l
	}

	for mine := h.own[tenant]; len(mine) > 0; mine = h.own[tenant] {
		l := mine[len(mine)-1]
		h.pool.wake(l)
		if time.Since(l.since) <= l.keep && !h.pool.tooOld(l) && l.conn.begin() {
			return l
		}
		*old = append(*old, l)
	}
	return nil
}

func (h *host) takeShared(old *closers) *Link {
	for _, l := range slices.Clone(h.shared) {
		seen, closed := l.conn.lastSeen()

		switch {
		case closed || time.Since(seen) > h.pool.cfg.MaxSilence || h.pool.tooOld(l):
			h.retire(l, old)
		case l.http.Reserve() == nil:
			l.requests++
			return l
		}
	}
	return nil
}

// retire lets an HTTP/2 link take no more requests. Those that are under way go on.
func (h *host) retire(l *Link, old *closers) {
	h.shared = remove(h.shared, l)
	if !l.retired && l.requests == 0 {
		*old = append(*old, l)
	}
	l.retired = true
}

func (h *host) retireAll() {
	var old closers
	for _, l := range slices.Clone(h.shared) {
		h.retire(l, &old)
	}
	old.run()
}

// dial makes as many connections as requests wait for; one as long as it may turn out to be HTTP/2, which is enough for
// all. A connection may outlive the request that caused it.
func (h *host) dial() {
	need := len(h.waiting)
	if h.speaks != speaksHTTP1 {
		need = min(need, 1)
	}

	for len(h.dials) < need {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		d := &Dialing{cancel: cancel, tenant: h.waiting[len(h.dials)].tenant, since: time.Now()}
		h.dials = append(h.dials, d)
		go h.pool.dial(ctx, h, d, time.Now().Before(h.http1Until))
	}
}

// dial makes one connection and hands it to those who wait.
func (p *Pool) dial(ctx context.Context, h *host, d *Dialing, http1 bool) {
	defer d.cancel()
	made, err := p.cfg.Dial(ctx, h.key, http1, d)
	var l *Link
	if err == nil {
		d.Reach(Ready)
		l, err = p.newLink(ctx, h, made)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := slices.Contains(h.dials, d)
	h.dials = remove(h.dials, d)
	switch {
	case err != nil && wanted:
		h.refuse(d, err)
	case err == nil:
		h.welcome(l, d)
	}
	h.dial() //nolint:contextcheck // a connection may outlive the request that caused it
}

// refuse tells those who wait that a connection can't be made: one of them, or all if they waited for the same one.
func (h *host) refuse(d *Dialing, err error) {
	n := len(h.waiting)
	if h.speaks == speaksHTTP1 {
		n = min(n, 1)
	}
	for _, w := range h.waiting[:n] {
		w.ready <- got{dialing: d, err: err}
	}
	h.waiting = h.waiting[n:]
}

// welcome gives a new link to those who wait.
func (h *host) welcome(l *Link, d *Dialing) {
	if l.shared {
		h.speaks = speaksHTTP2
		h.shared = append(h.shared, l)
		h.serve(d)
		h.pool.sweepLater()
		return
	}

	h.speaks = speaksHTTP1
	if len(h.waiting) == 0 {
		var old closers
		l.tenant = d.tenant
		h.pool.rest(l, &old)
		old.run()
		return
	}

	// Should it have ended already, the request finds out: else one connection after the other would be made.
	w := h.waiting[0]
	h.waiting = h.waiting[1:]
	l.tenant = w.tenant
	l.conn.begin()
	w.ready <- got{link: l, dialing: d}
}

// serve gives what HTTP/2's links can take to those who wait.
func (h *host) serve(d *Dialing) {
	var old closers
	for len(h.waiting) > 0 {
		l := h.takeShared(&old)
		if l == nil {
			break
		}
		w := h.waiting[0]
		h.waiting = h.waiting[1:]
		w.ready <- got{link: l, dialing: d}
	}
	old.run()
}

// hand gives an idle link of HTTP/1.1 to a request of its tenant that waits.
func (h *host) hand(l *Link) bool {
	i := slices.IndexFunc(h.waiting, func(w *waiter) bool { return w.tenant == l.tenant })
	if i < 0 || !l.conn.begin() {
		return false
	}
	w := h.waiting[i]
	h.waiting = slices.Delete(h.waiting, i, i+1)
	w.ready <- got{link: l}
	return true
}

// forget ends a wait. It returns false if the wait has ended already.
func (h *host) forget(w *waiter) bool {
	n := len(h.waiting)
	h.waiting = remove(h.waiting, w)
	return len(h.waiting) < n
}

// drop takes an idle link of HTTP/1.1 out of the host's.
func (h *host) drop(l *Link) {
	if mine := remove(h.own[l.tenant], l); len(mine) > 0 {
		h.own[l.tenant] = mine
	} else {
		delete(h.own, l.tenant)
	}
}

func (h *host) empty() bool {
	return len(h.own)+len(h.shared)+len(h.waiting)+len(h.dials) == 0 &&
		(time.Now().After(h.http1Until) || len(h.pool.hosts) > maxRemembered)
}

// sweepShared ends the HTTP/2 links that nobody needs.
func (h *host) sweepShared(old *closers) {
	for _, l := range slices.Clone(h.shared) {
		_, closed := l.conn.lastSeen()
		idle := l.requests == 0 && time.Since(l.since) > l.keep
		if closed || idle || h.pool.tooOld(l) {
			h.retire(l, old)
		}
	}
}

func remove[T comparable](list []T, item T) []T {
	return slices.DeleteFunc(list, func(other T) bool { return other == item })
}
