package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/http2"

	"github.com/outhook/outhook/internal/egress/wire"
)

// failed makes the result of a request that got no answer.
func (c *Client) failed(ctx context.Context, t *trace, err error) *Result {
	known := t.snapshot()
	outcome, text := known.classify(ctx, err)
	if outcome == Unreachable || outcome == Unknown || outcome == TimedOut && known.phase == phaseDNS {
		if ours := c.ours(known, err); ours != "" {
			outcome, text = Unknown, "local: "+ours
		}
	}
	return &Result{
		Outcome: outcome, Error: printable(text, maxErrorBytes), RemoteAddr: known.remoteAddr, Sent: known.sent,
		Phases: known.phases,
	}
}

// ours returns what this machine is in want of, "" if the failure is the receiver's. What has left may have arrived.
func (c *Client) ours(known traced, err error) string {
	if known.sent {
		return ""
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		c.outage.reach() // somebody said no
		return ""
	}
	if errno, local := localTrouble(err); local {
		c.outage.local(errno)
		return errno.Error()
	}

	kind := networkTrouble(err)
	if known.phase == phaseDNS && errors.Is(err, context.DeadlineExceeded) {
		kind = noNameServer // the request's deadline came before the resolver's own
	}
	if kind != "" && c.outage.note(kind, known.host) {
		return kind
	}
	return ""
}

const noNameServer = "no name server answers"

// networkTrouble names what this machine may be in want of, "" if the failure is the host's own. A name server that
// says of a name that it can't find it out has answered.
func networkTrouble(err error) string {
	unroutable := []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		noRoute := slices.ContainsFunc(unroutable, func(errno syscall.Errno) bool {
			return strings.HasSuffix(dns.Err, errno.Error())
		})
		if dns.IsTimeout || noRoute {
			return noNameServer
		}
		return ""
	}

	if slices.ContainsFunc(unroutable, func(e syscall.Errno) bool { return errors.Is(err, e) }) {
		return "no route to any host"
	}
	return ""
}

// classify turns an error of net/http into an outcome and a text. Texts are our own words, since an error of the
// standard library can repeat what the receiver sent, which can be our URL, or name our own addresses.
func (k traced) classify(ctx context.Context, err error) (Outcome, string) {
	switch {
	case errors.Is(err, errMixed):
		return Blocked, "blocked: " + errMixed.Error()
	case errors.Is(err, errOwn):
		return Blocked, "blocked: " + errOwn.Error()
	case isBlocked(err):
		return Blocked, "blocked: " + ErrBlocked.Error()
	case errors.Is(context.Cause(ctx), errTimeout):
		return TimedOut, "timeout: " + k.phase.String()
	case ctx.Err() != nil:
		return Unknown, "stopped: " + k.phase.String()
	}

	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && k.phase != phaseDNS {
		return TimedOut, "timeout: " + k.phase.String()
	}
	return Unreachable, k.cause(err)
}

func isBlocked(err error) bool { return errors.Is(err, ErrBlocked) }

// localTrouble finds errors that are this machine's and say nothing about the receiver. The standard library keeps
// only the text of an error on the way to a name server.
func localTrouble(err error) (syscall.Errno, bool) {
	dns := (*net.DNSError)(nil)
	isDNS := errors.As(err, &dns)

	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
	} {
		if errno == syscall.EADDRNOTAVAIL && toIPv6(err) {
			continue // this machine has no IPv6
		}

		if errors.Is(err, errno) || isDNS && strings.HasSuffix(dns.Err, errno.Error()) {
			return errno, true
		}
	}
	return 0, false
}

func toIPv6(err error) bool {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) || op.Addr == nil {
		return false
	}
	addr, err := netip.ParseAddrPort(op.Addr.String())
	return err == nil && addr.Addr().Is6()
}

// unprocessed tells whether a server says that it has not processed the request. net/http does not export its
// errors for a request that GOAWAY excludes and for a connection that ended before the request began.
func unprocessed(err error) bool {
	if stream := (http2.StreamError{}); errors.As(err, &stream) {
		return stream.Code == http2.ErrCodeRefusedStream
	}
	switch text := err.Error(); {
	case text == "http2: Transport received Server's graceful shutdown GOAWAY",
		text == "http2: client conn not usable",
		text == "http2: client conn could not be established",
		strings.HasPrefix(text, goAwayOnFirst):
		return true
	}
	return false
}

// How net/http's errors for GOAWAY begin.
const (
	goAway        = "http2: server sent GOAWAY and closed the connection; LastStreamID="
	goAwayOnFirst = "http2: Transport received GOAWAY from server ErrCode:"
)

// wantsHTTP1 tells whether a server wants no HTTP/2 for this request, as those do that ask for a certificate of the
// client.
func wantsHTTP1(err error) bool {
	if stream := (http2.StreamError{}); errors.As(err, &stream) {
		return stream.Code == http2.ErrCodeHTTP11Required
	}

	text, code := err.Error(), http2.ErrCodeHTTP11Required.String()
	if away, found := strings.CutPrefix(text, goAway); found {
		_, away, _ = strings.Cut(away, ", ErrCode=")
		return strings.HasPrefix(away, code+",") // behind it stands what the server wrote
	}
	return text == goAwayOnFirst+code
}

func (k traced) cause(err error) string {
	if text := dnsCause(err); text != "" {
		return "dns: " + text
	}
	if text := connCause(err); text != "" {
		return text
	}

	if text := alertCause(err); text != "" {
		return "tls: " + text
	}
	if k.phase == phaseTLS {
		return "tls: " + tlsCause(err)
	}

	return k.httpCause(err)
}

func dnsCause(err error) string {
	addr, dns := (*net.AddrError)(nil), (*net.DNSError)(nil)
	switch {
	case errors.As(err, &addr):
		return "no usable address"
	case !errors.As(err, &dns):
		return ""
	case dns.IsNotFound:
		return "no such host"
	case dns.IsTimeout:
		return "the name server did not answer"
	}
	return "the look-up failed"
}

func connCause(err error) string {
	errno := syscall.Errno(0)
	if !errors.As(err, &errno) {
		return ""
	}

	among := func(list ...syscall.Errno) bool { return slices.Contains(list, errno) }
	switch {
	case among(syscall.ECONNREFUSED):
		return "connection_refused: " + refusedBy(err)
	case among(syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		return "connection_reset: by the receiver"
	case among(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EADDRNOTAVAIL): // also for an IPv6 address where this machine has no IPv6
		return "no_route: " + errno.Error()
	}

	return "network: " + errno.Error()
}

func refusedBy(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Addr != nil {
		return "by " + op.Addr.String()
	}
	return "by the receiver"
}

func (k traced) httpCause(err error) string {
	broken := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case k.http2 && k.phase == phaseBody:
		return "http2: the receiver ended the stream in the body"
	case k.http2 && wantsHTTP1(err):
		return "http2: the receiver asks for HTTP/1.1, which the next attempt speaks"
	case k.http2 && unprocessed(err):
		return "http2: the receiver refused the request, on each of several connections"
	case k.http2:
		return "http2: the receiver ended the stream or its connection before an answer; not sent again"

	case errors.Is(err, wire.ErrStray):
		return "protocol: the receiver speaks before it is asked"
	case errors.Is(err, wire.ErrEnded):
		return "connection_closed: by the receiver, before anything was asked"
	case k.phase == phaseBody && broken:
		return "connection_closed: in the response body"
	case k.phase == phaseBody:
		return "protocol: the response body is malformed"
	case broken || !k.answered:
		return "connection_closed: before the response's headers ended"
	}
	return "protocol: the response is malformed, or its headers are longer than 64 KiB"
}
