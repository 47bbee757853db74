package egress

import (
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/egress/wire"
)

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
	phases     Phases
	host       string
	remoteAddr string
	sent       bool // a connection was ready: from here on bytes may have left
	http2      bool
	answered   bool      // a byte of an HTTP/1 response came
	written    time.Time // when the request was
}

// trace follows one request. net/http's hooks run on its goroutines, also after the request has ended.
type trace struct {
	mu    sync.Mutex
	known traced
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
	return &httptrace.ClientTrace{WroteRequest: t.requestWritten, GotFirstResponseByte: t.firstByte}
}

// reach only goes up.
func (t *trace) reach(p phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.phase = max(t.known.phase, p)
}

// waited takes in how far the connection has come that the request waited for; nil: there was one.
func (t *trace) waited(d *wire.Dialing) {
	p, times, remote := d.Progress()

	t.mu.Lock()
	defer t.mu.Unlock()
	switch p {
	case wire.LookingUp:
		t.known.phase = max(t.known.phase, phaseDNS)
	case wire.Connecting:
		t.known.phase = max(t.known.phase, phaseConnect)
	case wire.Handshaking:
		t.known.phase = max(t.known.phase, phaseTLS)
	case wire.Queued, wire.Ready:
	}
	t.known.phases.LookUp += times.LookUp
	t.known.phases.Connect += times.Connect
	t.known.phases.Handshake += times.Handshake
	if remote != "" {
		t.known.remoteAddr = remote
	}
}

// ready is called when the request has a connection.
func (t *trace) ready(l *wire.Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.sent, t.known.http2, t.known.answered = true, l.HTTP2(), false
	t.known.phase, t.known.written = phaseSend, time.Now()
	t.known.remoteAddr = l.RemoteAddr()
}

func (t *trace) requestWritten(info httptrace.WroteRequestInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if info.Err == nil {
		t.known.phase = max(t.known.phase, phaseHeaders)
		t.known.written = time.Now()
	}
}

func (t *trace) firstByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.answered = true
	t.known.phases.FirstByte = time.Since(t.known.written)
}
