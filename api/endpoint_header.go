package api

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
)

// checkMove refuses to send an endpoint's credentials to another host: whoever changes the URL gives them again, or
// gives them up.
func (e *endpointEdit) checkMove(before db.Endpoint) {
	if len(e.faults) > 0 || e.secretHeaders != nil || origin(before.URL) == origin(e.row.URL) {
		return
	}

	_, names, err := signature.HeaderKeys(before.SecretHeaders)
	if err != nil || len(names) > 0 {
		e.faults.Add("body.secret_headers", "are those of another scheme, host or port: "+
			"give them again together with this url, or null for none")
	}
}

// origin returns the scheme, host and port of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}

	port := u.Port()
	switch {
	case port != "":
	case strings.EqualFold(u.Scheme, "http"):
		port = "80"
	default:
		port = "443"
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// checkDoubles refuses a header that would be both secret and not.
func (e *endpointEdit) checkDoubles() {
	if len(e.faults) > 0 {
		return
	}

	var plain map[string]string
	if err := json.Unmarshal(e.row.Headers, &plain); err != nil {
		e.faults.Add("body.headers", "must be an object of strings") // not for what was decoded or stored before
	}

	secret := map[string]bool{}
	for name := range e.secretHeaders {
		secret[strings.ToLower(name)] = true
	}
	if e.secretHeaders == nil && len(e.row.SecretHeaders) > 0 {
		_, names, err := signature.HeaderKeys(e.row.SecretHeaders)
		if err != nil {
			e.faults.Add("body.secret_headers", "can't be read: give them again") // not for what was stored before
		}
		for _, name := range names {
			secret[name] = true
		}
	}

	for name := range plain {
		if secret[strings.ToLower(name)] {
			e.faults.Add(strictjson.MemberLocation("body.headers", name), "is among secret_headers too: a header has one value")
		}
	}
}

// checkSecretHeader returns what is wrong with a request header that is stored encrypted, or "". Authorization is no
// more than that: the receiver's own check of who posts.
func checkSecretHeader(name, value string) string {
	if strings.EqualFold(name, "authorization") {
		name = "x-authorization"
	}
	return checkHeader(name, value)
}

// checkHeader returns what is wrong with a request header, or "".
func checkHeader(name, value string) string {
	visible := func(r rune) bool { return r < ' ' || r > '~' }

	switch {
	case strings.EqualFold(name, "authorization"):
		return "is not allowed: it is a credential, put it into secret_headers, which are stored encrypted"
	case isReservedHeader(strings.ToLower(name)):
		return "is not allowed: it belongs to the connection, to Outhook or to the signature"
	case egress.CheckHeader(name, "") != nil:
		return "must have a header's name: letters, digits, and - _ . between them; and not be one of the connection's"
	case egress.CheckHeader(name, value) != nil, strings.ContainsFunc(value, visible), strings.TrimSpace(value) != value:
		return "must have a value of visible ASCII characters"
	}
	return ""
}

// isReservedHeader names what an endpoint can't set: what RFC 9110, section 7.6.1, calls the connection's, what frames
// the request, and what the receiver must be able to trust.
func isReservedHeader(lower string) bool {
	for _, prefix := range []string{"content-", "webhook-", "outhook-", "proxy-"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}

	switch lower {
	case "host", "authorization", "cookie", "user-agent", "connection", "keep-alive", "te", "trailer", "transfer-encoding",
		"upgrade", "expect":
		return true
	}
	return false
}
