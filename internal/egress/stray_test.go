package egress_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

const (
	okAnswer    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	strayAnswer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nstray"
)

// An answer that was there before the request left belongs to nobody, however it came.
func TestAnswerToNobodyIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"AnswerBehind":        okAnswer + strayAnswer,
		"LineBreak":           okAnswer + "\r\n",
		"LengthInCharacters":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nöö",
		"BodyOf204":           "HTTP/1.1 204 No Content\r\n\r\nlate",
		"BodyOf205":           "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n{}",
		"SecondEndOfChunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n",
		"LengthOf204":         "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"AnswerBehindBodyof1": okAnswer + strayAnswer[:1],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			receiver := serveRaw(t, func(conn net.Conn) {
				for r := bufio.NewReader(conn); readRequest(r); {
					requests.Add(1)
					write(conn, answer)
				}
			})
			client := setup(t, egress.Config{IdleTimeout: time.Minute})
			for range 20 {
				res := post(t, client, receiver.url)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			}
			require.EqualValues(t, 20, requests.Load())
		})
	}
}

// What comes while the connection waits: it has arrived when the next request begins, so it can't be its answer.
func TestAnswerToNobodyOnAnIdleConnection(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, start := range map[string]func(handle func(net.Conn)) *rawReceiver{
		"Plain": func(handle func(net.Conn)) *rawReceiver { return serveRaw(t, handle) },
		"TLS":   func(handle func(net.Conn)) *rawReceiver { return serveRawTLS(t, a, handle) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stray, sent := make(chan struct{}), make(chan struct{})
			receiver := start(func(conn net.Conn) {
				for r := bufio.NewReader(conn); readRequest(r); {
					write(conn, okAnswer)
					<-stray
					write(conn, strayAnswer)
					sent <- struct{}{}
				}
			})
			client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute})
			for range 50 {
				res := post(t, client, receiver.url)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
				stray <- struct{}{}
				<-sent
			}
			require.EqualValues(t, 50, receiver.conns.Load())
		})
	}
}

// serveRawTLS does what serveRaw does, over TLS with HTTP/1.1.
func serveRawTLS(t *testing.T, a *authority, handle func(net.Conn)) *rawReceiver {
	t.Helper()
	cfg := a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "http/1.1")
	listener, err := tlsListen(cfg)
	require.NoError(t, err)
	r := serveListener(t, listener, handle)
	r.url = "https://" + r.address
	return r
}

// Receivers that answer once too often reach themselves at most: never another tenant, and not even themselves if the
// answer is there before the next request. Here each request of tenants that behave is right, under load and on the
// same host and port as those of one that does not.
func TestStrayAnswersUnderLoad(t *testing.T) {
	t.Parallel()
	var seen sync.Map // of requests, by their number
	receiver := serveRaw(t, func(conn net.Conn) { answerBadly(conn, &seen) })
	client := setup(t, egress.Config{IdleTimeout: time.Minute})

	const publishers, each = 8, 125
	var running sync.WaitGroup
	var wrong, own atomic.Int64
	var delivered sync.Map // those that count as delivered
	for p := range publishers {
		running.Go(func() {
			for i := range each {
				id := fmt.Sprint(p, "-", i)
				res := client.Post(t.Context(), egress.Request{
					URL: receiver.url + "/" + []string{"good", "bad"}[p%2], Tenant: []string{"", "bad"}[p%2] + fmt.Sprint(p%2*p),
					Body: []byte(id), Header: http.Header{},
				})
				if res.Outcome == egress.Succeeded {
					delivered.Store(id, true)
				}
				if res.Outcome != egress.Succeeded || string(res.Body) != id {
					[]*atomic.Int64{&wrong, &own}[p%2].Add(1)
				}
			}
		})
	}
	running.Wait()
	require.Zero(t, wrong.Load(), "of other tenants")
	delivered.Range(func(id, _ any) bool {
		// The receiver may be behind, if it answered before it read.
		require.Eventually(t, func() bool { _, found := seen.Load(id); return found }, 5*time.Second, time.Millisecond, id)
		return true
	})
	t.Logf("wrong outcomes of the tenants whose receiver answers too often: %d of %d", own.Load(), publishers/2*each)
}

// answerBadly answers with the request's body. In a tenth of the answers to /bad another one follows, at once or a
// moment later.
func answerBadly(conn net.Conn, seen *sync.Map) {
	for r := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		seen.Store(string(body), true)
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)

		switch {
		case !strings.HasSuffix(req.URL.Path, "bad") || rand.IntN(10) > 0:
			write(conn, answer)
		case rand.IntN(2) == 0:
			write(conn, answer+strayAnswer)
		default:
			write(conn, answer)
			write(conn, strayAnswer)
		}
	}
}

// Connections of HTTP/1.1 belong to a tenant; HTTP/2's to all.
func TestConnectionsAreNotSharedBetweenTenants(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	plain := serveRaw(t, func(conn net.Conn) {
		for r := bufio.NewReader(conn); readRequest(r); {
			write(conn, okAnswer)
		}
	})
	http2 := serveHTTP2(t, a, answerOK)
	client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute})
	for range 5 {
		for _, tenant := range []string{"a", "b", "c"} {
			for _, url := range []string{plain.url, http2.url} {
				res := postRequest(t, client, egress.Request{URL: url, Body: []byte("{}"), Tenant: tenant})
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			}
		}
	}
	require.EqualValues(t, 3, plain.conns.Load())
	require.EqualValues(t, 1, http2.conns.Load())
}

// A receiver may answer from the request's head and close with the body unread, which resets the connection.
func TestAnswerThatCameBeforeTheRequestWasWritten(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for _, code := range []int{200, 401, 410, 413} {
		early := func(conn net.Conn) {
			r := bufio.NewReader(conn)
			if _, err := http.ReadRequest(r); err == nil {
				write(conn, fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly", code))
			}
		}
		for name, receiver := range map[string]*rawReceiver{
			"Plain": serveRaw(t, early), "TLS": serveRawTLS(t, a, early),
		} {
			t.Run(fmt.Sprint(name, code), func(t *testing.T) {
				t.Parallel()
				client := setup(t, egress.Config{RootCAs: a.pool})
				for range 20 {
					res := postRequest(t, client, egress.Request{URL: receiver.url, Body: make([]byte, 200<<10)})
					require.Equal(t, code, res.StatusCode, res.Error)
					require.Equal(t, code == 200, res.Outcome == egress.Succeeded, res.Error)
				}
			})
		}
	}
}

// Servers of other protocols greet those who connect.
func TestReceiverThatSpeaksFirst(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, func(conn net.Conn) {
		write(conn, "SSH-2.0-OpenSSH_9.2\r\n")
		untilClosed(conn)
	})
	res := post(t, setup(t, egress.Config{}), receiver.url)
	require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
	require.Contains(t, []string{
		"protocol: the receiver speaks before it is asked",
		"protocol: the response is malformed, or its headers are longer than 64 KiB", // it came behind the request
	}, res.Error)
	require.LessOrEqual(t, receiver.conns.Load(), int64(3))
}

// A receiver that accepts connections and closes them is not connected to until the deadline.
func TestReceiverThatClosesAtOnceIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, func(net.Conn) {})
	client := setup(t, egress.Config{})
	for n := int64(1); n <= 20; n++ {
		res := post(t, client, receiver.url)
		require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
		require.LessOrEqual(t, receiver.conns.Load(), 3*n)
	}
}

// More connections than are kept: those that are closed are idle ones, and no request is on them.
func TestConnectionsBeyondTheLimitAreClosedWhenIdle(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]egress.Config{
		"PerHost": {MaxIdlePerHost: 3, IdleTimeout: time.Minute},
		"InAll":   {MaxIdleConns: 3, IdleTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
			client := setup(t, cfg)
			var running sync.WaitGroup
			var failed atomic.Int64
			for range 20 {
				running.Go(func() {
					for range 300 {
						res := client.Post(t.Context(), egress.Request{URL: receiver.URL, Body: []byte("{}")})
						if res.Outcome != egress.Succeeded {
							failed.Add(1)
						}
					}
				})
			}
			running.Wait()
			require.Zero(t, failed.Load())
		})
	}
}
