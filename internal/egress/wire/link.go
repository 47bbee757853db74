package wire

import (
	"container/list"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Link is a connection that a request was given. Of one that speaks HTTP/1.1 it is the only user, of HTTP/2 one of
// many.
type Link struct {
	pool   *Pool
	host   *host
	conn   *Conn
	http   *http.ClientConn
	begin  func() // nil: HTTP/2
	shared bool   // by HTTP/2
	remote netip.AddrPort
	tenant string // whose requests it has carried; HTTP/1.1

	// The pool's, under its mutex.
	requests int           // under way
	since    time.Time     // when requests became 0
	keep     time.Duration // how long it may be idle
	element  *list.Element // in the list of idle ones
	retired  bool          // it takes no more requests
}

// HTTP2 tells whether the link speaks HTTP/2.
func (l *Link) HTTP2() bool { return l.shared }

// RemoteAddr returns the address that the link leads to.
func (l *Link) RemoteAddr() string { return l.conn.RemoteAddr().String() }

// RoundTrip sends a request and returns the head of its answer.
func (l *Link) RoundTrip(req *http.Request) (*http.Response, error) {
	if l.begin != nil {
		l.begin()
	}
	return l.http.RoundTrip(req) //nolint:wrapcheck // classified by its text and type
}

// Untouched tells whether it is certain that no byte of the request was written. HTTP/2's errors tell it otherwise.
func (l *Link) Untouched() bool { return !l.shared && l.conn.untouched() }

// Done gives the link back. The answer must have been read, and its body closed.
func (l *Link) Done(answer http.Header) {
	if l.shared {
		l.pool.leave(l)
		return
	}

	if keep, ok := keepAlive(answer.Get("Keep-Alive")); ok {
		l.keep = min(keep, l.pool.cfg.IdleTimeout)
	}

	// Without the wait the tenant's next request would find no connection, and make one.
	settled, ok := l.conn.end(func() { l.pool.put(l) })
	switch {
	case !ok:
		l.close()
	case settled != nil:
		select {
		case <-settled:
		case <-time.After(settleTime):
		}
	}
}

// Fail gives back a link on which a request had no answer. retire: it is to take no more requests.
func (l *Link) Fail(retire bool) {
	if !l.shared {
		l.close()
		return
	}

	if retire {
		l.pool.retire(l)
	}
	l.pool.leave(l)
}

// unused gives back a link that was taken for a request that is gone.
func (l *Link) unused() {
	l.http.Release()
	l.Fail(false)
}

// close ends the connection, and what is under way on it.
func (l *Link) close() { _ = l.http.Close() }

// keepAlive returns how long a receiver keeps an idle connection, as its Keep-Alive header says (RFC 2068, section
// 19.7.1.1), less a second in which a request may be on its way.
func keepAlive(value string) (time.Duration, bool) {
	for parameter := range strings.SplitSeq(value, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "timeout") {
			continue
		}

		seconds, err := strconv.ParseUint(strings.Trim(number, " \t\""), 10, 31)
		if err != nil {
			return 0, false
		}
		told := time.Duration(seconds) * time.Second
		return max(told-time.Second, told/2), true
	}
	return 0, false
}

// closers closes links outside of the pool's mutex: the end of a TLS connection is written to it.
type closers []*Link

func (c closers) run() {
	for _, l := range c {
		go l.close()
	}
}

// newLink makes HTTP/1.1 or HTTP/2 of a connection, as was agreed on in its handshake.
func (p *Pool) newLink(ctx context.Context, h *host, made *Made) (*Link, error) {
	l := &Link{
		pool: p, host: h, conn: made.Conn, shared: made.HTTP2, begin: made.Begin, keep: p.cfg.IdleTimeout, since: time.Now(),
	}
	if addr, err := netip.ParseAddrPort(made.Conn.RemoteAddr().String()); err == nil {
		l.remote = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}

	scheme := "http"
	if h.key.TLS {
		scheme = "https"
	}
	if made.HTTP2 {
		made.Conn.share()
	}

	var err error
	l.http, err = p.http.NewClientConn(withStream(ctx, made.Stream), scheme, h.key.Address)
	if err != nil {
		_ = made.Stream.Close()
		return nil, fmt.Errorf("beginning to speak HTTP: %w", err)
	}
	p.made.Add(1)
	return l, nil
}

// Made returns how many connections were made.
func (p *Pool) Made() int64 { return p.made.Load() }
