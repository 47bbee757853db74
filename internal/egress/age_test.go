package egress_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http2"

	"github.com/outhook/outhook/internal/egress"
)

func tlsListen(cfg *tls.Config) (net.Listener, error) { return tls.Listen("tcp", "127.0.0.1:0", cfg) }

// A name may lead elsewhere by now, or the rules may be others: a connection takes no requests for ever.
func TestConnectionsGrowOld(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cfg := a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2")
	for name, receiver := range map[string]string{
		"HTTP1": serve(t, func(http.ResponseWriter, *http.Request) {}).URL,
		"HTTP2": serveTLS(t, cfg, func(http.ResponseWriter, *http.Request) {}).URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute, MaxAge: 50 * time.Millisecond})
			made := 0
			require.Eventually(t, func() bool {
				res := post(t, client, receiver)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
				if res.Phases.Connect > 0 {
					made++
				}
				return made >= 4
			}, 30*time.Second, time.Millisecond)
		})
	}
}

// What is under way when its connection has become too old ends as if it had not.
func TestOldConnectionFinishesItsRequests(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	release := make(chan struct{})
	var slow sync.WaitGroup
	server := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"),
		func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
			}
		})
	client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: 10 * time.Millisecond, MaxAge: 20 * time.Millisecond})
	for range 3 {
		slow.Go(func() {
			res := client.Post(t.Context(), egress.Request{URL: server.URL + "/slow", Body: []byte("{}")})
			require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
		})
	}
	for began := time.Now(); time.Since(began) < 800*time.Millisecond; {
		require.Equal(t, egress.Succeeded, post(t, client, server.URL).Outcome)
	}
	close(release)
	slow.Wait()
}

func TestKeepAliveOfTheReceiverIsHonoured(t *testing.T) {
	t.Parallel()
	for header, conns := range map[string]int64{
		"Keep-Alive: timeout=0\r\n":           3,
		"Keep-Alive: timeout=5, max=1000\r\n": 1,
		"Keep-Alive: max=1000\r\n":            1,
		"Keep-Alive: timeout=soon\r\n":        1,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, func(conn net.Conn) {
				for r := bufio.NewReader(conn); readRequest(r); {
					write(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"+header+"\r\nok")
				}
			})
			client := setup(t, egress.Config{IdleTimeout: time.Minute})
			for range 3 {
				require.Equal(t, egress.Succeeded, post(t, client, receiver.url).Outcome)
			}
			require.Equal(t, conns, receiver.conns.Load())
		})
	}
}

// A connection of HTTP/2 that has gone mute gets no new requests, and those that wait on it have all of their time.
func TestMuteHTTP2ConnectionEndsNoRequest(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	release := make(chan struct{})
	var conns atomic.Int64
	receiver := serveHTTP2(t, a, func(f *http2.Framer, stream uint32) error {
		if conns.Add(1) == 1 {
			<-release // reads nothing, and answers no PING
		}
		return answerOK(f, stream)
	})
	client := setup(t, egress.Config{RootCAs: a.pool})
	client.MaxSilence(100 * time.Millisecond)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		res := client.Post(t.Context(), egress.Request{URL: receiver.url, Body: []byte("{}"), Timeout: 30 * time.Second})
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	})
	require.Eventually(t, func() bool { return conns.Load() == 1 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		res := postRequest(t, client, egress.Request{URL: receiver.url, Body: []byte("{}"), Timeout: 300 * time.Millisecond})
		return res.Outcome == egress.Succeeded
	}, 10*time.Second, time.Millisecond)
	close(release)
	waiting.Wait()
}

// The first of a name's addresses may swallow all that is sent to it.
func TestAddressesAreTriedInTurn(t *testing.T) {
	t.Parallel()
	black := fullListener(t)
	_, port, err := net.SplitHostPort(black)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.2:"+port) //nolint:noctx // a test's
	require.NoError(t, err)
	receiver := serveListener(t, listener, answerRaw(okAnswer))
	client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1", "127.0.0.2"))})
	res := postRequest(t, client, egress.Request{
		URL: byName(t, black, "http", "receiver.example"), Body: []byte("{}"), Timeout: 3 * time.Second,
	})
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	require.Equal(t, receiver.address, res.RemoteAddr)
}

// A name server may never answer the question for IPv6 addresses.
func TestUnansweredQuestionForIPv6HoldsNobodyUp(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, answerRaw(okAnswer))
	client := setup(t, egress.Config{Resolver: serveDNSOf(t, func(q dnsmessage.Question) bool {
		return q.Type != dnsmessage.TypeAAAA
	}, always("127.0.0.1"))})
	res := postRequest(t, client, egress.Request{
		URL: byName(t, receiver.address, "http", "receiver.example"), Body: []byte("{}"), Timeout: 2 * time.Second,
	})
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	require.Less(t, res.Duration, time.Second)
}

// A search domain of this machine belongs to somebody else than the endpoint.
func TestNamesAreAbsolute(t *testing.T) {
	t.Parallel()
	var asked sync.Map
	client := setup(t, egress.Config{Resolver: serveDNSOf(t, func(q dnsmessage.Question) bool {
		asked.Store(q.Name.String(), true)
		return true
	}, func(string, int) []netip.Addr { return nil })})
	for _, name := range []string{"gone", "gone.example", "a.b.c.d.gone.example"} {
		res := post(t, client, "http://"+name)
		require.Equal(t, "dns: no such host", res.Error)
	}
	got := map[string]bool{}
	asked.Range(func(k, _ any) bool {
		name, _ := k.(string)
		got[name] = true
		return true
	})
	require.Equal(t, map[string]bool{"gone.": true, "gone.example.": true, "a.b.c.d.gone.example.": true}, got)
}

// A host is forgotten when nothing of it waits, whether it was reached or not, and known again when a request that was
// under way meanwhile gives its connection back.
func TestHostsAreForgotten(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	})
	client := setup(t, egress.Config{IdleTimeout: 10 * time.Millisecond})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		res := client.Post(t.Context(), egress.Request{URL: slow.URL + "/slow", Body: []byte("{}")})
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	})
	for range 5 {
		require.Equal(t, egress.Unreachable, post(t, client, "http://"+freeLoopback(t)).Outcome)
	}
	require.Equal(t, egress.Succeeded, post(t, client, slow.URL).Outcome)
	require.Eventually(t, func() bool { return client.Hosts() == 0 }, 20*time.Second, time.Millisecond)
	close(release)
	waiting.Wait()
	require.Equal(t, egress.Succeeded, post(t, client, slow.URL).Outcome)
	require.Eventually(t, func() bool { return client.Hosts() == 0 }, 20*time.Second, time.Millisecond)
}

// freeLoopback returns an address that nobody listens on.
func freeLoopback(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // on loopback
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
