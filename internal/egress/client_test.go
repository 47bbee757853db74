package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

func TestNewNamesTheBadField(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]egress.Config{
		"KeepBytes":       {KeepBytes: 16385},
		"KeepBytes is -1": {KeepBytes: -1},
		"MaxIdleConns":    {MaxIdleConns: -1},
		"MaxIdlePerHost":  {MaxIdlePerHost: -1},
		"IdleTimeout":     {IdleTimeout: -1},
		"Allow":           {Allow: []netip.Prefix{{}}},
		"Ports":           {Ports: []uint16{443, 0}},
	} {
		_, err := egress.New(cfg)
		require.ErrorContains(t, err, field)
	}
}

// The bytes on the wire are a format: receivers' firewalls and parsers see them.
func TestRequestBytes(t *testing.T) {
	t.Parallel()
	requests := make(chan string, 1)
	receiver := serveRaw(t, func(conn net.Conn) {
		var seen bytes.Buffer
		if readRequest(bufio.NewReader(io.TeeReader(conn, &seen))) {
			requests <- seen.String()
			write(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
	base := byName(t, receiver.address, "http", "receiver.example")
	res := postRequest(t, client, egress.Request{
		URL: base + secretPath + "&q=%C3%A9", Body: []byte("{\"z\":1,\n \"a\":\"\\u0000é\"}"),
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Outhook"}, "Webhook-Id": {"evt_1"}, "Idempotency-Key": {"key_1"},
		},
	})
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)

	_, port, err := net.SplitHostPort(receiver.address)
	require.NoError(t, err)
	got := strings.Replace(<-requests, ":"+port, ":PORT", 1)
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile("testdata/request.golden", []byte(got), 0o600))
	}
	want, err := os.ReadFile("testdata/request.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestBodyArrivesByteForByte(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("\x00\xff\r\n{}é"), 50_000)
	received := make(chan []byte, 2)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ContentLength == int64(len(body)) {
			received <- body
		} else {
			received <- nil
		}
	}
	a := newAuthority(t)
	client := setup(t, egress.Config{RootCAs: a.pool})
	for _, url := range []string{
		serve(t, handler).URL,
		serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"), handler).URL,
	} {
		res := postRequest(t, client, egress.Request{URL: url, Body: payload})
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
		require.Equal(t, payload, <-received)
	}
}

func TestEmptyBodyDoesNotLeave(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, untilClosed)
	res := postRequest(t, setup(t, egress.Config{}), egress.Request{URL: receiver.url})
	require.Equal(t, egress.Blocked, res.Outcome)
	require.Zero(t, receiver.conns.Load())
}

func TestStatusDecides(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
	})
	client := setup(t, egress.Config{})
	for _, code := range []int{200, 201, 202, 204, 299, 300, 301, 304, 308, 400, 401, 404, 410, 429, 500, 502, 503, 504, 599, 999} {
		res := postRequest(t, client, egress.Request{URL: receiver.URL + "?code=" + strconv.Itoa(code), Body: []byte("{}")})
		require.Equal(t, code, res.StatusCode)
		require.Equal(t, "120", res.RetryAfter)
		require.True(t, res.Sent)
		require.Equal(t, receiver.Listener.Addr().String(), res.RemoteAddr)
		if code < 300 {
			require.Equal(t, egress.Succeeded, res.Outcome)
			continue
		}
		require.Equal(t, egress.Rejected, res.Outcome)
		require.Contains(t, res.Error, "status: "+strconv.Itoa(code))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	target := serve(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for name, location := range map[string]string{
		"Elsewhere": target.URL, "Loop": "", "Invalid": "http://[::1", "Relative": "//", "Metadata": "http://169.254.169.254/",
	} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			t.Run(name+strconv.Itoa(code), func(t *testing.T) {
				t.Parallel()
				var asked atomic.Int64
				receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					w.Header().Set("Location", location+r.URL.RequestURI())
					w.WriteHeader(code)
				})
				res := post(t, setup(t, egress.Config{}), receiver.URL)
				require.Equal(t, egress.Rejected, res.Outcome)
				require.Equal(t, code, res.StatusCode)
				require.Contains(t, res.Error, "redirects are not followed")
				require.EqualValues(t, 1, asked.Load())
			})
		}
	}
	t.Cleanup(func() { require.Zero(t, followed.Load()) })
}

func TestCookiesAreNotKept(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Set-Cookie", "session=1; Path=/")
	})
	client := setup(t, egress.Config{})
	for range 2 {
		res := post(t, client, receiver.URL)
		require.Equal(t, egress.Succeeded, res.Outcome)
		require.NotContains(t, res.Header, "Set-Cookie")
	}
}

// TestMain points every proxy variable to a port that refuses. net/http would use a proxy for a name, not for
// loopback addresses.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	handler := func(http.ResponseWriter, *http.Request) {}
	client := setup(t, egress.Config{RootCAs: a.pool, Resolver: serveDNS(t, always("127.0.0.1"))})
	plain := serve(t, handler).Listener.Addr().String()
	secure := serveTLS(t, a.config(t, "receiver.example", time.Now().Add(time.Hour)), handler).Listener.Addr().String()
	for _, url := range []string{
		byName(t, plain, "http", "receiver.example"), byName(t, secure, "https", "receiver.example"),
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		require.NoError(t, err)
		proxy, err := http.ProxyFromEnvironment(request)
		require.NoError(t, err)
		require.NotNil(t, proxy, "the environment names a proxy for this URL")
		res := post(t, client, url)
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	}
}

func TestHTTP2IsUsedWhereOffered(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, c := range []struct {
		protocols []string
		want      string
	}{{[]string{"h2", "http/1.1"}, "HTTP/2.0"}, {[]string{"http/1.1"}, "HTTP/1.1"}} {
		protocols := make(chan string, 1)
		receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), c.protocols...),
			func(_ http.ResponseWriter, r *http.Request) { protocols <- r.Proto })
		res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.URL)
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
		require.Equal(t, receiver.Listener.Addr().String(), res.RemoteAddr)
		require.Equal(t, c.want, <-protocols)
	}
}

func TestConnectionIsUsedAgainAfterADrainableBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bodyBytes int
		conns     int64
	}{
		"Empty": {0, 1}, "Kept": {1024, 1}, "Drained": {60 << 10, 1}, "TooLong": {1 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, func(conn net.Conn) {
				for r := bufio.NewReader(conn); readRequest(r); {
					write(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(c.bodyBytes)+"\r\n\r\n")
					write(conn, strings.Repeat("x", c.bodyBytes))
				}
			})
			client := setup(t, egress.Config{IdleTimeout: time.Minute})
			for range 3 {
				require.Equal(t, egress.Succeeded, post(t, client, receiver.url).Outcome)
			}
			require.Equal(t, c.conns, receiver.conns.Load())
		})
	}
}

// A receiver that closes a connection after it read a request leaves open whether it acted on it, also if the request
// has an Idempotency-Key.
func TestRequestIsNotSentTwiceOnADyingConnection(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "Idempotency-Key", "X-Idempotency-Key"} {
		t.Run("Key"+key, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			receiver := serveRaw(t, func(conn net.Conn) {
				for r := bufio.NewReader(conn); readRequest(r); {
					if requests.Add(1) == 2 {
						return
					}
					write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			client := setup(t, egress.Config{IdleTimeout: time.Minute})
			header := http.Header{}
			if key != "" {
				header.Set(key, "1")
			}
			r := egress.Request{URL: receiver.url, Header: header, Body: []byte("{}")}
			require.Equal(t, egress.Succeeded, postRequest(t, client, r).Outcome)

			res := postRequest(t, client, r)
			require.Equal(t, egress.Unreachable, res.Outcome)
			require.Contains(t, res.Error, "connection_closed: ")
			require.True(t, res.Sent)
			require.EqualValues(t, 2, requests.Load())
			require.EqualValues(t, 1, receiver.conns.Load(), "no second connection for the second request")
		})
	}
}

// A receiver that closes after each answer without saying so: most requests find the connection gone and get a new
// one, some are on their way already and fail, none is repeated.
func TestDeadIdleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	var requests atomic.Int64
	receiver := serveRaw(t, func(conn net.Conn) {
		if !readRequest(bufio.NewReader(conn)) {
			return
		}
		requests.Add(1)
		write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
		closed <- struct{}{}
	})
	client := setup(t, egress.Config{IdleTimeout: time.Minute})
	succeeded := int64(0)
	for range 50 {
		res := post(t, client, receiver.url)
		if res.Outcome == egress.Succeeded {
			succeeded++
			<-closed
		} else {
			require.Equal(t, egress.Unreachable, res.Outcome)
			require.True(t, res.Sent)
		}
	}
	require.Equal(t, succeeded, requests.Load())
	require.GreaterOrEqual(t, succeeded, int64(25))
}

func TestStopOfTheCallerIsUnknown(t *testing.T) {
	t.Parallel()
	t.Run("AfterTheRequestLeft", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		receiver := serveRaw(t, func(conn net.Conn) {
			if readRequest(bufio.NewReader(conn)) {
				stop()
				untilClosed(conn)
			}
		})
		res := setup(t, egress.Config{}).Post(ctx, egress.Request{URL: receiver.url, Body: []byte("{}")})
		requireSound(t, res)
		require.Equal(t, egress.Unknown, res.Outcome)
		require.Equal(t, "stopped: waiting for response headers", res.Error)
		require.True(t, res.Sent)
		require.Equal(t, receiver.address, res.RemoteAddr)
	})
	t.Run("InTheBodyOfASuccess", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
			write(w, "partial")
			flush(w)
			stop()
			<-r.Context().Done()
		})
		res := setup(t, egress.Config{}).Post(ctx, egress.Request{URL: receiver.URL, Body: []byte("{}")})
		requireSound(t, res)
		require.Equal(t, egress.Unknown, res.Outcome, res.Error)
		require.True(t, res.Sent)
	})
	t.Run("BeforeAConnection", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		res := setup(t, egress.Config{Resolver: resolver}).Post(ctx, egress.Request{
			URL: "http://stopped.example/", Body: []byte("{}"),
		})
		requireSound(t, res)
		require.Equal(t, egress.Unknown, res.Outcome, res.Error)
		require.False(t, res.Sent)
	})
	t.Run("BeforeAnything", func(t *testing.T) {
		t.Parallel()
		receiver := serveRaw(t, untilClosed)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		res := setup(t, egress.Config{}).Post(ctx, egress.Request{URL: receiver.url, Body: []byte("{}")})
		requireSound(t, res)
		require.Equal(t, egress.Unknown, res.Outcome)
		require.False(t, res.Sent)
		require.Zero(t, receiver.conns.Load())
	})
	t.Run("ByItsOwnDeadline", func(t *testing.T) {
		t.Parallel()
		receiver := serveRaw(t, untilClosed)
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		res := setup(t, egress.Config{}).Post(ctx, egress.Request{URL: receiver.url, Body: []byte("{}")})
		require.Equal(t, egress.Unknown, res.Outcome)
	})
}

func TestClientIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", string(body))
		w.Write(body)
	}
	urls := []string{
		serve(t, handler).URL,
		serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"), handler).URL,
	}
	client := setup(t, egress.Config{RootCAs: a.pool})
	var running sync.WaitGroup
	results := make(chan error, 200)
	for i := range 200 {
		running.Go(func() {
			body := strconv.Itoa(i)
			res := client.Post(t.Context(), egress.Request{URL: urls[i%2], Body: []byte(body)})
			if res.Outcome != egress.Succeeded || string(res.Body) != body || res.Header.Get("X-Request-Id") != body {
				results <- io.ErrUnexpectedEOF
			}
		})
	}
	running.Wait()
	require.Empty(t, results)
}

func BenchmarkPost(b *testing.B) {
	a := newAuthority(b)
	handler := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	client := setup(b, egress.Config{RootCAs: a.pool})
	body := bytes.Repeat([]byte("x"), 1<<10)
	for name, server := range map[string]string{
		"HTTP1": serve(b, handler).URL,
		"TLS":   serveTLS(b, &tls.Config{Certificates: a.config(b, "127.0.0.1", time.Now().Add(time.Hour)).Certificates}, handler).URL,
		"HTTP2": serveTLS(b, a.config(b, "127.0.0.1", time.Now().Add(time.Hour), "h2"), handler).URL,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res := client.Post(b.Context(), egress.Request{URL: server, Body: body})
				if res.Outcome != egress.Succeeded {
					b.Fatal(res.Error)
				}
			}
		})
	}
}
