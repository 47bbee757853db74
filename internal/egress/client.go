// Package egress is the HTTP client for strangers' URLs: it connects to publicly routable addresses only, follows no
// redirect, sends each request once, and bounds what an answer can cost.
//
// An address is judged after DNS and right before the connection, so DNS rebinding changes nothing. There is no
// proxy, also not from the environment, no cookie, no decompression, and TLS is always verified.
//
// net/http's own logger (package log) writes one line with up to 4 KiB of a receiver's bytes when a receiver sends
// something on an idle connection; programs send package log where such text may go.
package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/outhook/outhook/internal/egress/wire"
)

const (
	defaultTimeout   = 15 * time.Second
	defaultKeepBytes = 1 << 10
	maxKeepBytes     = 16 << 10

	// drainBytes is read and thrown away behind what is kept, so that the connection can be used again. A new
	// connection costs a TLS handshake of about 5 KiB and 3 round trips: more than reading 64 KiB, less than 1 MiB.
	drainBytes = 64 << 10

	// maxHeaderBytes bounds the headers of an answer, those of 1xx responses included. Servers send less than 16 KiB;
	// net/http's default is 1 MiB.
	maxHeaderBytes = 64 << 10

	// HTTP/2 lets a server send this much before we read: net/http's default of 4 MiB a stream would be 2 GiB for 500
	// hostile answers. A stream's window holds all that Post reads of a body (80 KiB).
	http2StreamBytes = 128 << 10
	http2ConnBytes   = 1 << 20

	// maxSilence is how long an HTTP/2 connection may say nothing and still be given requests, so that one lost connection
	// fails the requests on it and not each request behind them too. No PING ends a connection: what is under way has its
	// own deadline.
	maxSilence = 5 * time.Second

	// maxTries is how many connections are tried for a request that surely was not processed.
	maxTries = 3
)

// errTimeout is the cause of a context that our own deadline ended.
var errTimeout = errors.New("the request's timeout passed")

// Config configures a [Client]. The zero value is usable.
type Config struct {
	// Allow holds address ranges that may be reached although they are not publicly routable, for development and for
	// receivers in one's own network. IPv4 ranges are written as IPv4. Empty: none.
	Allow []netip.Prefix

	// Ports holds the ports that may be reached. Empty: any.
	Ports []uint16

	// HTTPSOnly refuses http:// URLs.
	HTTPSOnly bool

	// KeepBytes is how many bytes of an answer's body [Result.Body] holds, at most 16384.
	//
	// Defaults to 1024.
	KeepBytes int

	// RootCAs replaces the system's certificate authorities. To add to those, start from [x509.SystemCertPool], as
	// [ReadCAs] does. Nil: the system's. There is no way to switch verification off.
	RootCAs *x509.CertPool

	// Resolver looks host names up. Nil: Go's own, with the name servers of this machine.
	Resolver *net.Resolver

	// MaxIdleConns bounds the connections that are kept open for the next request, over all hosts. Each costs about
	// 20 KiB and a file descriptor.
	//
	// Defaults to 512.
	MaxIdleConns int

	// MaxIdlePerHost is the same for one host and port, of the connections that only one tenant uses (HTTP/1.1).
	//
	// Defaults to 16.
	MaxIdlePerHost int

	// IdleTimeout closes a connection that was idle for so long. It should be shorter than the receivers' own, or
	// requests meet connections that are just being closed and fail: Node.js and Apache close after 5 s. What a receiver
	// says in a Keep-Alive header shortens it.
	//
	// Defaults to 4 s.
	IdleTimeout time.Duration

	// MaxAge is how long a connection is given requests. It bounds how long a host is reached where its name does not lead
	// any more.
	//
	// Defaults to 60 s.
	MaxAge time.Duration
}

func (cfg Config) withDefaults() Config {
	cfg.KeepBytes = orDefault(cfg.KeepBytes, defaultKeepBytes)
	cfg.MaxIdleConns = orDefault(cfg.MaxIdleConns, 512)
	cfg.MaxIdlePerHost = orDefault(cfg.MaxIdlePerHost, 16)
	cfg.IdleTimeout = orDefault(cfg.IdleTimeout, 4*time.Second)
	cfg.MaxAge = orDefault(cfg.MaxAge, time.Minute)
	return cfg
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func (cfg Config) validate() error {
	if cfg.KeepBytes < 0 || cfg.KeepBytes > maxKeepBytes {
		return fmt.Errorf("KeepBytes is %d: must be 0 to %d", cfg.KeepBytes, maxKeepBytes)
	}

	for _, field := range []struct {
		name  string
		value int64
	}{
		{"MaxIdleConns", int64(cfg.MaxIdleConns)},
		{"MaxIdlePerHost", int64(cfg.MaxIdlePerHost)},
		{"IdleTimeout", int64(cfg.IdleTimeout)},
		{"MaxAge", int64(cfg.MaxAge)},
	} {
		if field.value < 0 {
			return fmt.Errorf("%s is negative", field.name)
		}
	}

	if slices.Contains(cfg.Ports, 0) {
		return errors.New("field Ports holds 0")
	}
	for _, p := range cfg.Allow {
		if err := checkPrefix(p); err != nil {
			return fmt.Errorf("checking Allow: %w", err)
		}
	}
	return nil
}

// Client posts to endpoints. It is safe for concurrent use and shares one pool of connections.
type Client struct {
	guard     guard
	keepBytes int
	pool      *wire.Pool
	outage    *outage
}

// New returns a client. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	cfg = cfg.withDefaults()
	c := &Client{guard: newGuard(cfg), keepBytes: cfg.KeepBytes, outage: newOutage()}
	d := newDialer(cfg, c.guard, c.outage)
	c.pool = wire.NewPool(wire.Config{
		Dial: d.dial, Allowed: c.guard.allows, MaxIdle: cfg.MaxIdleConns, MaxIdleOwn: cfg.MaxIdlePerHost,
		IdleTimeout: cfg.IdleTimeout, MaxAge: cfg.MaxAge, MaxHeader: maxHeaderBytes,
		StreamWindow: http2StreamBytes, ConnWindow: http2ConnBytes, MaxSilence: maxSilence,
	})
	return c, nil
}

// Close closes the idle connections. Requests that are running are not touched.
func (c *Client) Close() { c.pool.CloseIdle() }

// Request is one POST.
type Request struct {
	// URL must pass [Client.CheckURL].
	URL string
	// Header must pass [CheckHeader]. It is sent as it is, and a User-Agent should be in it. It must not change
	// before Post returns.
	Header http.Header
	// Body is sent byte for byte, with its length as Content-Length. It must not be empty. It is not copied and must not
	// change before Post returns.
	Body []byte
	// Tenant is whose request it is: HTTP/1.1 connections are not shared between tenants.
	Tenant string
	// Timeout is the one deadline for all of DNS, connecting, TLS, sending, waiting and reading the body. 0: 15 s.
	Timeout time.Duration
	// Conceal returns what may be kept of a part of the answer: of the body, whose name is "", before it is cut at
	// KeepBytes, and of the value of each header in [Result.Header], before that is cut. whole says that the part ends
	// with text; if not, more was to come. It must not change text, which it may return, nor keep it. Nil: everything
	// may be kept.
	Conceal func(name string, text []byte, whole bool) []byte
}

// Post sends one request and waits for the answer. It returns no error: whatever a receiver does is an outcome.
//
// The status decides once the headers have come: 2xx is [Succeeded], everything else is [Rejected], also 1xx and 3xx;
// a redirect is never followed. A 2xx counts only if its body then comes to its end, or goes past what is kept and
// drained (KeepBytes and 64 KiB): one that is cut is [Unreachable], one that is not ready at the deadline [TimedOut],
// both with the status code. The body of another status may break: it was a no already.
//
// A request leaves at most once, unless it is certain that the first was not processed: no byte of it was written
// since the connection turned out to be dead, or the server says so by GOAWAY or REFUSED_STREAM (RFC 9113, sections
// 6.8 and 8.7). Then it is sent again at once, on another connection and within the same deadline. PROTOCOL_ERROR
// says nothing of the kind.
//
// Only an answer to this very request counts: a connection on which something is readable before the request is written
// is not used.
//
// If ctx ends first, the outcome is [Unknown], and also if this machine or its network is in trouble; [Result.Sent]
// tells whether the request may have left.
func (c *Client) Post(ctx context.Context, r Request) Result {
	started := time.Now()
	res := c.post(ctx, &r)
	res.StartedAt, res.Duration = started, time.Since(started)
	return *res
}

// post and what it calls pass pointers: by value a request and its result grow the stack of each delivery once more,
// which costs a tenth of all that a worker does for it.
func (c *Client) post(ctx context.Context, r *Request) *Result {
	target, err := c.check(r)
	if err != nil {
		return &Result{Outcome: Blocked, Error: printable("blocked: "+err.Error(), maxErrorBytes)}
	}

	ctx, cancel := context.WithTimeoutCause(ctx, orDefault(r.Timeout, defaultTimeout), errTimeout)
	defer cancel()
	key := wire.Key{TLS: target.Scheme == "https", Address: address(target)}

	t := trace{known: traced{host: target.Hostname()}}
	for try := 1; ; try++ {
		res, again := c.try(ctx, &t, key, newRequest(ctx, &t, target, r), r)
		if !again || try == maxTries {
			return res
		}
	}
}

// try sends the request on one connection. again: it surely was not processed.
func (c *Client) try(ctx context.Context, t *trace, key wire.Key, req *http.Request, r *Request) (*Result, bool) {
	link, dialing, err := c.pool.Get(ctx, key, r.Tenant)
	t.waited(dialing)
	if err != nil {
		return c.failed(ctx, t, err), false
	}

	t.ready(link)
	resp, err := link.RoundTrip(req)
	if err != nil {
		if wantsHTTP1(err) {
			c.pool.WantsHTTP1(key)
		}
		res, again := c.failed(ctx, t, err), ctx.Err() == nil && (link.Untouched() || unprocessed(err))
		link.Fail(again) //nolint:contextcheck // others may wait for a connection
		return res, again
	}

	c.outage.reach()
	res := c.answer(ctx, t, resp, r.Conceal)
	_ = resp.Body.Close()
	link.Done(resp.Header) //nolint:contextcheck // others may wait for a connection
	return res, false
}

// address returns the host and port that a URL leads to.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *Client) check(r *Request) (*url.URL, error) {
	if len(r.Body) == 0 {
		return nil, errors.New("the body is empty")
	}
	if err := checkHeaders(r.Header); err != nil {
		return nil, err
	}
	return c.guard.parse(r.URL)
}

func newRequest(ctx context.Context, t *trace, target *url.URL, r *Request) *http.Request {
	header := r.Header
	if header == nil {
		header = http.Header{}
	}

	req := &http.Request{
		Method:        http.MethodPost,
		URL:           target,
		Host:          target.Host,
		Header:        header,
		Body:          newBody(r.Body),
		ContentLength: int64(len(r.Body)),
	}

	return req.WithContext(httptrace.WithClientTrace(ctx, t.hooks()))
}

// newBody reads the payload in place.
func newBody(payload []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(payload)) }
