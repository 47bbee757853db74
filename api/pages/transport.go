package pages

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
)

// Transport hands requests to the API in this process.
type Transport struct{ API http.Handler }

type browserKey struct{}

// WithBrowser returns a context whose requests to the API are made for a browser's: the audit trail has its address
// and its id, which its answer has.
func WithBrowser(ctx context.Context, w http.ResponseWriter, r *http.Request) context.Context {
	header := http.Header{"X-Request-Id": {w.Header().Get("X-Request-Id")}}
	for _, name := range []string{"X-Forwarded-For", "Traceparent"} {
		if values := r.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	return context.WithValue(ctx, browserKey{}, browser{r.RemoteAddr, header})
}

// browser is what requests to the API have of the one that they are made for.
type browser struct {
	address string
	header  http.Header
}

// RoundTrip has the API answer a request. The answer is whole when it returns.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if b, ok := r.Context().Value(browserKey{}).(browser); ok {
		in.RemoteAddr = b.address
		maps.Copy(in.Header, b.header)
	}

	a := &answer{header: http.Header{}}
	t.API.ServeHTTP(a, in)
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}

// answer takes what a handler writes.
type answer struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

// Header returns what is to be sent.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader fixes the status and the headers; the first call counts.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(data)
}
