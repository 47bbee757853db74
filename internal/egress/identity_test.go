package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// identityTransport puts the filter where it belongs: over TLS above the *tls.Conn, and there under HTTP/1 only.
func identityTransport(t *testing.T, a *authority) *http.Transport {
	t.Helper()
	dialer := &net.Dialer{}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return egress.NewIdentityConn(conn), nil
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, &tls.Config{
				ServerName: "127.0.0.1", RootCAs: a.pool, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
			})
			if err := secure.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			if secure.ConnectionState().NegotiatedProtocol == "h2" {
				return secure, nil
			}
			return egress.NewIdentityConn(secure), nil
		},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// exchange posts once and returns the status and the body.
func exchange(t *testing.T, transport *http.Transport, url string) (status int, body string, err error) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		egress.BeginIdentity(info.Conn)
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(t, err)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(read), err
}

// answerAll answers each request of a connection with text, which may come in pieces, and closes at the end of a body
// that has no length.
func answerAll(text string, pieces int, last bool) func(net.Conn) {
	return func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		for readRequest(reader) {
			for rest := text; rest != ""; {
				n := min(pieces, len(rest))
				write(conn, rest[:n])
				rest = rest[n:]
			}
			if last {
				return
			}
		}
	}
}

// Old servers say that a body is not encoded, and mean what they would mean by saying nothing.
func TestTransferEncodingIdentity(t *testing.T) {
	t.Parallel()
	const line = "Transfer-Encoding: identity\r\n"
	for name, c := range map[string]struct {
		answer, body string
		last         bool
	}{
		"Length":     {"HTTP/1.1 200 OK\r\n" + line + "Content-Length: 31\r\nServer: x\r\n\r\n" + line + "\r\n", line + "\r\n", false},
		"ToTheEnd":   {"HTTP/1.1 200 OK\r\n" + line + "\r\n" + line + "\r\n", line + "\r\n", true},
		"OtherCase":  {"HTTP/1.1 200 OK\nContent-Length: 2\ntransfer-encoding:IDENTITY \t\n\nok", "ok", false},
		"Twice":      {"HTTP/1.1 200 OK\r\n" + line + line + "Content-Length: 2\r\n\r\nok", "ok", false},
		"Chunked":    {"HTTP/1.1 200 OK\r\n" + line + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", false},
		"EarlyHints": {"HTTP/1.1 103 Early\r\n" + line + "\r\nHTTP/1.1 200 OK\r\n" + line + "Content-Length: 2\r\n\r\nok", "ok", false},
		"Without":    {"HTTP/1.1 200 OK\r\nX: " + line + "Content-Length: 2\r\n\r\nok", "ok", false},
		"LongLine":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 9000) + "\r\n" + line + "Content-Length: 2\r\n\r\nok", "ok", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			for _, pieces := range []int{1, 7, 1 << 20} {
				plain := serveRaw(t, answerAll(c.answer, pieces, c.last))
				listener, err := tls.Listen("tcp", "127.0.0.1:0", a.config(t, "127.0.0.1", time.Now().Add(time.Hour)))
				require.NoError(t, err)
				secure := serveListener(t, listener, answerAll(c.answer, pieces, c.last))
				transport := identityTransport(t, a)
				for _, url := range []string{plain.url, plain.url, "https://" + secure.address, "https://" + secure.address} {
					status, body, err := exchange(t, transport, url)
					require.NoError(t, err)
					require.Equal(t, 200, status)
					require.Equal(t, c.body, body)
				}
				if !c.last {
					require.EqualValues(t, 1, plain.conns.Load(), "the connection is used again")
				}
			}
		})
	}
}

// What is no more than like that line stays what it is, an answer that net/http refuses.
func TestOtherTransferEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding: gzip\r\n", "Transfer-Encoding: identity\r\n x\r\n",
		"Transfer-Encoding: identity\r\n\tchunked\r\n", "Transfer-Encoding:\r\n",
	} {
		receiver := serveRaw(t, answerRaw("HTTP/1.1 200 OK\r\n"+line+"Content-Length: 2\r\n\r\nok"))
		_, _, err := exchange(t, identityTransport(t, newAuthority(t)), receiver.url)
		require.Error(t, err, line)
	}
}

func TestHTTP2IsUnderNoFilter(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"), func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.ProtoMajor)
	})
	_, body, err := exchange(t, identityTransport(t, a), receiver.URL)
	require.NoError(t, err)
	require.Equal(t, "2", body)
}

// piecewise is a connection on which bytes come in the given pieces.
type piecewise struct {
	net.Conn

	data   []byte
	pieces []byte
}

func (c *piecewise) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	size := len(c.data)
	if len(c.pieces) > 0 {
		size, c.pieces = int(c.pieces[0])+1, c.pieces[1:]
	}
	n := copy(p[:min(size, len(p))], c.data)
	c.data = c.data[n:]
	return n, nil
}

// readResponse is what net/http makes of an answer.
type readResponse struct {
	status string
	header http.Header
	length int64
	body   string
}

// readAnswer reads an answer as net/http's client does: past those of 1xx.
func readAnswer(data []byte) (readResponse, error) {
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return readResponse{}, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return readResponse{resp.Status, resp.Header, resp.ContentLength, string(body)}, err
		}
	}
}

// FuzzIdentityConn: in whatever pieces an answer comes, the filter gives the same bytes; an answer that net/http takes
// is the same behind it; and with the line put into it anywhere net/http still reads the same.
func FuzzIdentityConn(f *testing.F) {
	const line = "Transfer-Encoding: identity\r\n"
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\n" + line + "\nbody\r\n" + line,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n" + line + "\r\n" + line,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + line + "\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n" + line + " x\r\n\r\n", "HTTP/1.1  199 x\r\n\r\nHTTP/1.0 500\r\n" + line + "\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n" + line + "\r\n", "\r\n" + line + "\r\n", "HTTP/1.1 103\r\n\r\r\n" + line,
	} {
		f.Add([]byte(answer), []byte{3, 0, 20}, uint16(1))
	}
	f.Fuzz(func(t *testing.T, answer, pieces []byte, at uint16) {
		filtered := func(data, pieces []byte) []byte {
			conn := egress.NewIdentityConn(&piecewise{data: data, pieces: pieces})
			egress.BeginIdentity(conn)
			out, err := io.ReadAll(conn)
			require.NoError(t, err)
			return out
		}
		require.Equal(t, string(filtered(answer, nil)), string(filtered(answer, pieces)))

		want, err := readAnswer(answer)
		if err != nil {
			return
		}
		requireSame := func(data []byte) {
			got, err := readAnswer(filtered(data, pieces))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		requireSame(answer)

		if with, ok := withLine(answer, line, int(at)); ok {
			requireSame(with)
		}
	})
}

// withLine puts a line before the nth line of the first head; ok is false if there is no such place, or if the lines
// around it would belong together.
func withLine(answer []byte, line string, n int) (with []byte, ok bool) {
	lines := bytes.SplitAfter(answer, []byte("\n"))
	if n < 1 || n >= len(lines) {
		return nil, false
	}
	for _, before := range lines[1:n] {
		if len(bytes.Trim(before, "\r\n")) == 0 {
			return nil, false // behind the head
		}
	}
	if next := lines[n]; len(next) == 0 || next[0] == ' ' || next[0] == '\t' {
		return nil, false
	}
	before, after := bytes.Join(lines[:n], nil), bytes.Join(lines[n:], nil)
	return bytes.Join([][]byte{before, []byte(line), after}, nil), true
}

// An old server's answer is taken, on each request of a connection and over TLS too.
func TestIdentityIsNoEncoding(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	answer := func(conn net.Conn) {
		for r := bufio.NewReader(conn); readRequest(r); {
			write(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	for name, receiver := range map[string]*rawReceiver{"Plain": serveRaw(t, answer), "TLS": serveRawTLS(t, a, answer)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute})
			for range 3 {
				res := post(t, client, receiver.url)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
				require.Equal(t, "ok", string(res.Body))
			}
			require.EqualValues(t, 1, receiver.conns.Load())
		})
	}
}
