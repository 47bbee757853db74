package pages

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

// Place returns a URL without its query, which may hold a credential.
func Place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
}

// NewAttempt returns what a page shows of an attempt; href is the path of its delivery's page.
func NewAttempt(a client.Attempt, href string) web.Attempt {
	t := web.Attempt{
		Number: a.Number, EndpointID: a.EndpointID, Href: href,
		Outcome: web.OutcomeMark(a.Outcome), At: a.StartedAt, Manual: a.Trigger == "manual",
		RequestHeaders: Headers(a.RequestHeaders), ResponseHeaders: Headers(a.ResponseHeaders),
		Truncated: a.ResponseTruncated,
	}

	if a.StatusCode != nil {
		t.Status = strings.TrimSpace(strconv.Itoa(*a.StatusCode) + " " + http.StatusText(*a.StatusCode))
	}
	if a.DurationMS != nil {
		t.Duration = web.Milliseconds(float64(*a.DurationMS))
	}
	if a.Error != nil {
		t.Error, t.Advice = ErrorText(*a.Error), Advice(*a.Error)
	}
	if a.RemoteAddr != nil {
		t.Address = *a.RemoteAddr
	}
	if a.ResponseBody != nil {
		t.Body = *a.ResponseBody
	}
	return t
}

// NewTested is [NewAttempt] of a test's.
func NewTested(t *client.Tested, href string) web.Attempt {
	return NewAttempt(client.Attempt{
		DurationMS: t.DurationMS, EndpointID: t.EndpointID, Error: t.Error, Number: t.Number, Outcome: t.Outcome,
		RemoteAddr: t.RemoteAddr, RequestHeaders: t.RequestHeaders, ResponseBody: t.ResponseBody,
		ResponseHeaders: t.ResponseHeaders, ResponseTruncated: t.ResponseTruncated, StartedAt: t.StartedAt,
		StatusCode: t.StatusCode, Trigger: t.Trigger,
	}, href)
}

// Headers returns an object of texts in the order of its names.
func Headers(m map[string]string) (list []web.Header) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, web.Header{Name: name, Value: m[name]})
	}
	return list
}

// ErrorText writes an error, whose class is one word, as a sentence.
func ErrorText(text string) string {
	class, rest, found := strings.Cut(text, ":")
	class = strings.ReplaceAll(class, "_", " ")
	if !found {
		return Sentence(class)
	}
	return Sentence(class + ":" + rest)
}

// Advice returns what usually cures an error, by its class, or "".
func Advice(text string) string {
	class, _, _ := strings.Cut(text, ":")

	switch class {
	case "dns":
		return "The name does not resolve. Look for a typing error in the host, and whether its record is published."
	case "connection_refused":
		return "Nobody listens there, or a firewall refuses. Look whether the receiver runs, and on this port."
	case "connection_closed", "connection_reset":
		return "The receiver ended the connection before it answered. Look into its log, and that of the proxy before it."
	case "no_route", "network":
		return "There is no way to this address from here. Look at firewalls, and whether its network is reachable."
	case "tls":
		return "The certificate does not suit the host. Look at its date, its names, and whether it sends its intermediate."
	case "timeout":
		return "The receiver takes longer than the endpoint's timeout. Let it answer first and work afterwards."
	case "blocked":
		return "The address is not public, or the port is none of those that are allowed."
	case "http2", "protocol":
		return "What came back is no HTTP. Look whether the port and the scheme are right."
	case "stopped":
		return "The worker was stopped in the meantime. The request may have arrived, and is repeated."
	}
	return ""
}
