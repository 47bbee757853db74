package egress_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/outhook/outhook/internal/egress"
)

// The path and the query of each URL in these tests: none of it may come back in a result.
const secretPath = "/s3cret-path/x?token=s3cret-query"

// TestMain sets proxies that refuse every connection, so that each test that reaches a receiver by its name shows
// that the environment has no say.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// setup returns a client that may reach loopback, unless the config says otherwise.
func setup(t testing.TB, cfg egress.Config) *egress.Client {
	t.Helper()
	if cfg.Allow == nil {
		cfg.Allow = loopback()
	}
	client, err := egress.New(cfg)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// post sends a small payload and checks what holds for every result.
func post(t testing.TB, client *egress.Client, base string) egress.Result {
	t.Helper()
	return postRequest(t, client, egress.Request{URL: base + secretPath, Body: []byte(`{"n":1}`)})
}

func postRequest(t testing.TB, client *egress.Client, r egress.Request) egress.Result {
	t.Helper()
	before := time.Now()
	res := client.Post(t.Context(), r)
	requireSound(t, res)
	require.False(t, res.StartedAt.Before(before))
	require.LessOrEqual(t, res.Duration, time.Since(before))
	return res
}

func requireSound(t testing.TB, res egress.Result) {
	t.Helper()
	require.Contains(t, []egress.Outcome{
		egress.Succeeded, egress.Rejected, egress.TimedOut, egress.Unreachable, egress.Blocked, egress.Unknown,
	}, res.Outcome)
	require.Equal(t, res.Outcome == egress.Succeeded, res.Error == "", res.Error)
	require.LessOrEqual(t, len(res.Error), 200)
	requirePrintable(t, res.Error)
	require.NotContains(t, res.Error, "s3cret")
	require.LessOrEqual(t, len(res.Body), 16384)
	for name, values := range res.Header {
		require.Contains(t, []string{
			"Cf-Ray", "Content-Length", "Content-Type", "Date", "Outhook-Loop", "Retry-After", "Server", "X-Request-Id",
		}, name)
		require.Len(t, values, 1)
		require.LessOrEqual(t, len(values[0]), 256)
		requirePrintable(t, values[0])
	}
}

func requirePrintable(t testing.TB, s string) {
	t.Helper()
	require.True(t, utf8.ValidString(s))
	require.False(t, strings.ContainsFunc(s, unicode.IsControl), "%q", s)
}

// serve starts an HTTP receiver.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	return start(t, httptest.NewUnstartedServer(handler), (*httptest.Server).Start)
}

// serveTLS starts a receiver with the given certificate.
func serveTLS(t testing.TB, cfg *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS, server.EnableHTTP2 = cfg, slices.Contains(cfg.NextProtos, "h2")
	return start(t, server, (*httptest.Server).StartTLS)
}

func start(t testing.TB, server *httptest.Server, run func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	run(server)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// byName returns a server's URL with a name as host.
func byName(t testing.TB, address, scheme, name string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return scheme + "://" + net.JoinHostPort(name, port)
}

// rawReceiver is a receiver that speaks for itself, byte by byte.
type rawReceiver struct {
	address string
	url     string
	conns   atomic.Int64
}

// serveRaw calls handle for each connection, which is closed when handle returns or the test ends.
func serveRaw(t testing.TB, handle func(net.Conn)) *rawReceiver {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveListener(t, listener, handle)
}

func serveListener(t testing.TB, listener net.Listener, handle func(net.Conn)) *rawReceiver {
	t.Helper()
	r := &rawReceiver{address: listener.Addr().String(), url: "http://" + listener.Addr().String()}
	var (
		running sync.WaitGroup
		ended   = make(chan struct{})
	)
	serveConn := func(conn net.Conn) {
		stop := make(chan struct{})
		running.Go(func() {
			select {
			case <-ended:
			case <-stop:
			}
			conn.Close()
		})
		handle(conn)
		close(stop)
	}
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			running.Go(func() { serveConn(conn) })
		}
	})
	t.Cleanup(func() {
		close(ended)
		listener.Close()
		running.Wait()
	})
	return r
}

// answerRaw reads one request, answers with text and closes.
func answerRaw(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if readRequest(bufio.NewReader(conn)) {
			write(conn, text)
		}
	}
}

// readRequest reads one request and reports whether all of it came.
func readRequest(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// write ignores errors: a receiver here may find the other side gone.
func write(w io.Writer, text string) {
	_, _ = io.WriteString(w, text)
}

// flush sends what a handler has written so far.
func flush(w http.ResponseWriter) {
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
}

// untilClosed blocks until the connection ends in any way.
func untilClosed(conn net.Conn) {
	_, _ = io.Copy(io.Discard, conn)
}

// authority is a certificate authority of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, pool: pool}
}

// config returns a server's TLS configuration with a certificate for host that is valid until then.
func (a *authority) config(t testing.TB, host string, until time.Time, protocols ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protocols,
	}
}

// dnsAnswers says what a name is at its nth look-up, counted from 1. Without an answer a name does not exist.
type dnsAnswers func(name string, n int) []netip.Addr

// serveDNS starts a name server on loopback and returns a resolver that asks it and nobody else. The names
// servfail.example and silent.example do what they say.
func serveDNS(t testing.TB, answers dnsAnswers) *net.Resolver {
	t.Helper()
	return serveDNSOf(t, func(dnsmessage.Question) bool { return true }, answers)
}

// serveDNSOf answers only the questions that it wants to.
func serveDNSOf(t testing.TB, wants func(dnsmessage.Question) bool, answers dnsAnswers) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { answerDNS(conn, wants, answers) })
	ended, end := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		end()
		require.NoError(t, conn.Close())
		running.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		asking, err := (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		if err == nil {
			// The resolver waits 5 s for a silent server, also for nobody.
			context.AfterFunc(ended, func() { asking.Close() })
		}
		return asking, err
	}}
}

func answerDNS(conn net.PacketConn, wants func(dnsmessage.Question) bool, answers dnsAnswers) {
	asked := map[string]int{}
	packet := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(packet[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		question := query.Questions[0]
		name := strings.TrimSuffix(question.Name.String(), ".")
		key := name + question.Type.String()
		asked[key]++
		if name == "silent.example" || !wants(question) {
			continue
		}
		reply := dnsReply(query.ID, question, answers(name, asked[key]))
		if strings.HasSuffix(name, "servfail.example") {
			reply.RCode = dnsmessage.RCodeServerFailure
		}
		packed, err := reply.Pack()
		if err != nil {
			return
		}
		if _, err := conn.WriteTo(packed, from); err != nil {
			return
		}
	}
}

func dnsReply(id uint16, question dnsmessage.Question, addrs []netip.Addr) dnsmessage.Message {
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	if len(addrs) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		var body dnsmessage.ResourceBody
		switch {
		case a.Is4() && question.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && question.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		reply.Answers = append(reply.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}, Body: body,
		})
	}
	return reply
}

// always answers each name with the same addresses.
func always(addrs ...string) dnsAnswers {
	parsed := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		parsed[i] = netip.MustParseAddr(a)
	}
	return func(name string, _ int) []netip.Addr {
		if strings.HasPrefix(name, "gone.") {
			return nil
		}
		return parsed
	}
}
