//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/migrations"
)

// testClient waits for longer than the API takes to give up.
var testClient = &http.Client{Timeout: 40 * time.Second} //nolint:gochecknoglobals // tests share its connections

// maxLines is how many warnings and errors one trouble may leave in a process's log: a few per message and 10 s.
const maxLines = 100

// troubled is a process that serves API and workers, by way of a proxy on a server of its own that is given trouble, a
// receiver and clients that never stop posting.
type troubled struct {
	server   *localpg.Server
	direct   *pgxpool.Pool // past the proxy
	proxy    *toxiproxy.Proxy
	process  *worker
	receiver *arrivals
	posts    *posts
}

// arrivals is a receiver that notes which events arrived.
type arrivals struct {
	*httptest.Server

	mu   sync.Mutex
	seen map[string]int // by event id
}

func newArrivals(t *testing.T) *arrivals {
	t.Helper()
	a := &arrivals{seen: make(map[string]int)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen[r.Header.Get("webhook-id")]++
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *arrivals) missing(ids []string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, id := range ids {
		if a.seen[id] == 0 {
			n++
		}
	}
	return n
}

// duplicates counts the requests beyond the first of each event.
func (a *arrivals) duplicates() int { return a.requests() - len(a.seen) }

func (a *arrivals) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, times := range a.seen {
		n += times
	}
	return n
}

// posts is what clients were answered.
type posts struct {
	mu       sync.Mutex
	accepted []string       // ids of events
	statuses map[int]int    // 0: no answer
	wrong    map[string]int // answers that are neither an acceptance nor a clean refusal
}

// post posts an event and notes the answer.
func (p *posts) post(ctx context.Context, api, key string) (status int) {
	body := fmt.Sprintf(`{"tenant_id":"acme","type":"a.b","payload":{},"idempotency_key":%q}`, key)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/api/events", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+testAPIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := testClient.Do(req)
	var answer struct{ ID string }
	var text []byte
	if err == nil {
		text, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		status = res.StatusCode
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		status = 0
	case status == http.StatusAccepted || status == http.StatusOK:
		if json.Unmarshal(text, &answer) != nil || answer.ID == "" {
			p.wrong["no id: "+string(text)]++
		}
		p.accepted = append(p.accepted, answer.ID)
	case status != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "":
		p.wrong[fmt.Sprintf("%d, Retry-After %q: %s", status, res.Header.Get("Retry-After"), text)]++
	}
	p.statuses[status]++
	return status
}

// keepPosting posts about 100 events a second, from several clients, until the returned function is called.
func (p *posts) keepPosting(t *testing.T, api func(client int) string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	for client := range 6 {
		group.Go(func() {
			for ctx.Err() == nil {
				p.post(context.WithoutCancel(ctx), api(client), uuid.NewString())
				select {
				case <-ctx.Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(stop)
	return stop
}

// ids returns the events that were accepted so far, those posted twice with one key twice.
func (p *posts) ids() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.accepted)
}

// awaitAccepted waits until n events have been accepted.
func awaitAccepted(t *testing.T, p *posts, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(p.ids()) >= n }, 60*time.Second, 10*time.Millisecond)
}

func newPosts() *posts { return &posts{statuses: make(map[int]int), wrong: make(map[string]int)} }

// startServer starts a Postgres of the test's own.
func startServer(t *testing.T, settings map[string]string) *localpg.Server {
	t.Helper()
	return startServerIn(t, localpg.Config{Settings: settings})
}

func startServerIn(t *testing.T, cfg localpg.Config) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 60*time.Second)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
	})
	return server
}

// subscribe migrates a database and makes an endpoint in it.
func subscribe(t *testing.T, pool *pgxpool.Pool, target string) (encryptionKey string) {
	t.Helper()
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	encryptionKey = signature.NewKey()
	keyring, err := signature.ParseKeyring(encryptionKey)
	require.NoError(t, err)
	var id [16]byte
	require.NoError(t, pool.QueryRow(t.Context(), `INSERT INTO outhook.endpoints (id, tenant_id, url, timeout_ms) VALUES (outhook.uuid_v7(), 'acme', $1, 15000)
		RETURNING id`, target).Scan(&id))
	keyID, sealed := keyring.Seal(signature.NewSecret().Bytes(), id[:])
	_, err = pool.Exec(t.Context(), `INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) VALUES ($1, $2, $3)`, id, keyID, sealed)
	require.NoError(t, err)
	return encryptionKey
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	b := &troubled{server: startServer(t, map[string]string{"max_connections": "60"}), receiver: newArrivals(t), posts: newPosts()}
	var err error
	b.direct, err = pgxpool.New(t.Context(), b.server.URL("outhook")+"&pool_max_conns=6&application_name=direct&statement_timeout=0&default_transaction_read_only=off")
	require.NoError(t, err)
	t.Cleanup(b.direct.Close)
	key := subscribe(t, b.direct, b.receiver.URL)
	u, err := url.Parse(b.server.URL("outhook"))
	require.NoError(t, err)
	b.proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "postgres", "127.0.0.1:0", u.Host)
	require.NoError(t, b.proxy.Start())
	t.Cleanup(b.proxy.Stop)
	u.Host = b.proxy.Listen
	b.process = spawnServe(t, u.String(), key)
	return b
}

// toxic adds a toxic in both directions and returns what removes it.
func (b *troubled) toxic(t *testing.T, kind string, attributes map[string]int64) (heal func()) {
	t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		body, err := json.Marshal(map[string]any{"name": kind + stream, "type": kind, "stream": stream, "attributes": attributes})
		require.NoError(t, err)
		_, err = b.proxy.Toxics.AddToxicJson(bytes.NewReader(body))
		require.NoError(t, err)
	}
	return func() {
		for _, stream := range []string{"upstream", "downstream"} {
			require.NoError(t, b.proxy.Toxics.RemoveToxic(context.WithoutCancel(t.Context()), kind+stream))
		}
	}
}

// exec runs a statement past the proxy.
func (b *troubled) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := b.direct.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
}

// awaitReady waits until /readyz answers with this status.
func (b *troubled) awaitReady(t *testing.T, status int) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.process.url()+"/readyz", http.NoBody)
		require.NoError(t, err)
		res, err := testClient.Do(req)
		if err != nil {
			last = err.Error()
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		last = fmt.Sprint(res.StatusCode, string(text))
		return res.StatusCode == status
	}, 60*time.Second, 50*time.Millisecond, "last: %s\n%s", &last, b.process.log)
}

// cutAll ends all connections of the process.
func (b *troubled) cutAll(t *testing.T) {
	t.Helper()
	b.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'outhook%'`)
}

// Each of these happens to a process under load, which must not end, accept what is not committed, flood its log, or need
// a restart.
func TestDatabaseTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct {
		begin func(*testing.T, *troubled) (end func())
		red   bool // long enough for /readyz to notice
	}{
		"Restart": {begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			require.NoError(t, b.server.Restart(t.Context()))
			return func() {}
		}},
		"Killed": {red: true, begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			require.NoError(t, b.server.Kill())
			return func() { require.NoError(t, b.server.Restart(t.Context())) }
		}},
		"Unreachable": {red: true, begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			b.proxy.Stop()
			return func() { require.NoError(t, b.proxy.Start()) }
		}},
		"HalfOpen": {red: true, begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			return b.toxic(t, "timeout", map[string]int64{"timeout": 0})
		}},
		"OutOfConnections": {red: true, begin: takeAllConnections},
		"ReadOnly": {red: true, begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			b.exec(t, `ALTER SYSTEM SET default_transaction_read_only = on`)
			b.exec(t, `SELECT pg_reload_conf()`)
			return func() {
				b.exec(t, `ALTER SYSTEM RESET default_transaction_read_only`)
				b.exec(t, `SELECT pg_reload_conf()`)
			}
		}},
		"StatementTimeout": {begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			b.exec(t, `ALTER SYSTEM SET statement_timeout = 1`)
			b.exec(t, `SELECT pg_reload_conf()`)
			<-time.After(3 * time.Second)
			return func() {
				b.exec(t, `ALTER SYSTEM RESET statement_timeout`)
				b.exec(t, `SELECT pg_reload_conf()`)
			}
		}},
		"ListenDropped": {begin: func(t *testing.T, b *troubled) func() {
			t.Helper()
			b.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%' AND application_name LIKE 'outhook%'`)
			return func() {}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTroubled(t)
			b.awaitReady(t, http.StatusOK)
			stop := b.posts.keepPosting(t, func(int) string { return b.process.url() })
			awaitAccepted(t, b.posts, 20)

			end := trouble.begin(t, b)
			if trouble.red {
				b.awaitReady(t, http.StatusServiceUnavailable)
			}
			end()

			b.awaitReady(t, http.StatusOK)
			require.Eventually(t, func() bool {
				return b.posts.post(t.Context(), b.process.url(), uuid.NewString()) == http.StatusAccepted
			}, 60*time.Second, 50*time.Millisecond, "posts are accepted again")
			stop()
			b.check(t)
		})
	}
}

// check waits until everything has been delivered and compares what clients were told with what is there.
func (b *troubled) check(t *testing.T) {
	t.Helper()
	b.posts.mu.Lock()
	defer b.posts.mu.Unlock()
	b.direct.Reset() // its idle connections may be those of a server that is gone
	t.Logf("answers by status: %v", b.posts.statuses)
	require.Empty(t, b.posts.wrong)
	require.Zero(t, b.posts.statuses[0], "requests without an answer")
	// River rescues a job whose fetch the worker never heard of, because the connection was gone, after up to 2 minutes.
	require.Eventually(t, func() bool { return b.receiver.missing(b.posts.accepted) == 0 }, 180*time.Second, 50*time.Millisecond, "%s", b.process.log)
	require.Eventually(t, func() bool {
		return count(t, b.direct, `SELECT count(*) FROM outhook.deliveries WHERE state <> 'succeeded'`) == 0
	}, 90*time.Second, 50*time.Millisecond)
	stored := count(t, b.direct, `SELECT count(*) FROM outhook.events`)
	require.GreaterOrEqual(t, stored, len(b.posts.accepted))
	require.LessOrEqual(t, stored, len(b.posts.accepted)+b.posts.statuses[http.StatusServiceUnavailable])
	lines := strings.Count(b.process.log.String(), `"level":"WARN"`) + strings.Count(b.process.log.String(), `"level":"ERROR"`)
	t.Logf("warnings and errors in the log: %d", lines)
	require.LessOrEqual(t, lines, maxLines, "%s", b.process.log)
	require.Nil(t, b.process.ProcessState, "the process ended by itself")
}

// takeAllConnections leaves none for the process.
func takeAllConnections(t *testing.T, b *troubled) func() {
	t.Helper()
	cfg, err := pgx.ParseConfig(b.server.URL("outhook") + "&application_name=greedy")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 70 {
		group.Go(func() {
			for ctx.Err() == nil {
				conn, err := pgx.ConnectConfig(ctx, cfg)
				if err != nil {
					select {
					case <-ctx.Done():
					case <-time.After(2 * time.Millisecond):
					}
					continue
				}
				<-ctx.Done()
				_ = conn.Close(context.WithoutCancel(ctx))
			}
		})
	}
	require.Eventually(t, func() bool {
		b.cutAll(t)
		return count(t, b.direct, `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'outhook%'`) == 0
	}, 60*time.Second, 20*time.Millisecond)
	end := sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(end)
	return end
}
