package wire

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sweepEvery is how often connections are looked for that have been idle for too long.
	sweepEvery = 500 * time.Millisecond

	// settleTime is how long the end of a request waits for its connection, which takes microseconds unless its request is
	// not written yet.
	settleTime = 20 * time.Millisecond

	// http1For is how long a host is remembered that does not want HTTP/2, and maxRemembered how many such hosts are.
	http1For      = time.Hour
	maxRemembered = 1000
)

// Key is a host and port, and whether TLS is spoken with it.
type Key struct {
	TLS     bool
	Address string // host:port, an IPv6 address in brackets
}

// Made is a connection that was just made.
type Made struct {
	Conn   *Conn
	Stream net.Conn // what HTTP is spoken on: Conn, or TLS on it
	HTTP2  bool
	Begin  func() // called before each request; nil: HTTP/2
}

// Config configures a [Pool].
type Config struct {
	// Dial makes a connection, and notes in d what it waits for. http1: HTTP/2 is not to be offered.
	Dial func(ctx context.Context, key Key, http1 bool, d *Dialing) (*Made, error)

	// Allowed tells whether an address may still be connected to.
	Allowed func(netip.AddrPort) bool

	MaxIdle      int           // connections that are kept for the next request, in all
	MaxIdleOwn   int           // of those of one tenant to one host
	IdleTimeout  time.Duration // how long each is
	MaxAge       time.Duration // how long a connection takes requests
	MaxHeader    int64         // bytes of an answer's head
	StreamWindow int           // what a server may send of an HTTP/2 answer before it is read, in bytes
	ConnWindow   int           // of all answers on a connection

	// MaxSilence is how long an HTTP/2 connection may say nothing and still be given requests. Those that are under way on
	// it wait for their own deadlines.
	MaxSilence time.Duration
}

// Pool holds connections to many hosts.
type Pool struct {
	cfg  Config
	http *http.Transport // never with connections of its own
	made atomic.Int64

	mu    sync.Mutex
	hosts map[Key]*host
	idle  *list.List  // of the links of HTTP/1.1 that wait, longest first
	timer *time.Timer // nil: nothing to sweep
}

// NewPool returns an empty pool.
func NewPool(cfg Config) *Pool {
	return &Pool{cfg: cfg, hosts: map[Key]*host{}, idle: list.New(), http: &http.Transport{
		DialContext:            stream,
		DialTLSContext:         stream,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // a body is kept as it came, so that 1 KiB can't become 1 GiB
		MaxResponseHeaderBytes: cfg.MaxHeader,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     cfg.StreamWindow,
			MaxReceiveBufferPerConnection: cfg.ConnWindow,
		},
	}}
}

// streamKey is the key under which a context holds the connection that net/http is to take.
type streamKey struct{}

func withStream(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, streamKey{}, c)
}

func stream(ctx context.Context, _, _ string) (net.Conn, error) {
	c, ok := ctx.Value(streamKey{}).(net.Conn)
	if !ok {
		return nil, errors.New("there is no connection")
	}
	return c, nil
}

// Get returns a link for one request of a tenant. If ctx ends first, or a connection can't be made, it returns the
// error and how far the making of one has come.
func (p *Pool) Get(ctx context.Context, key Key, tenant string) (*Link, *Dialing, error) {
	p.mu.Lock()
	h := p.hosts[key]
	if h == nil {
		h = &host{pool: p, key: key, own: map[string][]*Link{}}
		p.hosts[key] = h
		p.sweepLater()
	}

	var old closers
	l := h.take(tenant, &old)
	w := &waiter{tenant: tenant, ready: make(chan got, 1)}
	if l == nil {
		h.waiting = append(h.waiting, w)
		h.dial() //nolint:contextcheck // a connection may outlive the request that caused it
	}
	p.mu.Unlock()
	old.run()
	if l != nil {
		return l, nil, nil
	}

	select {
	case g := <-w.ready:
		return g.link, g.dialing, g.err
	case <-ctx.Done():
		return nil, p.giveUp(h, w), ctx.Err() //nolint:contextcheck,wrapcheck // others' connections; the caller's own
	}
}

// giveUp ends a wait, and returns how far the connection has come that was waited for.
func (p *Pool) giveUp(h *host, w *waiter) (d *Dialing) {
	p.mu.Lock()
	if !h.forget(w) {
		p.mu.Unlock()
		if g := <-w.ready; g.link != nil {
			g.link.unused()
		}
		return nil
	}
	defer p.mu.Unlock()

	if len(h.dials) > 0 {
		d = h.dials[0]
	}
	if len(h.dials) > len(h.waiting) {
		d.cancel()
		h.dials = h.dials[1:]
	}
	return d
}

// put takes back a link of HTTP/1.1 that is idle.
func (p *Pool) put(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()

	var old closers
	defer func() { old.run() }()
	l.since = time.Now()
	if l.keep <= 0 || p.tooOld(l) {
		old = append(old, l)
		return
	}

	// Its host may have been forgotten, since nothing was idle.
	if h := p.hosts[l.host.key]; h != nil {
		l.host = h
	} else {
		p.hosts[l.host.key] = l.host
	}
	if !l.host.hand(l) {
		p.rest(l, &old)
	}
}

// rest keeps a link for a later request. It is called with mu held, as all below.
func (p *Pool) rest(l *Link, old *closers) {
	h := l.host
	l.element = p.idle.PushBack(l)
	h.own[l.tenant] = append(h.own[l.tenant], l)

	if mine := h.own[l.tenant]; len(mine) > p.cfg.MaxIdleOwn {
		longest := mine[0]
		p.wake(longest)
		*old = append(*old, longest)
	}
	if p.idle.Len() > p.cfg.MaxIdle {
		longest, _ := p.idle.Front().Value.(*Link)
		p.wake(longest)
		*old = append(*old, longest)
	}
	p.sweepLater()
}

// wake takes an idle link out of the lists.
func (p *Pool) wake(l *Link) {
	p.idle.Remove(l.element)
	l.element = nil
	l.host.drop(l)
}

func (p *Pool) tooOld(l *Link) bool {
	return time.Since(l.conn.opened) > p.cfg.MaxAge || !p.cfg.Allowed(l.remote)
}

func (p *Pool) sweepLater() {
	if p.timer == nil {
		p.timer = time.AfterFunc(sweepEvery, p.sweep)
	}
}

// sweep closes what has been idle for too long.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()

	var old closers
	defer func() { old.run() }()
	for e := p.idle.Front(); e != nil; {
		next := e.Next()
		if l, _ := e.Value.(*Link); time.Since(l.since) > l.keep || p.tooOld(l) {
			p.wake(l)
			old = append(old, l)
		}
		e = next
	}

	for key, h := range p.hosts {
		h.sweepShared(&old)
		if h.empty() {
			delete(p.hosts, key)
		}
	}

	p.timer = nil
	if len(p.hosts) > 0 {
		p.sweepLater()
	}
}

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

// CloseIdle closes the connections on which nothing is under way.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()

	var old closers
	for p.idle.Len() > 0 {
		l, _ := p.idle.Front().Value.(*Link)
		p.wake(l)
		old = append(old, l)
	}
	for _, h := range p.hosts {
		h.retireAll()
	}
	old.run()
}

// Hosts returns how many hosts the pool knows.
func (p *Pool) Hosts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.hosts)
}

// SetMaxSilence changes Config.MaxSilence.
func (p *Pool) SetMaxSilence(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.MaxSilence = d
}
