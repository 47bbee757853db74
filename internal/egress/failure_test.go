package egress_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/outhook/outhook/internal/egress"
)

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	address := closed.Listener.Addr().String()
	closed.Close()
	res := post(t, setup(t, egress.Config{}), "http://"+address)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Equal(t, "connection_refused: by "+address, res.Error)
	require.Empty(t, res.RemoteAddr)
	require.False(t, res.Sent)
}

func TestDNSFailures(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
	for host, want := range map[string]struct {
		outcome egress.Outcome
		text    string
	}{
		"gone.example":     {egress.Unreachable, "dns: no such host"},
		"servfail.example": {egress.Unreachable, "dns: the look-up failed"},
		"silent.example":   {egress.TimedOut, "timeout: looking up the host name"},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			res := postRequest(t, client, egress.Request{
				URL: "https://" + host + secretPath, Body: []byte("{}"), Timeout: 1500 * time.Millisecond,
			})
			require.Equal(t, want.outcome, res.Outcome, res.Error)
			require.Equal(t, want.text, res.Error)
			require.Empty(t, res.RemoteAddr)
			require.False(t, res.Sent)
		})
	}
}

// Our own lack of file descriptors is not the receiver's failure.
func TestTroubleOfThisMachineIsUnknown(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", errno)}
		}}
		res := post(t, setup(t, egress.Config{Resolver: resolver}), "http://receiver.example")
		require.Equal(t, egress.Unknown, res.Outcome, res.Error)
		require.Equal(t, "local: "+errno.Error(), res.Error)
		require.False(t, res.Sent)
	}
}

func TestTimeoutNamesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	silent := serveRaw(t, untilClosed)
	a := newAuthority(t)
	secure := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"), func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	cases := map[string]struct {
		url, text, remote string
		sent              bool
	}{
		"Connect":      {"http://" + fullListener(t), "timeout: connecting", "", false},
		"TLS":          {"https://" + silent.address, "timeout: in the TLS handshake", silent.address, false},
		"Headers":      {silent.url, "timeout: waiting for response headers", silent.address, true},
		"HTTP2Headers": {secure.URL, "timeout: waiting for response headers", secure.Listener.Addr().String(), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 400 * time.Millisecond
			if c.sent { // on a busy machine it takes a while until the request has left
				timeout = 3 * time.Second
			}
			res := postRequest(t, setup(t, egress.Config{RootCAs: a.pool}), egress.Request{
				URL: c.url, Body: []byte("{}"), Timeout: timeout,
			})
			require.Equal(t, egress.TimedOut, res.Outcome, res.Error)
			require.Equal(t, c.text, res.Error)
			require.Equal(t, c.remote, res.RemoteAddr)
			require.Equal(t, c.sent, res.Sent)
			require.GreaterOrEqual(t, res.Duration, timeout)
			require.Less(t, res.Duration, timeout+5*time.Second)
		})
	}
	t.Run("Sending", func(t *testing.T) {
		t.Parallel()
		full := serveRaw(t, func(conn net.Conn) { <-t.Context().Done() })
		res := postRequest(t, setup(t, egress.Config{}), egress.Request{
			URL: full.url, Body: make([]byte, 64<<20), Timeout: 400 * time.Millisecond,
		})
		require.Equal(t, "timeout: sending the request", res.Error)
		require.True(t, res.Sent)
	})
}

// fullListener returns an address whose queue of connections is full, so that the kernel drops further ones.
func fullListener(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Close(fd)) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	inet, ok := name.(*unix.SockaddrInet4)
	require.True(t, ok)
	address := (&net.TCPAddr{IP: inet.Addr[:], Port: inet.Port}).String()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		cancel()
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	ok := func(http.ResponseWriter, *http.Request) {}
	a, other := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	old, mutual := a.config(t, "127.0.0.1", later), a.config(t, "127.0.0.1", later)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	mutual.ClientAuth = tls.RequireAnyClientCert
	mutual12 := mutual.Clone()
	mutual12.MaxVersion = tls.VersionTLS12
	client := setup(t, egress.Config{RootCAs: a.pool})
	cases := map[string]struct{ url, text string }{
		"UnknownAuthority": {
			serveTLS(t, other.config(t, "127.0.0.1", later), ok).URL, "tls: the certificate is signed by an unknown authority",
		},
		"WrongHost": {
			serveTLS(t, a.config(t, "other.example", later), ok).URL, "tls: the certificate is not valid for this host",
		},
		"Expired": {
			serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(-time.Minute)), ok).URL,
			"tls: the certificate has expired on ",
		},
		"OldVersion":  {serveTLS(t, old, ok).URL, "tls: the receiver says: protocol version not supported (it must speak TLS 1.2"},
		"MutualTLS13": {serveTLS(t, mutual, ok).URL, "tls: the receiver says: certificate required (it asks for a client"},
		"MutualTLS12": {serveTLS(t, mutual12, ok).URL, "it asks for a client certificate, and none is sent)"},
		"PlainHTTP": {
			strings.Replace(serve(t, ok).URL, "http:", "https:", 1), "tls: the receiver does not speak TLS on this port",
		},
		"Closed": {
			"https://" + serveRaw(t, closeEarly).address, "",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := post(t, client, c.url)
			require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
			require.Contains(t, res.Error, c.text)
			require.NotEmpty(t, res.RemoteAddr)
			require.Zero(t, res.StatusCode)
			if name != "MutualTLS13" { // its handshake ends before the receiver's refusal arrives
				require.False(t, res.Sent)
			}
		})
	}
}

func TestSystemAuthoritiesAreTheDefault(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewUnstartedServer(http.NotFoundHandler())
	start(t, receiver, (*httptest.Server).StartTLS)
	res := post(t, setup(t, egress.Config{}), receiver.URL)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Equal(t, "tls: the certificate is signed by itself, and by no known authority", res.Error)
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		handle func(net.Conn)
		text   string
	}{
		"ClosedAtOnce":   {func(net.Conn) {}, "connection_"},
		"ClosedAfter":    {answerRaw(""), "connection_closed: before the response's headers ended"},
		"CutInHeaders":   {answerRaw("HTTP/1.1 200 OK\r\nServer: x\r\n"), "connection_closed: before the response's headers ended"},
		"Reset":          {reset, "connection_reset: by the receiver"},
		"Garbage":        {answerRaw("s3cret garbage\r\n\r\n"), "protocol: "},
		"EchoOfThePath":  {answerRaw("POST " + secretPath + " HTTP/1.1\r\n\r\n"), "protocol: "},
		"EchoInHeader":   {answerRaw("HTTP/1.1 200 OK\r\n" + secretPath + "\r\n\r\n"), "protocol: "},
		"TwoLengths":     {answerRaw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "protocol: "},
		"BadLength":      {answerRaw("HTTP/1.1 200 OK\r\nContent-Length: " + secretPath + "\r\n\r\n"), "protocol: "},
		"BadEncoding":    {answerRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: s3cret\r\n\r\n"), "protocol: "},
		"HTTP09":         {answerRaw("<html>hello s3cret</html>"), "protocol: "},
		"HTTP2Preface":   {answerRaw("\x00\x00\x12\x04\x00\x00\x00\x00\x00"), ""},
		"StatusBelow100": {answerRaw("HTTP/1.1 099 OK\r\n\r\n"), "protocol: the status code is below 100"},
		"StatusTooShort": {answerRaw("HTTP/1.1 20 OK\r\n\r\n"), "protocol: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := post(t, setup(t, egress.Config{}), serveRaw(t, c.handle).url)
			require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
			require.Contains(t, res.Error, c.text)
			require.Zero(t, res.StatusCode)
			require.True(t, res.Sent)
			require.NotEmpty(t, res.RemoteAddr)
		})
	}
}

// closeEarly reads a little and closes the connection.
func closeEarly(conn net.Conn) {
	_, _ = io.ReadFull(conn, make([]byte, 10))
}

// reset does the same, and aborts the connection.
func reset(conn net.Conn) {
	closeEarly(conn)
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.SetLinger(0) != nil {
		panic("the connection can't be aborted")
	}
}
