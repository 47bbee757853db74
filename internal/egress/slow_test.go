package egress_test

import (
	"bufio"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// A name server that takes its time delays a request and does not fail it, as long as the one deadline is not over.
func TestSlowDNSIsWaitedForUntilTheDeadline(t *testing.T) {
	t.Parallel()
	const wait = 300 * time.Millisecond // for each of the two questions, A and AAAA, at most one after the other
	receiver := serveRaw(t, answerRaw("HTTP/1.1 204 No Content\r\n\r\n"))
	for name, c := range map[string]struct {
		timeout time.Duration
		want    egress.Outcome
		text    string
	}{
		"InTime":  {30 * time.Second, egress.Succeeded, ""},
		"TooLate": {wait / 2, egress.TimedOut, "timeout: looking up the host name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := serveDNS(t, func(name string, n int) []netip.Addr {
				<-time.After(wait)
				return always("127.0.0.1")(name, n)
			})
			res := postRequest(t, setup(t, egress.Config{Resolver: resolver}), egress.Request{
				URL: byName(t, receiver.address, "http", "slow.example") + secretPath, Body: []byte("{}"), Timeout: c.timeout,
			})
			require.Equal(t, c.want, res.Outcome, res.Error)
			require.Equal(t, c.text, res.Error)
			require.Equal(t, c.want == egress.Succeeded, res.Sent)
			require.GreaterOrEqual(t, res.Duration, min(wait, c.timeout))
			require.Less(t, res.Duration, 10*time.Second)
		})
	}
}

// Each byte that arrives is no reason to wait for longer: a receiver can't hold a worker beyond the deadline.
func TestDrippingHeadersEndAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  string
		timeout time.Duration
		want    egress.Outcome
		text    string
	}{
		"InTime":          {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 30 * time.Second, egress.Succeeded, ""},
		"EndlessHeader":   {"HTTP/1.1 200 OK\r\nX: ", 400 * time.Millisecond, egress.TimedOut, "timeout: waiting for response headers"},
		"EndlessLine":     {"HTTP/1.1 200 ", 400 * time.Millisecond, egress.TimedOut, "timeout: waiting for response headers"},
		"EndlessRejected": {"HTTP/1.1 500 No\r\nX: ", 400 * time.Millisecond, egress.TimedOut, "timeout: waiting for response headers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, func(conn net.Conn) { dripAnswer(conn, c.answer) })
			res := postRequest(t, setup(t, egress.Config{}), egress.Request{URL: receiver.url, Body: []byte("{}"), Timeout: c.timeout})
			require.Equal(t, c.want, res.Outcome, res.Error)
			require.Equal(t, c.text, res.Error)
			require.True(t, res.Sent, "the receiver may have it: the attempt counts")
			require.Equal(t, receiver.address, res.RemoteAddr)
			if c.want == egress.TimedOut {
				require.Zero(t, res.StatusCode, "an answer that is not whole is none")
				require.GreaterOrEqual(t, res.Duration, c.timeout)
			}
			require.Less(t, res.Duration, 10*time.Second)
		})
	}
}

// dripAnswer answers a request one byte each 10 ms and, unless the header is whole then, goes on with it until the
// connection ends.
func dripAnswer(conn net.Conn, text string) {
	if !readRequest(bufio.NewReader(conn)) {
		return
	}
	closed := make(chan struct{})
	go func() {
		untilClosed(conn)
		close(closed)
	}()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		next := []byte("x")
		if i < len(text) {
			next = []byte{text[i]}
		} else if strings.HasSuffix(text, "\r\n\r\n") {
			<-closed
			return
		}
		if _, err := conn.Write(next); err != nil {
			return
		}
		select {
		case <-closed:
			return
		case <-ticker.C:
		}
	}
}
