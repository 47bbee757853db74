//go:build unix

package egress_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/egress"
)

// zoo is a receiver of the world on a port of loopback: a program, and the files that it needs.
type zoo struct {
	program string
	args    []string
	file    string // the name of its configuration
	text    string // and what is in it: %[1]s is the address, %[2]s the folder, %[3]s the address of a backend
	tls     bool
}

// Each receiver answers with the request's webhook-id in x-request-id.
func receivers() map[string]zoo {
	const node = `const answer = (q, s) => { q.resume(); q.on('end', () => {
  s.writeHead(200, {'x-request-id': q.headers['webhook-id']}); s.end('ok') }) }
const fs = require('fs'), [host, port] = '%[1]s'.split(':')
const tls = {key: fs.readFileSync('%[2]s/key.pem'), cert: fs.readFileSync('%[2]s/cert.pem')}
`
	const nginx = `daemon off; pid %[2]s/pid; error_log %[2]s/error.log;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server { listen %[1]s `
	const nginxAnswer = ` location / { add_header x-request-id $http_webhook_id always; return 200 ok; } } }
`
	return map[string]zoo{
		"Node":      {program: "node", args: []string{"receiver.js"}, file: "receiver.js", text: node + "require('http').createServer(answer).listen(port, host)"},
		"NodeHTTP2": {program: "node", args: []string{"receiver.js"}, file: "receiver.js", tls: true, text: node + "require('http2').createSecureServer(tls, answer).listen(port, host)"},
		"Python": {program: "python3", args: []string{"receiver.py"}, file: "receiver.py", text: `from http.server import *
class H(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def do_POST(self):
        self.rfile.read(int(self.headers['content-length']))
        self.send_response(200)
        self.send_header('x-request-id', self.headers['webhook-id'])
        self.send_header('content-length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
host, port = '%[1]s'.split(':')
ThreadingHTTPServer((host, int(port)), H).serve_forever()
`},
		"Nginx": {program: "nginx", args: []string{"-c", "nginx.conf"}, file: "nginx.conf", text: nginx + ";" + nginxAnswer},
		"NginxHTTP2": {program: "nginx", args: []string{"-c", "nginx.conf"}, file: "nginx.conf", tls: true, text: nginx +
			"ssl http2; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem;" + nginxAnswer},
		"Apache": {program: "apache2", args: []string{"-X", "-f", "httpd.conf"}, file: "httpd.conf", text: `ServerRoot %[2]s
Listen %[1]s
PidFile %[2]s/pid
ErrorLog %[2]s/error.log
ServerName zoo
DocumentRoot %[2]s/www
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
Header always set x-request-id "expr=%%{HTTP:webhook-id}"
`},
		"HAProxy": {program: "haproxy", args: []string{"-db", "-f", "haproxy.cfg"}, file: "haproxy.cfg", text: `global
  log stderr format raw local0 emerg
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
listen zoo
  bind %[1]s
  server backend %[3]s
`},
	}
}

// startZoo starts a receiver and returns its URL and its process.
func startZoo(t *testing.T, a *authority, z zoo, backend string) (string, *os.Process) {
	t.Helper()
	program, err := exec.LookPath(z.program)
	dbtest.RequireTool(t, z.program, err == nil)

	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755)) // nginx' and Apache's workers are somebody else
	require.NoError(t, os.Mkdir(filepath.Join(dir, "www"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "www", "index.html"), []byte("ok"), 0o644))
	writeCertificate(t, a, dir)
	address := freeLoopback(t)
	text := fmt.Sprintf(z.text+"%.0[1]s%.0[2]s%.0[3]s", address, dir, backend)
	require.NoError(t, os.WriteFile(filepath.Join(dir, z.file), []byte(text), 0o600))

	var args []string
	for _, arg := range z.args {
		if arg == z.file {
			arg = filepath.Join(dir, z.file)
		}
		args = append(args, arg)
	}
	var output bytes.Buffer
	cmd := exec.Command(program, args...) //nolint:noctx // ended below
	cmd.Stdout, cmd.Stderr, cmd.Dir = &output, &output, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address) //nolint:noctx // on loopback
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)

	scheme := "http://"
	if z.tls {
		scheme = "https://"
	}
	return scheme + address + "/index.html", cmd.Process
}

func writeCertificate(t *testing.T, a *authority, dir string) {
	t.Helper()
	cert := a.config(t, "127.0.0.1", time.Now().Add(time.Hour)).Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	for name, block := range map[string]pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600))
	}
}

// zooEvents is how many events each receiver gets: 1,000 with OUTHOOK_TEST_LOAD=all.
func zooEvents() int {
	if os.Getenv("OUTHOOK_TEST_LOAD") == "all" {
		return 1000
	}
	return 300
}

// tally is what became of many requests. A wrong one has another's answer.
type tally struct{ succeeded, rejected, failed, wrong atomic.Int64 }

// deliver sends n events on some connections at a rate a second, 0: as fast as they go.
func deliver(t *testing.T, client *egress.Client, url string, n, publishers, rate int, got *tally) {
	t.Helper()
	next := make(chan int)
	var running sync.WaitGroup
	for range publishers {
		running.Go(func() {
			for i := range next {
				id := fmt.Sprint("evt-", i)
				res := client.Post(t.Context(), egress.Request{
					URL: url, Body: []byte(`{"n":"` + id + `"}`), Tenant: fmt.Sprint(i % 2),
					Header: http.Header{"Webhook-Id": {id}, "Content-Type": {"application/json"}},
				})
				switch {
				case res.Outcome == egress.Succeeded && res.Header.Get("X-Request-Id") != id:
					got.wrong.Add(1)
				case res.Outcome == egress.Succeeded:
					got.succeeded.Add(1)
				case res.Outcome == egress.Rejected:
					got.rejected.Add(1)
				default:
					got.failed.Add(1)
					t.Log(res.Error)
				}
			}
		})
	}

	tick := make(<-chan time.Time)
	if rate > 0 {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		tick = ticker.C
	}
	for i := range n {
		if rate > 0 {
			<-tick
		}
		next <- i
	}
	close(next)
	running.Wait()
}

// Real receivers with their usual settings get each event, and each answer counts for its own request.
func TestZoo(t *testing.T) {
	t.Parallel()
	for name, z := range receivers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			backend := &restarted{}
			if name == "HAProxy" {
				backend.start(t)
			}
			url, _ := startZoo(t, a, z, backend.address)
			client := setup(t, egress.Config{RootCAs: a.pool})
			var got tally
			deliver(t, client, url, zooEvents(), 16, 0, &got)
			require.Zero(t, got.wrong.Load())
			if name != "HAProxy" {
				// While its backend is away it says 502 and 503, or closes a connection that it has used before without an answer.
				require.Zero(t, got.failed.Load()+got.rejected.Load())
			}
			require.GreaterOrEqual(t, got.succeeded.Load(), int64(zooEvents()/3))
		})
	}
}

// restarted is a backend that closes all its connections again and again.
type restarted struct{ address string }

func (b *restarted) start(t *testing.T) {
	t.Helper()
	b.address = freeLoopback(t)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			var served atomic.Int64
			again := make(chan struct{})
			server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("X-Request-Id", r.Header.Get("Webhook-Id"))
				if served.Add(1) == 50 {
					close(again)
				}
			})}
			listener, err := net.Listen("tcp", b.address) //nolint:noctx // on loopback
			if err != nil {
				continue
			}
			running.Go(func() { _ = server.Serve(listener) })
			select {
			case <-again:
			case <-ctx.Done():
			}
			_ = server.Close()
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", b.address) //nolint:noctx // on loopback
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 5*time.Second, time.Millisecond)
}

// nginx with its usual settings closes a connection after 1,000 requests, and all when it is told to read its
// configuration again. HTTP/2 says which requests it has not seen; HTTP/1.1 has no way to.
func TestNginxReload(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int64{"NginxHTTP2": 0, "Nginx": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			url, process := startZoo(t, a, receivers()[name], "")
			client := setup(t, egress.Config{RootCAs: a.pool})
			var got tally
			for range 2 {
				deliver(t, client, url, 1200, 16, 450, &got)
				require.NoError(t, process.Signal(syscall.SIGHUP))
			}
			deliver(t, client, url, 1600, 16, 450, &got)
			t.Logf("%d succeeded, %d failed", got.succeeded.Load(), got.failed.Load())
			require.Zero(t, got.wrong.Load()+got.rejected.Load())
			require.LessOrEqual(t, got.failed.Load(), lost)
		})
	}
}
