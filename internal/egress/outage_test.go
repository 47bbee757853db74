package egress_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/outhook/outhook/internal/egress"
)

// A name server that is away, or no route to anybody, is not the receivers' failure, once that is certain.
func TestOutageOfTheNetworkIsNobodysFailure(t *testing.T) {
	t.Parallel()
	const kind = "no name server answers"
	for name, fail := range map[string]error{
		"Silent":      &net.DNSError{Err: "i/o timeout", IsTimeout: true},
		"Unreachable": os.NewSyscallError("connect", syscall.ENETUNREACH),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{Resolver: failing(fail)})
			require.Equal(t, egress.Unreachable, post(t, client, "http://a.example").Outcome)
			require.Equal(t, egress.Unreachable, post(t, client, "http://b.example").Outcome)
			require.Equal(t, egress.Unreachable, post(t, client, "http://c.example").Outcome, "one was reached lately")
			client.Unreached()
			res := post(t, client, "http://a.example")
			require.Equal(t, egress.Unknown, res.Outcome, res.Error)
			require.Equal(t, "local: "+kind, res.Error)
			require.False(t, res.Sent)
			require.Equal(t, kind, client.Trouble())

			receiver := serveRaw(t, answerRaw(okAnswer))
			require.Equal(t, egress.Succeeded, post(t, client, receiver.url).Outcome)
			require.Empty(t, client.Trouble(), "a host was reached")
			require.Equal(t, egress.Unreachable, post(t, client, "http://a.example").Outcome)
		})
	}
}

// A request's deadline may come before the resolver gives up.
func TestSilentNameServerIsNobodysFailure(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Resolver: serveDNSOf(t, func(dnsmessage.Question) bool { return false }, always("127.0.0.1"))})
	client.Unreached()
	for i, want := range []egress.Outcome{egress.TimedOut, egress.TimedOut, egress.Unknown} {
		res := postRequest(t, client, egress.Request{
			URL: fmt.Sprintf("http://%d.example", i), Body: []byte("{}"), Timeout: 100 * time.Millisecond,
		})
		require.Equal(t, want, res.Outcome, res.Error)
		require.False(t, res.Sent)
	}
	require.Equal(t, "no name server answers", client.Trouble())
}

// A lack of routes counts like that, whichever error says so.
func TestNoRouteToAnybodyIsNobodysFailure(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN} {
		client := setup(t, egress.Config{})
		client.Unreached()
		err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
		require.Empty(t, client.Ours("a.example", err))
		require.Empty(t, client.Ours("b.example", err))
		require.Empty(t, client.Ours("b.example", err))
		require.Equal(t, "no route to any host", client.Ours("c.example", err))
	}
}

// Two hosts are two receivers' failures, whatever the time, and so is one that fails a hundred times.
func TestFewHostsAreNoOutage(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Resolver: failing(&net.DNSError{Err: "i/o timeout", IsTimeout: true})})
	client.Unreached()
	for i := range 20 {
		require.Equal(t, egress.Unreachable, post(t, client, fmt.Sprintf("http://%d.example.com", i%2)).Outcome)
	}
	require.Empty(t, client.Trouble())
}

// What a name server says of a name, that it does not exist or can't be found out, says nothing of the network, nor does
// a host that refuses.
func TestAnswersAreNoOutage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ url, text string }{
		"NoName":   {"http://gone.%d.example", "dns: no such host"},
		"NoAnswer": {"http://%d.servfail.example", "dns: the look-up failed"},
		"Refused":  {"http://%d.example:1", "connection_refused: by 127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
			client.Unreached()
			for i := range 10 {
				require.Equal(t, c.text, post(t, client, fmt.Sprintf(c.url, i)).Error)
			}
			require.Empty(t, client.Trouble())
		})
	}
}

// An answer on a connection that is there shows that the network is.
func TestAnswerOnAKeptConnectionIsNoOutage(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	client := setup(t, egress.Config{
		Resolver: failing(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), IdleTimeout: time.Minute,
	})
	require.Equal(t, egress.Succeeded, post(t, client, receiver.URL).Outcome)
	for i := range 10 {
		client.Unreached()
		require.Equal(t, egress.Succeeded, post(t, client, receiver.URL).Outcome)
		require.Equal(t, egress.Unreachable, post(t, client, fmt.Sprintf("http://%d.example", i)).Outcome)
	}
	require.Empty(t, client.Trouble())
}

// No local port is left: as with file descriptors, that is certain at once.
func TestLackOfLocalPortsIsOurOwn(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Resolver: failing(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL))})
	res := post(t, client, "http://a.example")
	require.Equal(t, egress.Unknown, res.Outcome, res.Error)
	require.Equal(t, "local: "+syscall.EADDRNOTAVAIL.Error(), res.Error)
	require.Equal(t, syscall.EADDRNOTAVAIL.Error(), client.Trouble())
}

// failing is a resolver that never reaches its name server.
func failing(err error) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: err}
	}}
}
