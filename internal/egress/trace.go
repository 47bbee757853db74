package egress

import (
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"sync"
)

// errSentOnce keeps net/http from sending a request again whose header has left.
var errSentOnce = errors.New("not sent again")

// phase is what a request waits for; later phases are greater.
type phase int

const (
	phaseConn phase = iota
	phaseDNS
	phaseConnect
	phaseTLS
	phaseSend
	phaseHeaders
	phaseBody
)

// String returns the phase as it stands in [Result.Error].
func (p phase) String() string {
	return [...]string{
		phaseConn:    "waiting for a connection",
		phaseDNS:     "looking up the host name",
		phaseConnect: "connecting",
		phaseTLS:     "in the TLS handshake",
		phaseSend:    "sending the request",
		phaseHeaders: "waiting for response headers",
		phaseBody:    "reading the response body",
	}[p]
}

// traced is what is known of a request at one moment.
type traced struct {
	phase      phase
	remoteAddr string
	sent       bool // a connection was ready: from here on bytes may have left
	http2      bool
	answered   bool // a byte of an HTTP/1 response came
}

// trace follows one request through net/http. Its hooks run on several goroutines and also after the request has
// ended, since a dial outlives its request.
type trace struct {
	mu           sync.Mutex
	known        traced
	wroteHeaders bool
}

// snapshot returns what is known now.
func (t *trace) snapshot() traced {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// Each hook is set; httptrace.ClientTrace.Got1xxResponse is not, on purpose: without it net/http counts the headers
// of 1xx responses against MaxResponseHeaderBytes, which bounds a flood of them.
func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { t.reach(phaseDNS) },
		ConnectStart:         func(_, _ string) { t.reach(phaseConnect) },
		ConnectDone:          t.connectDone,
		TLSHandshakeStart:    func() { t.reach(phaseTLS) },
		GotConn:              t.connReady,
		WroteHeaders:         t.headersWritten,
		WroteRequest:         t.requestWritten,
		GotFirstResponseByte: t.firstByte,
	}
}

// reach only goes up: a dial that was overtaken by a free connection still reports.
func (t *trace) reach(p phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.phase = max(t.known.phase, p)
}

func (t *trace) connectDone(_, addr string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && !t.known.sent {
		t.known.remoteAddr = addr
	}
}

func (t *trace) connReady(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.sent = true
	t.known.phase = max(t.known.phase, phaseSend)
	t.known.remoteAddr = info.Conn.RemoteAddr().String()
	conn, secure := info.Conn.(*tls.Conn)
	t.known.http2 = secure && conn.ConnectionState().NegotiatedProtocol == "h2"
}

func (t *trace) headersWritten() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wroteHeaders = true
}

func (t *trace) requestWritten(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		t.reach(phaseHeaders)
	}
}

func (t *trace) firstByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.answered = true
}

// mayResend is asked before net/http sends the request again. HTTP/1 asks only if no byte was written; HTTP/2 asks
// also after GOAWAY, REFUSED_STREAM and even PROTOCOL_ERROR, which a server can send after it read the request.
func (t *trace) mayResend() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known.http2 && t.wroteHeaders {
		return errSentOnce
	}
	return nil
}
