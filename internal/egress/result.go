package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Outcome says how a request ended. It is stored.
type Outcome string

// The outcomes.
const (
	// Succeeded is a 2xx answer.
	Succeeded Outcome = "succeeded"
	// Rejected is an answer with any other status.
	Rejected Outcome = "rejected"
	// TimedOut is no whole answer before the deadline.
	TimedOut Outcome = "timed_out"
	// Unreachable is any trouble on the way: DNS, connecting, TLS, a broken connection, an answer that is not HTTP.
	Unreachable Outcome = "unreachable"
	// Blocked is a request that the client refused to send: to an address that is not publicly routable, with an
	// invalid URL or header, or without a body.
	Blocked Outcome = "blocked"
	// Unknown is a request that the end of the caller's context cut, or for which this machine had no file
	// descriptor or memory left. [Result.Sent] tells whether it may have left.
	Unknown Outcome = "unknown"
)

// maxErrorBytes bounds [Result.Error].
const maxErrorBytes = 200

// Result is what came of a request.
type Result struct {
	Outcome Outcome
	// StatusCode is the answer's status, 100 to 999, or 0 if no headers came. It is kept if the body then fails.
	StatusCode int
	// Error is a class and a short text, like "connection_refused: by 192.0.2.1:443" or "dns: no such host"; "" if
	// the request succeeded. At most 200 bytes of valid UTF-8 without control characters; it never holds the URL, its
	// path or its query, and no byte of the answer. The classes are blocked, connection_closed, connection_refused,
	// connection_reset, dns, http2, local, network, no_route, protocol, status, stopped, timeout and tls.
	Error string
	// Header holds the answer's Cf-Ray, Content-Length, Content-Type, Date, Retry-After, Server and X-Request-Id, the
	// first value of each: at most 256 bytes of valid UTF-8 without control characters.
	Header http.Header
	// RetryAfter is the Retry-After header as it is in Header, "" if there was none.
	RetryAfter string
	// Body is the beginning of the answer's body, at most KeepBytes: any bytes, as they came.
	Body []byte
	// BodyTruncated says that the body was longer or broke off.
	BodyTruncated bool
	// RemoteAddr is the address and port that was connected to, "" if none was.
	RemoteAddr string
	// StartedAt is the time on this machine's clock when Post was called.
	StartedAt time.Time
	// Duration is the time from then to the end of the answer's body.
	Duration time.Duration
	// Phases are how long the parts of it took.
	Phases Phases
	// Sent is false only if it is certain that no byte of the request left: the failure came before a connection was
	// ready.
	Sent bool
}

// Phases are how long parts of a request took. Those of making a connection are 0 if there was one.
type Phases struct {
	// LookUp is the time until the name's addresses were found, Connect that until one answered, Handshake that of TLS.
	LookUp, Connect, Handshake time.Duration
	// FirstByte is the time from the end of the request to the first byte of the answer.
	FirstByte time.Duration
}

// answer reads the body and decides.
func (c *Client) answer(ctx context.Context, t *trace, resp *http.Response) Result {
	known := t.snapshot()
	res := Result{
		Outcome: Succeeded, StatusCode: resp.StatusCode, Header: keptHeaders(resp.Header),
		RemoteAddr: known.remoteAddr, Phases: known.phases, Sent: true,
	}
	res.RetryAfter = res.Header.Get("Retry-After")

	if resp.StatusCode < 100 { // net/http takes any three digits
		res.StatusCode, res.Outcome, res.Error = 0, Unreachable, "protocol: the status code is below 100"
		return res
	}

	err := c.readBody(&res, resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		res.Outcome, res.Error = Rejected, statusText(resp.StatusCode)
		return res
	}
	if err != nil {
		t.reach(phaseBody)
		res.Outcome, res.Error = t.snapshot().classify(ctx, err)
	}
	return res
}

// readBody keeps the beginning, drains a little more so that the connection can be used again, and stops there.
func (c *Client) readBody(res *Result, resp *http.Response) error {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil // what follows is not HTTP, and has no end
	}

	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.keepBytes)+1))
	res.Body, res.BodyTruncated = body, err != nil
	if len(body) > c.keepBytes {
		res.Body, res.BodyTruncated = body[:c.keepBytes], true
	}
	if err != nil {
		return err
	}

	if _, err = io.CopyN(io.Discard, resp.Body, drainBytes); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func statusText(code int) string {
	text := fmt.Sprintf("status: %d %s", code, http.StatusText(code))
	if code >= 300 && code <= 399 {
		text += " (redirects are not followed)"
	}
	return printable(text, maxErrorBytes)
}
