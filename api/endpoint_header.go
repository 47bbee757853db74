package api

import (
	"strings"

	"github.com/outhook/outhook/internal/egress"
)

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
