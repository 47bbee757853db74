package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
)

const (
	// receiverPort is the one in the pages' receivers; in a test each has its own.
	receiverPort = "9100"

	// receiverPatience bounds each wait: a machine that is busy with other packages' tests is slow.
	receiverPatience = 2 * time.Minute

	// stallLimit is how long a receiver may bear a request that has stopped. The pages say 10 s; servers look every few
	// seconds.
	stallLimit = time.Minute

	// stalls is how many requests stop in the middle of their headers, and how many in the middle of their bodies: more
	// than any of the servers has threads.
	stalls = 8
)

// mayStall lists receivers whose server has no timeout for headers, which their page says; true: nor for bodies.
//
//nolint:gochecknoglobals // a constant list
var mayStall = map[string]bool{
	"python3 receive_fastapi.py":                                      false,
	"PHP_CLI_SERVER_WORKERS=4 exec php -S 127.0.0.1:9100 receive.php": true,
}

// TestReceivers runs each receiver of the pages and sends it what a receiver must bear, all at the same time.
//
//nolint:tparallel // the subtest Requests ends when all have been made
func TestReceivers(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("receiving-*.md")
	require.NoError(t, err)
	sender, tables := newSender(t), inboxTable(t)

	var receivers []*receiver
	var commands []string
	for _, path := range pages {
		blocks, err := parsePage(path, path)
		require.NoError(t, err)
		for _, b := range blocks {
			if b.receives != "" {
				r := &receiver{block: b, files: blocks, databaseURL: dbtest.Empty(t), stored: map[string]string{}}
				t.Cleanup(r.stop) // before its database goes
				receivers, commands = append(receivers, r), append(commands, b.receives)
			}
		}
	}
	require.NotEmpty(t, receivers)
	require.Subset(t, commands, slices.Collect(maps.Keys(mayStall)))

	t.Run("Requests", func(t *testing.T) {
		for _, r := range receivers {
			t.Run(r.block.receives, func(t *testing.T) {
				t.Parallel()
				if r.block.needs != "" && !has(t, r.block, map[string]bool{}) {
					t.Skipf("%s is not run: this fails here: %s", r.block, r.block.needs)
				}
				r.start(t, tables)
				r.stall(t)
				sender.requireDelivered(t, r)
				r.requireCalls(t)
				r.requireWork(t)
			})
		}
	})

	// By now most of the requests that stopped have been waiting for long.
	for _, r := range receivers {
		r.requireStalledEnd(t)
	}
}

// inboxTable returns the statements of docs/receiving.md that make the table.
func inboxTable(t *testing.T) string {
	t.Helper()
	blocks, err := parsePage("receiving.md", "receiving.md")
	require.NoError(t, err)
	i := slices.IndexFunc(blocks, func(b block) bool { return strings.Contains(b.text, "CREATE TABLE webhook_inbox") })
	require.GreaterOrEqual(t, i, 0)
	return blocks[i].text
}

// receiver is a program of a page, with a database of its own.
type receiver struct {
	block       block
	files       []block
	databaseURL string

	address, dir string
	cmd          *exec.Cmd
	ended        chan struct{} // closed when the program has ended
	halves       []half

	calls  int               // how many webhooks were made: for their ids and invoices
	stored map[string]string // what must be in the inbox: bodies by id
	paid   []int             // the invoices that must be paid
}

// half is a connection with a request that has stopped.
type half struct {
	net.Conn

	opened  time.Time
	headers bool // it stopped in its headers
}

// start runs the program. It goes on until stop.
func (r *receiver) start(t *testing.T, tables string) {
	t.Helper()
	exec1(t, r.databaseURL, tables+`; CREATE TABLE invoices (id bigint PRIMARY KEY, paid boolean NOT NULL DEFAULT false);
		INSERT INTO invoices SELECT generate_series(1, 999)`)
	var err error
	r.dir, err = os.MkdirTemp("", "outhook-receiver-*") //nolint:usetesting // the program outlives this subtest
	require.NoError(t, err)
	r.address = freeAddress(t)
	r.write(t)
	r.run(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.printed())
		}
	})

	deadline := time.Now().Add(receiverPatience)
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address)
		if err == nil {
			conn.Close()
			return
		}
		require.True(t, time.Now().Before(deadline), "it does not listen")
		select {
		case <-r.ended:
			require.FailNow(t, "it ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// write puts the files of the page, and what stands in for a framework, into the program's folder.
func (r *receiver) write(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(r.address)
	require.NoError(t, err)
	files := map[string]string{}
	for _, b := range r.files {
		files[b.file] = b.text
	}
	delete(files, "")
	frameworks, err := os.ReadDir(filepath.Join("testdata", "receivers"))
	require.NoError(t, err)
	for _, entry := range frameworks {
		text, err := os.ReadFile(filepath.Join("testdata", "receivers", entry.Name()))
		require.NoError(t, err)
		files[entry.Name()] = string(text)
	}

	for name, text := range files {
		path := filepath.Join(r.dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, receiverPort, port)), 0o600))
	}
	modules, err := filepath.Abs(filepath.Join("..", "jobs", "testdata", "node", "node_modules"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(modules, filepath.Join(r.dir, "node_modules")))
}

func (r *receiver) run(t *testing.T) {
	t.Helper()
	command := strings.ReplaceAll(r.block.receives, receiverPort, r.address[strings.LastIndexByte(r.address, ':')+1:])
	if file, isGo := strings.CutPrefix(command, "go run "); isGo {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(r.dir, "receiver"), filepath.Join(r.dir, file))
		build.Dir = ".."
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
		command = "./receiver"
	}
	output, err := os.Create(filepath.Join(r.dir, "output"))
	require.NoError(t, err)

	r.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "-c", command)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, output, output
	r.cmd.Env = append(cleanEnvironment(), "PATH="+searchPath(""), "HOME="+r.dir, "LANG=C.UTF-8",
		"DATABASE_URL="+r.databaseURL, "JDBC_DATABASE_URL="+jdbcURL(t, r.databaseURL), "WEBHOOK_SECRET="+newSecret+","+oldSecret)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, r.cmd.Start())
	require.NoError(t, output.Close()) // the program has it
	r.ended = make(chan struct{})
	go func() {
		_ = r.cmd.Wait() // it was killed
		close(r.ended)
	}()
}

// jdbcURL returns the URL as Java's driver knows it.
func jdbcURL(t *testing.T, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	password, _ := u.User.Password()
	return fmt.Sprintf("jdbc:postgresql://%s%s?user=%s&password=%s",
		u.Host, u.Path, url.QueryEscape(u.User.Username()), url.QueryEscape(password))
}

// stop ends the program and all that it has started.
func (r *receiver) stop() {
	for _, h := range r.halves {
		h.Close()
	}
	if r.cmd != nil {
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-r.ended
	}
	_ = os.RemoveAll(r.dir)
}

// printed returns the end of what the program has printed.
func (r *receiver) printed() string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "output")) // the test fails for another reason
	return string(text[max(0, len(text)-8000):])
}

func (r *receiver) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(receiverPatience)))
	return conn
}

// stall begins requests that never end.
func (r *receiver) stall(t *testing.T) {
	t.Helper()
	for i := range 2 * stalls {
		h := half{Conn: r.dial(t), opened: time.Now(), headers: i%2 == 0}
		text := "POST /webhooks HTTP/1.1\r\nHost: " + r.address + "\r\nContent-Type: application/json\r\nWebhook-Id: stalled"
		if !h.headers {
			text += "\r\nContent-Length: 1000\r\n\r\n{\"type\":"
		}
		_, err := io.WriteString(h, text)
		require.NoError(t, err)
		r.halves = append(r.halves, h)
	}
}

// requireStalledEnd waits until the receiver has closed the connections of requests that have stopped.
func (r *receiver) requireStalledEnd(t *testing.T) {
	t.Helper()
	for _, h := range r.halves {
		if bodies, may := mayStall[r.block.receives]; may && (bodies || h.headers) {
			continue
		}
		deadline := h.opened.Add(stallLimit)
		if soon := time.Now().Add(time.Second); deadline.Before(soon) {
			deadline = soon
		}
		require.NoError(t, h.SetDeadline(deadline))
		_, err := io.Copy(io.Discard, h)
		var timeout net.Error
		require.False(t, errors.As(err, &timeout) && timeout.Timeout(),
			"%s: a request that stopped (in its headers: %v) is borne for %v", r.block.receives, h.headers, stallLimit)
	}
}

// sender is Outhook: what an application publishes, a worker delivers.
type sender struct {
	pool *pgxpool.Pool
	api  http.Handler
}

func newSender(t *testing.T) *sender {
	t.Helper()
	pool := dbtest.New(t)
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	client, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	t.Cleanup(client.Close)

	workers := jobs.DefaultConfig()
	workers.Pool, workers.Deliver.Keyring, workers.Deliver.Egress, workers.Deliver.Version = pool, keyring, client, "test"
	worker, err := jobs.New(workers)
	require.NoError(t, err)
	require.NoError(t, worker.Start(t.Context()))

	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Keyring, cfg.Access.APIKey, cfg.Version = pool, keyring, apiKey, "test"
	cfg.Checks.URL, cfg.Checks.Schema = client.CheckURL, func(context.Context) error { return nil }
	server, err := api.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), receiverPatience)
		defer cancel()
		require.NoError(t, server.Close(ctx))
		require.NoError(t, worker.Stop(ctx))
	})
	return &sender{pool: pool, api: server}
}

// requireDelivered lets Outhook deliver an event to the receiver at the first attempt.
func (s *sender) requireDelivered(t *testing.T, r *receiver) {
	t.Helper()
	ctx, tenant := t.Context(), r.block.receives
	endpoint, err := json.Marshal(map[string]any{
		"tenant_id": tenant, "url": "http://" + r.address + "/webhooks", "secret": newSecret, "timeout_ms": 30_000,
	})
	require.NoError(t, err)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/endpoints", bytes.NewReader(endpoint))
	req.Header.Set("authorization", "Bearer "+apiKey)
	req.Header.Set("content-type", "application/json")
	answer := httptest.NewRecorder()
	s.api.ServeHTTP(answer, req)
	require.Equal(t, http.StatusCreated, answer.Code, answer.Body)

	n := r.next()
	paid := outhook.Envelope[map[string]int]{Type: "invoice.paid", Timestamp: time.Now(), Data: map[string]int{"id": n}}
	event, err := paid.Event(tenant)
	require.NoError(t, err)
	var result outhook.Result
	require.NoError(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		result, err = outhook.Enqueue(ctx, tx, event)
		return err
	}))
	r.stored[result.ID], r.paid = string(event.Payload), append(r.paid, n)

	const tried = `SELECT concat_ws(' ', state, attempt_count) FROM outhook.deliveries WHERE event_id = $1`
	var outcome string
	eventually(t, func() bool {
		require.NoError(t, s.pool.QueryRow(ctx, tried, result.ID).Scan(&outcome))
		return outcome != "pending 0"
	})
	require.Equal(t, "succeeded 1", outcome)
}

// eventually waits until something holds.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(receiverPatience)
	for !holds() {
		require.True(t, time.Now().Before(deadline), "not in time")
		<-time.After(20 * time.Millisecond)
	}
}
