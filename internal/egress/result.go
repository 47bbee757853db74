package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"
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

const (
	// maxErrorBytes bounds [Result.Error].
	maxErrorBytes = 200

	// beyondBytes is read behind what is kept of a body, and belongs to what is drained. A credential of that length
	// which the end of what is kept would cut is seen whole, and so is a character.
	beyondBytes = 1 << 10
)

// concealer is [Request.Conceal].
type concealer = func(name string, text []byte, whole bool) []byte

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
	// Header holds the answer's Cf-Ray, Content-Length, Content-Type, Date, Outhook-Loop, Retry-After, Server and
	// X-Request-Id, the first value of each as Request.Conceal left it: at most 256 bytes of valid UTF-8 without control
	// characters.
	Header http.Header
	// RetryAfter is the Retry-After header as it is in Header, "" if there was none.
	RetryAfter string
	// Body is the beginning of the answer's body as Request.Conceal left it, at most KeepBytes: any bytes, but where it
	// is cut there is no part of a character in UTF-8 that came whole.
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
func (c *Client) answer(ctx context.Context, t *trace, resp *http.Response, conceal concealer) *Result {
	known := t.snapshot()
	res := &Result{
		Outcome: Succeeded, StatusCode: resp.StatusCode, Header: keptHeaders(resp.Header, conceal),
		RemoteAddr: known.remoteAddr, Phases: known.phases, Sent: true,
	}
	res.RetryAfter = res.Header.Get("Retry-After")

	if resp.StatusCode < 100 { // net/http takes any three digits
		res.StatusCode, res.Outcome, res.Error = 0, Unreachable, "protocol: the status code is below 100"
		return res
	}

	err := c.readBody(res, resp, conceal)
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
func (c *Client) readBody(res *Result, resp *http.Response, conceal concealer) error {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil // what follows is not HTTP, and has no end
	}

	limit := int64(c.keepBytes + beyondBytes)
	read, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	whole := err == nil && int64(len(read)) < limit
	if conceal != nil {
		read = conceal("", read, whole)
	}
	res.Body = beginning(read, c.keepBytes, whole)
	res.BodyTruncated = !whole || len(res.Body) < len(read)
	if err != nil {
		return err
	}

	if _, err = io.CopyN(io.Discard, resp.Body, drainBytes-beyondBytes); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// beginning returns the first n bytes of a text, or less if these end within a character. One that is not whole may end
// within a character too.
func beginning(text []byte, n int, whole bool) []byte {
	if len(text) <= n {
		if whole {
			return text
		}
		n = len(text)
	}

	for from := n - 1; from >= 0 && from > n-utf8.UTFMax; from-- {
		if !utf8.RuneStart(text[from]) {
			continue
		}
		// An invalid byte counts as one character.
		if _, size := utf8.DecodeRune(text[from:]); from+size > n || !utf8.FullRune(text[from:]) {
			return text[:from]
		}
		break
	}
	return text[:n]
}

func statusText(code int) string {
	text := fmt.Sprintf("status: %d %s", code, http.StatusText(code))
	if code >= 300 && code <= 399 {
		text += " (redirects are not followed)"
	}
	return printable(text, maxErrorBytes)
}
