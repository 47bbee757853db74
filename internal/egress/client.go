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
	"crypto/tls"
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

	// maxHandshakeTime ends a TLS handshake that goes on after its request has ended (net/http lets it, for the next
	// request). 30 s is the longest Request.Timeout that an endpoint may have.
	maxHandshakeTime = 30 * time.Second

	// HTTP/2 lets a server send this much before we read: net/http's default of 4 MiB a stream would be 2 GiB for 500
	// hostile answers. A stream's window holds all that Post reads of a body (80 KiB).
	http2StreamBytes = 128 << 10
	http2ConnBytes   = 1 << 20

	// A silent HTTP/2 connection is tested after the first and given up after the second, so that one lost connection
	// fails the requests on it in 15 s and not each request behind it too.
	http2PingAfter   = 10 * time.Second
	http2PingTimeout = 5 * time.Second
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

	// Resolver looks host names up. Nil: [net.DefaultResolver].
	Resolver *net.Resolver

	// MaxIdleConns bounds the connections that are kept open for the next request, over all hosts. Each costs about
	// 20 KiB and a file descriptor.
	//
	// Defaults to 512.
	MaxIdleConns int

	// MaxIdlePerHost is the same for one host and port.
	//
	// Defaults to 16.
	MaxIdlePerHost int

	// MaxConnsPerHost bounds the connections to one host and port, busy and idle; a request above waits, and the wait
	// counts against its timeout. 0: no bound but the caller's own concurrency, for one slow endpoint must not hold up
	// others that share its host.
	MaxConnsPerHost int

	// IdleTimeout closes a connection that was idle for so long. It should be shorter than the receivers' own, or
	// requests meet connections that are just being closed and fail: Node.js and Apache close after 5 s.
	//
	// Defaults to 4 s.
	IdleTimeout time.Duration
}

func (cfg Config) withDefaults() Config {
	cfg.KeepBytes = orDefault(cfg.KeepBytes, defaultKeepBytes)
	cfg.MaxIdleConns = orDefault(cfg.MaxIdleConns, 512)
	cfg.MaxIdlePerHost = orDefault(cfg.MaxIdlePerHost, 16)
	cfg.IdleTimeout = orDefault(cfg.IdleTimeout, 4*time.Second)
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
		{"MaxConnsPerHost", int64(cfg.MaxConnsPerHost)},
		{"IdleTimeout", int64(cfg.IdleTimeout)},
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
	transport *http.Transport
}

// New returns a client. Returns an error that names the field if cfg is not valid.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	cfg = cfg.withDefaults()
	g := newGuard(cfg)
	return &Client{guard: g, keepBytes: cfg.KeepBytes, transport: newTransport(cfg, g)}, nil
}

func newTransport(cfg Config, g guard) *http.Transport {
	dialer := &net.Dialer{ControlContext: g.control, Resolver: cfg.Resolver}

	return &http.Transport{
		Proxy:                  nil, // a proxy would connect where the guard can't see
		DialContext:            dialContext(dialer, g),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
		TLSHandshakeTimeout:    maxHandshakeTime,
		DisableCompression:     true, // a body is kept as it came, so that 1 KiB can't become 1 GiB
		MaxIdleConns:           cfg.MaxIdleConns,
		MaxIdleConnsPerHost:    cfg.MaxIdlePerHost,
		MaxConnsPerHost:        cfg.MaxConnsPerHost,
		IdleConnTimeout:        cfg.IdleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     http2StreamBytes,
			MaxReceiveBufferPerConnection: http2ConnBytes,
			SendPingTimeout:               http2PingAfter,
			PingTimeout:                   http2PingTimeout,
		},
	}
}

// Close closes the idle connections. Requests that are running are not touched.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Request is one POST.
type Request struct {
	// URL must pass [Client.CheckURL].
	URL string
	// Header must pass [CheckHeader]. It is sent as it is, and a User-Agent should be in it. It must not change
	// before Post returns.
	Header http.Header
	// Body is sent byte for byte, with its length as Content-Length. It must not be empty (net/http repeats a request
	// without a body by itself). It is not copied and must not change before Post returns.
	Body []byte
	// Timeout is the one deadline for all of DNS, connecting, TLS, sending, waiting and reading the body. 0: 15 s.
	Timeout time.Duration
}

// Post sends one request and waits for the answer. It returns no error: whatever a receiver does is an outcome.
//
// The status decides once the headers have come: 2xx is [Succeeded], everything else is [Rejected], also 1xx and 3xx;
// a redirect is never followed. A 2xx counts only if its body then comes to its end, or goes past what is kept and
// drained (KeepBytes and 64 KiB): one that is cut is [Unreachable], one that is not ready at the deadline [TimedOut],
// both with the status code. The body of another status may break: it was a no already.
//
// A request leaves at most once. net/http by itself repeats a request on a new connection if an idle one turns out to
// be dead; Post leaves it that only if no byte was written. It does not leave it the repetition of requests with an
// Idempotency-Key header, and over HTTP/2 none after the request's header was written: not for GOAWAY and
// REFUSED_STREAM, by which a server says that it did not process the request, and not for PROTOCOL_ERROR, where it may
// have. Such an attempt is [Unreachable].
//
// If ctx ends first, the outcome is [Unknown]; [Result.Sent] tells whether the request may have left.
func (c *Client) Post(ctx context.Context, r Request) Result {
	started := time.Now()
	res := c.post(ctx, r)
	res.StartedAt, res.Duration = started, time.Since(started)
	return res
}

func (c *Client) post(ctx context.Context, r Request) Result {
	target, err := c.check(r)
	if err != nil {
		return Result{Outcome: Blocked, Error: printable("blocked: "+err.Error(), maxErrorBytes)}
	}

	ctx, cancel := context.WithTimeoutCause(ctx, orDefault(r.Timeout, defaultTimeout), errTimeout)
	defer cancel()
	ctx = withRequest(ctx)
	var t trace

	// RoundTrip and not http.Client: it has no redirects, cookies and authentication to be switched off.
	resp, err := c.transport.RoundTrip(newRequest(ctx, &t, target, r))
	if err != nil {
		return t.failed(ctx, err)
	}
	defer resp.Body.Close()
	return c.answer(ctx, &t, resp)
}

func (c *Client) check(r Request) (*url.URL, error) {
	if len(r.Body) == 0 {
		return nil, errors.New("the body is empty")
	}
	if err := checkHeaders(r.Header); err != nil {
		return nil, err
	}
	return c.guard.parse(r.URL)
}

func newRequest(ctx context.Context, t *trace, target *url.URL, r Request) *http.Request {
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           target,
		Host:          target.Host,
		Header:        withoutReplay(r.Header),
		Body:          newBody(r.Body),
		ContentLength: int64(len(r.Body)),
		GetBody: func() (io.ReadCloser, error) {
			if err := t.mayResend(); err != nil {
				return nil, err
			}
			return newBody(r.Body), nil
		},
	}

	return req.WithContext(httptrace.WithClientTrace(ctx, t.hooks()))
}

// newBody reads the payload in place.
func newBody(payload []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(payload)) }
