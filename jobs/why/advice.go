package why

import (
	"fmt"
	"strings"

	"github.com/outhook/outhook/db"
)

// Cause is what some attempts of a delivery have failed by.
type Cause struct {
	Outcome    string
	StatusCode int32  // 0: no answer came
	Error      string // a class and a text
	Count      int32
	Advice     string // what usually cures it; "": nothing is known
}

// mostCauses is how many causes of a delivery are told: beyond a few they are noise.
const mostCauses = 5

// causes returns what the attempts of a delivery have failed by, the last first.
func causes(failures []db.ListFailuresRow) []Cause {
	list := make([]Cause, min(len(failures), mostCauses))
	for i := range list {
		f := failures[i]
		list[i] = Cause{Outcome: f.Outcome, StatusCode: f.StatusCode, Error: f.Error, Count: f.Count}
		list[i].Advice = advice(list[i])
	}
	return list
}

// String says it in words.
func (c Cause) String() string {
	what := map[string]string{
		"rejected": "rejected", "timed_out": "timed out", "unreachable": "not reached", "blocked": "blocked",
		"unknown": "without a known outcome",
	}[c.Outcome]
	if c.StatusCode != 0 {
		what += fmt.Sprintf(" with status %d", c.StatusCode)
	}
	if c.Error != "" {
		what += inBrackets(errorWords(c.Error))
	}
	return fmt.Sprintf("%d × %s", c.Count, what)
}

// advice says what usually cures a failure.
func advice(c Cause) string {
	if c.StatusCode != 0 {
		return ofStatus(c.StatusCode)
	}

	class, text, _ := strings.Cut(c.Error, ": ")
	if class == "tls" {
		return ofTLS(text)
	}
	if class == "timeout" {
		return ofTimeout(text)
	}
	return map[string]string{
		"dns": "the host of the endpoint's URL has no address: look for a misspelling, and at its DNS records",
		"connection_refused": "nothing listens at that port, or a firewall says no: is the receiver running, and is the " +
			"port of the URL right?",
		"connection_reset": "the receiver, or what stands before it, broke the connection: its log, or " +
			"its proxy's, tells more",
		"connection_closed": "the receiver, or what stands before it, ended the connection without a whole answer: a " +
			"crash, or a proxy's limit of time or size",
		"no_route": "there is no way to the receiver's address from the worker's machine: routes, IPv6, a firewall",
		"network":  "the network between the worker and the receiver failed",

		"protocol": "what answers speaks no HTTP, or bad HTTP: is the port of the URL that of a web server?",
		"http2":    "the receiver ended the HTTP/2 stream: its log, or its proxy's, tells more",
		"blocked": "the URL leads to an address that is not public: use a public one, or allow the address with " +
			"OUTHOOK_EGRESS_ALLOW",
		"local":        "the worker's machine was in want of something: its log and `outhook doctor` tell more",
		"stopped":      "the worker was stopped while it sent; it is tried again",
		"worker_died":  "the worker died while it sent: was it killed for its memory? The request may have arrived",
		"panic":        "a fault of Outhook's own: the worker's log has the stack",
		"unrecordable": "the answer could not be stored: the worker's log tells why",
	}[class]
}

// ofStatus says what usually cures an answer.
func ofStatus(code int32) string {
	if words := map[int32]string{
		400: "the receiver does not like the request: usually it reads the payload in another form, or checks the " +
			"signature over changed bytes",
		401: "the receiver wants other credentials, or could not verify the signature: compare the endpoint's secret and " +
			"its headers",
		403: "the receiver forbids it: a firewall for web applications, a list of addresses, CSRF protection, or the " +
			"signature does not verify",
		404: "there is nothing at the URL's path: was the route renamed, or is it not deployed yet?",

		405: "the URL's path takes no POST: usually a missing or an extra slash at its end",
		406: "the receiver can't answer in the form that is asked for: it need not look at Accept",
		408: "the receiver, or what stands before it, waited for the request for too long: usually an overload",
		409: "the receiver found a conflict: if it has seen the webhook-id before, it should answer 2xx",

		410: "the receiver wants nothing any more: the endpoint was disabled; enable it if that was a mistake",
		413: "the payload is larger than the receiver, or its proxy, takes: raise its limit",
		415: "the receiver takes no application/json: is it the right route?",
		422: "the receiver understood the payload and refused it: its log tells why",
		425: "the receiver is not ready for it: it is tried again",
		429: "the receiver asks for fewer requests: give the endpoint a rate_limit",

		500: "the receiver's code failed: its log tells why",
		501: "the receiver does not implement it: is it the right route?",
		502: "the receiver's proxy got no good answer from what is behind it: usually that is down or restarting",
		503: "the receiver is overloaded or in maintenance",
		504: "the receiver's proxy waited too long for what is behind it: answer at once and do the work later",
		508: "the URL leads back to an API of Outhook",
	}[code]; words != "" {
		return words
	}

	switch {
	case code < 300:
		return ""
	case code < 400:
		return "redirects are not followed: give the endpoint the URL that it redirects to"
	case code < 500:
		return "the receiver refused the request: its log tells why"
	}
	return "the receiver, or what stands before it, failed: its log tells why"
}

// ofTLS says what usually cures a failed handshake.
func ofTLS(text string) string {
	for _, known := range [][2]string{
		{"has expired", "renew the receiver's certificate"},
		{"not yet valid", "the receiver's certificate begins later, or the clock of the worker's machine is wrong"},
		{"not valid for this host", "the receiver's certificate names other hosts: get one for the host of the URL"},
		{"common name", "get the receiver a certificate with a subject alternative name"},

		{"signed by itself", "get a certificate of a public authority, or have the workers trust the receiver's own"},
		{"authority", "the receiver must send its whole chain, with the intermediate certificates"},
		{"does not speak TLS", "the port of the URL speaks no TLS: use http:// or another port"},
		{"TLS 1.1", "have the receiver speak TLS 1.2 or newer"},
		{"client certificate", "the receiver asks for a client certificate, which is not sent: have it do without"},
	} {
		if strings.Contains(text, known[0]) {
			return known[1]
		}
	}
	return "the TLS handshake failed: `openssl s_client -connect HOST:PORT -servername HOST` shows what the receiver does"
}

// ofTimeout says what usually cures a request that took too long.
func ofTimeout(text string) string {
	switch {
	case strings.HasPrefix(text, "looking up"):
		return "the name servers of the host are slow or away"
	case strings.HasPrefix(text, "connecting"):
		return "nothing answers at the address: usually a firewall that drops what it does not know, or a host that is down"
	case strings.HasPrefix(text, "in the TLS"):
		return "the receiver's handshake is slow: usually an overload"
	}
	return "the receiver takes longer than the endpoint's timeout: answer 2xx at once and do the work later, " +
		"or raise timeout_ms"
}
