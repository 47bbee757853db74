package egress_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/egress"
)

// issue signs a certificate for loopback that edit has changed, and returns it with its key.
func (a *authority) issue(t testing.TB, edit func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	edit(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

// intermediate signs an authority that a receiver has to send along.
func (a *authority) intermediate(t testing.TB, until time.Time) *authority {
	t.Helper()
	cert, key := a.issue(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "test intermediate"}
		c.NotAfter, c.IPAddresses, c.ExtKeyUsage = until, nil, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return &authority{cert: cert, key: key}
}

// chain returns a server's configuration with a certificate of a and what else is sent with it.
func (a *authority) chain(t testing.TB, edit func(*x509.Certificate), more ...*authority) *tls.Config {
	t.Helper()
	cert, key := a.issue(t, edit)
	sent := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	for _, above := range more {
		sent.Certificate = append(sent.Certificate, above.cert.Raw)
	}
	return &tls.Config{Certificates: []tls.Certificate{sent}}
}

// What a person is told of a receiver's TLS names what is usually wrong, and what helps.
func TestTLSFailuresNameTheirCause(t *testing.T) {
	t.Parallel()
	a, private := newAuthority(t), newAuthority(t)
	good, late := a.intermediate(t, time.Now().Add(time.Hour)), a.intermediate(t, time.Now().Add(-time.Minute))
	foreign := private.intermediate(t, time.Now().Add(time.Hour))
	plain := func(*x509.Certificate) {}
	oldCiphers := a.chain(t, plain)
	oldCiphers.MaxVersion, oldCiphers.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	noName := a.chain(t, plain)
	noName.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, io.EOF }

	for name, c := range map[string]struct {
		server *tls.Config
		want   string
	}{
		"FullChain":           {good.chain(t, plain, good), ""},
		"MissingIntermediate": {good.chain(t, plain), "the receiver sends no intermediate certificate (it should send its full chain)"},
		"WrongIntermediate":   {good.chain(t, plain, private), "sends no intermediate"},
		"LateIntermediate":    {late.chain(t, plain, late), "tls: an intermediate certificate that the receiver sends has expired or is"},
		"PrivateAuthority":    {foreign.chain(t, plain, foreign), "tls: the certificate is signed by an unknown authority"},
		"OnlyACommonName": {
			a.chain(t, func(c *x509.Certificate) { c.IPAddresses = nil }),
			"tls: the certificate has no subject alternative name, and its common name alone does not count",
		},
		"OtherHost": {
			a.chain(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }),
			"tls: the certificate is not valid for this host",
		},
		"Expired": {
			a.chain(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), "tls: the certificate has expired on 2",
		},
		"NotYetValid": {
			a.chain(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), "tls: the certificate is not yet valid, before 2",
		},
		"ForClients": {
			a.chain(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "not made for servers",
		},
		"NoCommonCipher":     {oldCiphers, "tls: the receiver says: handshake failure (usually no cipher in common: TLS 1.2 needs ECDHE"},
		"NoCertificateForIt": {noName, "(usually it has no certificate for this host)"},
		"OnlySomeProtocol":   {withProtocols(a.chain(t, plain), "spdy/3"), "(it takes neither h2 nor http/1.1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveTLS(t, c.server, func(http.ResponseWriter, *http.Request) {})
			res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.URL)
			if c.want == "" {
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
				return
			}
			require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
			require.Contains(t, res.Error, c.want)
			require.Less(t, len(res.Error), 200, "it is not cut")
			require.False(t, res.Sent)
		})
	}
}

func withProtocols(cfg *tls.Config, protocols ...string) *tls.Config {
	cfg.NextProtos = protocols
	return cfg
}

// A server from before TLS 1.3 answers with the version that it likes, without an alert.
func TestReceiverWithOldTLSOnly(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			return
		}
		hello := "\x03\x01" + strings.Repeat("r", 32) + "\x00" + "\x00\x2f" + "\x00" // TLS 1.0, no session, AES128-SHA
		message := "\x02\x00\x00" + string(rune(len(hello))) + hello
		write(conn, "\x16\x03\x01\x00"+string(rune(len(message)))+message)
		untilClosed(conn)
	})
	res := post(t, setup(t, egress.Config{}), "https://"+receiver.address)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Equal(t, "tls: the receiver speaks TLS 1.1 or older only: it must speak TLS 1.2 or newer", res.Error)
}

// Apache and IIS ask to renegotiate when the path of a request wants a client certificate.
func TestReceiverThatRenegotiates(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	dbtest.RequireTool(t, "openssl", err == nil)
	a := newAuthority(t)
	server, err := startOpenSSL(t, openssl, a)
	require.NoError(t, err)

	results := make(chan egress.Result, 1)
	client := setup(t, egress.Config{RootCAs: a.pool})
	go func() {
		results <- client.Post(t.Context(), egress.Request{URL: "https://" + server.address + secretPath, Body: []byte("{}")})
	}()
	require.NoError(t, server.await(regexp.MustCompile(`POST (/)`)))
	write(server.stdin, "R\n")

	res := <-results
	requireSound(t, res)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Contains(t, res.Error, "tls: the receiver asks to renegotiate, which is not supported")
	require.Less(t, len(res.Error), 200, "it is not cut")
	require.True(t, res.Sent)
}

// opensslServer is openssl's s_server, which takes commands.
type opensslServer struct {
	address string
	stdin   io.Writer
	stdout  *bufio.Reader
}

func startOpenSSL(t *testing.T, openssl string, a *authority) (*opensslServer, error) {
	t.Helper()
	cert, key := a.issue(t, func(*x509.Certificate) {})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "server.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	require.NoError(t, os.WriteFile(path, text, 0o600))

	cmd := exec.CommandContext(t.Context(), openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", path, "-tls1_2")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { // the test's context has ended, and the process with it
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	})

	s := &opensslServer{stdin: stdin, stdout: bufio.NewReader(stdout)}
	s.address, err = s.find(regexp.MustCompile(`ACCEPT (\S+)`))
	return s, err
}

func (s *opensslServer) await(pattern *regexp.Regexp) error {
	_, err := s.find(pattern)
	return err
}

// find reads on until a line matches, and returns the first group.
func (s *opensslServer) find(pattern *regexp.Regexp) (string, error) {
	for {
		line, err := s.stdout.ReadString('\n')
		if err != nil {
			return "", err
		}
		if match := pattern.FindStringSubmatch(line); match != nil {
			return match[1], nil
		}
	}
}
