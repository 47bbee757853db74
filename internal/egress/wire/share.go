package wire

import "time"

// leave ends a request's use of an HTTP/2 link.
func (p *Pool) leave(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()

	l.requests--
	l.since = time.Now()
	if l.requests == 0 && l.retired {
		closers{l}.run()
	}
	l.host.serve(nil)
	l.host.dial()
}

// retire ends the use of an HTTP/2 link for new requests.
func (p *Pool) retire(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()

	var old closers
	l.host.retire(l, &old)
	old.run()
}

// WantsHTTP1 notes that a host does not want HTTP/2.
func (p *Pool) WantsHTTP1(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()

	h := p.hosts[key]
	if h == nil {
		return
	}
	h.http1Until, h.speaks = time.Now().Add(http1For), speaksHTTP1
	h.retireAll()
}
