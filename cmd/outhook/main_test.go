package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/migrations"
)

const testAPIKey = "an-admin-key-for-tests"

// runMain makes the test binary the command itself: for tests that kill or pause real processes.
const runMain = "OUTHOOK_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	// bench starts processes of its own program, which in a test is the test.
	if os.Getenv(runMain) != "" || len(os.Args) > 1 && slices.Contains([]string{"serve", "migrate", bench.ChildCommand}, os.Args[1]) {
		main()
	}
	dbtest.Main(m)
}

// process is a command that runs in this process, as main runs it.
type process struct {
	lines  chan string // of stdout
	stderr *syncBuffer
	stop   context.CancelFunc
	done   chan struct{}
	err    error
	code   int // that it must end with
}

// start runs a command. It is stopped, and must end without an error (or with its code), at the end of the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &process{lines: make(chan string, 1000), stderr: &syncBuffer{}, stop: cancel, done: make(chan struct{})}
	r, w := io.Pipe()
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	go func() {
		defer close(p.done)
		p.err = run(ctx, args, w, p.stderr)
		_ = w.Close()
	}()
	t.Cleanup(func() {
		err := p.end(t)
		require.Equal(t, p.code, codeOf(err), "%v", err)
	})
	return p
}

// end stops the command and returns its error.
func (p *process) end(t *testing.T) error {
	t.Helper()
	p.stop()
	select {
	case <-p.done:
		return p.err
	case <-time.After(60 * time.Second):
		require.FailNow(t, "the command did not stop", p.stderr.String())
		return nil
	}
}

// line returns the first line of stdout from here on that contains part.
func (p *process) line(t *testing.T, part string) string {
	t.Helper()
	timeout := time.After(4 * time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				<-p.done
				require.FailNow(t, "the command ended", "error: %v\n%s", p.err, p.stderr.String())
			}
			if strings.Contains(line, part) {
				return line
			}
		case <-timeout:
			require.FailNow(t, "not in time: "+part, p.stderr.String())
		}
	}
}

// address returns the address in the log line that says that the server listens.
func (p *process) address(t *testing.T) string {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		if _, rest, ok := strings.Cut(p.stderr.String(), `"address":"`); ok {
			address, _, _ := strings.Cut(rest, `"`)
			return "http://" + address
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.done:
			require.FailNow(t, "the command ended", "error: %v\n%s", p.err, p.stderr.String())
		case <-deadline:
			require.FailNow(t, "not in time", p.stderr.String())
		}
	}
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// output runs a command to its end and returns what it wrote to stdout.
func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	err := run(t.Context(), args, &stdout, io.Discard)
	return stdout.String(), err
}

// call calls the API and returns the status and the decoded answer.
func call(t *testing.T, method, url, key, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	answer := map[string]any{}
	if len(data) > 0 {
		require.NoError(t, json.Unmarshal(data, &answer), string(data))
	}
	return res.StatusCode, answer
}

// migrated returns the URL of a migrated database of the test's own.
func migrated(t *testing.T) string {
	t.Helper()
	return dbtest.NewURL(t)
}

func serveArgs(url string, more ...string) []string {
	return append([]string{
		"serve", "--database-url", url, "--listen", "127.0.0.1:0", "--api-key", testAPIKey,
		"--encryption-key", signature.NewKey(), "--egress-allow", "127.0.0.0/8",
		"--egress-ports", "any", "--egress-allow-http", "true",
	}, more...)
}

func TestDevRunsTheMainJob(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	args := []string{"dev", "--data-dir", dir, "--listen", "127.0.0.1:0"}
	waiting := start(t, "dev", "--wait", "--data-dir", dir)
	dev := start(t, args...)
	base, key := field(dev.line(t, "API "), 1), field(dev.line(t, "API key"), 2)
	base = strings.TrimSuffix(base, "/api")
	database := field(dev.line(t, "Database "), 1)
	exports := devAddress{URL: base, APIKey: key, DatabaseURL: database}.exports("")
	require.Equal(t, strings.Split(exports, "\n")[0], waiting.line(t, "export OUTHOOK_URL"))
	require.Equal(t, "export DATABASE_URL='"+database+"'", waiting.line(t, "export DATABASE_URL"))
	<-waiting.done
	require.NoError(t, waiting.err)
	secret := field(dev.line(t, "listen --secret"), 5)

	listener := start(t, "listen", "--secret", secret, "--address", "127.0.0.1:0", "--fail-first", "1")
	receiver := field(listener.line(t, "receiving on"), 2)
	status, answer := call(t, http.MethodPost, base+"/api/endpoints", key,
		`{"tenant_id": "acme", "url": "`+receiver+`", "secret": "`+secret+`", "retry_schedule": ["1s"]}`)
	require.Equal(t, http.StatusCreated, status, answer)
	status, answer = call(t, http.MethodPost, base+"/api/events", key,
		`{"tenant_id": "acme", "type": "invoice.paid", "payload": {"amount": 4200}}`)
	require.Equal(t, http.StatusAccepted, status, answer)
	require.InDelta(t, 1, answer["delivery_count"], 0)
	require.Contains(t, listener.line(t, "attempt 1"), "answered 500")
	require.Contains(t, listener.line(t, "attempt 2"), "answered 204  signature valid")
	require.Contains(t, listener.line(t, "amount"), `{"amount": 4200}`)

	// A second dev on the folder is told so; after a stop the folder, with its key and its events, is used again.
	_, err := output(t, args...)
	require.ErrorContains(t, err, "--data-dir")
	kept, err := os.ReadFile(filepath.Join(dir, "database-url"))
	require.NoError(t, err)
	require.Equal(t, database+"\n", string(kept))
	require.NoError(t, dev.end(t))
	require.NoFileExists(t, filepath.Join(dir, "database-url"))
	require.NoFileExists(t, filepath.Join(dir, runningFile))

	// The database is where it was.
	again := start(t, args...)
	base = strings.TrimSuffix(field(again.line(t, "API "), 1), "/api")
	require.Equal(t, key, field(again.line(t, "API key"), 2))
	require.Equal(t, database, field(again.line(t, "Database "), 1))
	status, answer = call(t, http.MethodGet, base+"/api/events?tenant_id=acme", key, "")
	require.Equal(t, http.StatusOK, status)
	require.Len(t, answer["items"], 1)
	require.NoError(t, again.end(t))

	// With --reset it is empty, and the keys are the same.
	empty := start(t, append(args, "--reset")...)
	base = strings.TrimSuffix(field(empty.line(t, "API "), 1), "/api")
	require.Equal(t, key, field(empty.line(t, "API key"), 2))
	status, answer = call(t, http.MethodGet, base+"/api/events?tenant_id=acme", key, "")
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, answer["items"])
}

func TestDevKeepsNothingIfAsked(t *testing.T) {
	t.Parallel()
	dev := start(t, "dev", "--ephemeral", "--listen", "127.0.0.1:0")
	database := field(dev.line(t, "Database "), 1)
	require.Contains(t, dev.line(t, "export DATABASE_URL"), database)
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	var folder string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting('data_directory')`).Scan(&folder))
	require.DirExists(t, folder)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, dev.end(t))
	require.NoDirExists(t, folder)

	_, err = output(t, "dev", "--ephemeral", "--database-url", database)
	require.ErrorContains(t, err, "--database-url")
}

// One command from a fresh clone to a delivery, and again on the same folder, where the endpoints are there already.
func TestDevDemoDelivers(t *testing.T) {
	t.Parallel()
	dir := reachableDir(t)
	url := migrated(t)
	for range 2 {
		dev := start(t, "dev", "--demo", "--database-url", url, "--data-dir", dir, "--listen", "127.0.0.1:0")
		require.Contains(t, dev.line(t, "signature valid"), "invoice.paid")
		require.Contains(t, dev.line(t, "Console "), "/console/enter#")
		require.NoError(t, dev.end(t))
	}
}

// reachableDir is a temporary folder that the user who runs the database can reach, also where we are root: t.TempDir is
// below a folder that only we can enter.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outhook-dev-test-*") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func field(line string, i int) string { return strings.Fields(line)[i] }

func TestServe(t *testing.T) {
	t.Parallel()

	t.Run("SplitsIntoRoles", func(t *testing.T) {
		t.Parallel()
		url := migrated(t)
		args := serveArgs(url)
		apiOnly := start(t, append(args, "--roles", "api")...)
		base := apiOnly.address(t)
		listener := start(t, "listen", "--address", "127.0.0.1:0")
		receiver := field(listener.line(t, "receiving on"), 2)
		status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver+`"}`)
		require.Equal(t, http.StatusCreated, status, answer)
		status, _ = call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id": "acme", "type": "a.b", "payload": 1}`)
		require.Equal(t, http.StatusAccepted, status)
		status, _ = call(t, http.MethodGet, base+"/readyz", "", "")
		require.Equal(t, http.StatusOK, status)

		worker := start(t, append(args, "--roles", "worker")...)
		listener.line(t, "attempt 1")
		status, _ = call(t, http.MethodPost, worker.address(t)+"/api/events", testAPIKey, `{}`)
		require.Equal(t, http.StatusNotFound, status)
		workerBase := worker.address(t)
		require.Eventually(t, func() bool {
			status, _ := call(t, http.MethodGet, workerBase+"/readyz", "", "")
			return status == http.StatusOK
		}, 20*time.Second, 50*time.Millisecond)
		out, err := output(t, "health", "--listen", strings.TrimPrefix(workerBase, "http://"))
		require.NoError(t, err)
		require.Equal(t, "ready\n", out)
	})

	t.Run("NeverMigrates", func(t *testing.T) {
		t.Parallel()
		_, err := output(t, serveArgs(dbtest.Empty(t))...)
		require.ErrorIs(t, err, migrations.ErrSchemaTooOld)
		require.ErrorContains(t, err, "outhook migrate up")
	})

	t.Run("RefusesWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		for _, tc := range []struct {
			flags []string
			want  string
		}{
			{[]string{"--retry-schedule", "soon"}, "OUTHOOK_RETRY_SCHEDULE"},
			{[]string{"--retry-jitter=-0.1"}, "OUTHOOK_RETRY_JITTER must be a number from 0 to 1"},
			{[]string{"--retry-jitter", "10"}, "OUTHOOK_RETRY_JITTER"},
			{[]string{"--retry-jitter", "NaN"}, "OUTHOOK_RETRY_JITTER"},
			{[]string{"--egress-allow", "everything"}, "OUTHOOK_EGRESS_ALLOW"},
			{[]string{"--egress-ports", "http"}, "OUTHOOK_EGRESS_PORTS"},
			{[]string{"--egress-allow-http", "yes"}, "egress-allow-http"},
			{[]string{"--egress-ca-file", "/no/such/file"}, "OUTHOOK_EGRESS_CA_FILE"},
			{[]string{"--encryption-key", ""}, "OUTHOOK_ENCRYPTION_KEY"},
			{[]string{"--encryption-key", "c2hvcnQ="}, "OUTHOOK_ENCRYPTION_KEY"},
			{[]string{"--api-key", "short"}, "OUTHOOK_API_KEY"},
			{[]string{"--roles", "cook"}, "OUTHOOK_ROLES"},
			{[]string{"--response-bytes", "16385"}, "OUTHOOK_RESPONSE_BYTES"},
			{[]string{"--max-workers", "0"}, "OUTHOOK_MAX_WORKERS"},
			{[]string{"--max-payload-bytes", "262145"}, "OUTHOOK_MAX_PAYLOAD_BYTES"},
			{[]string{"--failed-logins=-1"}, "OUTHOOK_FAILED_LOGINS"},
			{[]string{"--rate-limit=-1"}, "OUTHOOK_RATE_LIMIT"},
			{[]string{"--rate-limit", "NaN"}, "OUTHOOK_RATE_LIMIT"},
			{[]string{"--trusted-proxies", "everything"}, "OUTHOOK_TRUSTED_PROXIES"},
			{[]string{"--oidc-issuer", "http://login.example.com"}, "OUTHOOK_OIDC_ISSUER must begin with https://"},
			{[]string{"--oidc-client-secret", "hunter2"}, "OUTHOOK_OIDC_ISSUER is missing"},
			{people("--oidc-roles", "ops=publish"), "OUTHOOK_OIDC_ROLES"},
			{people("--oidc-roles", ""), "OUTHOOK_OIDC_ROLES is missing"},
			{people("--oidc-client-id", ""), "OUTHOOK_OIDC_CLIENT_ID is missing"},
			{people("--oidc-scopes", "email"), "OUTHOOK_OIDC_SCOPES must have openid"},
			{people("--oidc-groups-claim", ""), "OUTHOOK_OIDC_GROUPS_CLAIM is missing"},
			{people("--oidc-name-claim", ""), "OUTHOOK_OIDC_NAME_CLAIM is missing"},
			{people("--public-url", "https://example.com/outhook"), "OUTHOOK_PUBLIC_URL must have no path"},
			{[]string{"--database-url", "postgres://user:hunter2@[bad"}, "OUTHOOK_DATABASE_URL"},
			{[]string{"--no-such-flag"}, "no-such-flag"},
		} {
			_, err := output(t, serveArgs("postgres://127.0.0.1:1/none", tc.flags...)...)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "c2hvcnQ")
		}
	})

	t.Run("RefusesToStartWithoutAKey", func(t *testing.T) {
		t.Parallel()
		_, err := output(t, serveArgs(migrated(t), "--api-key", "")...)
		require.ErrorContains(t, err, "OUTHOOK_API_KEY")
	})
}

// people returns the flags of an identity provider, with one of them otherwise.
func people(flag, value string) []string {
	return []string{
		"--oidc-issuer", "https://login.example.com", "--oidc-client-id", "outhook", "--oidc-roles", "ops=operate",
		"--public-url", "https://outhook.example.com", flag + "=" + value,
	}
}

func TestServeLimitsWhatAClientMaySend(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	base := start(t, serveArgs(url, "--roles", "api", "--failed-logins", "2", "--trusted-proxies", "127.0.0.0/8")...).address(t)
	try := func(key, from string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/events", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("X-Forwarded-For", from)
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, try("one", "203.0.113.7"))
	require.Equal(t, http.StatusUnauthorized, try("two", "203.0.113.7"))
	require.Equal(t, http.StatusTooManyRequests, try("three", "203.0.113.7"))
	require.Equal(t, http.StatusOK, try(testAPIKey, "203.0.113.7"))
	require.Equal(t, http.StatusOK, try(testAPIKey, "203.0.113.8"))

	limited := start(t, serveArgs(url, "--roles", "api", "--rate-limit", "0.01", "--failed-logins", "0")...).address(t)
	status, _ := call(t, http.MethodGet, limited+"/api/events", testAPIKey, "")
	require.Equal(t, http.StatusOK, status)
	status, _ = call(t, http.MethodGet, limited+"/api/events", testAPIKey, "")
	require.Equal(t, http.StatusTooManyRequests, status)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	url := dbtest.Empty(t)
	out, err := output(t, "migrate", "status", "--database-url", url)
	require.ErrorIs(t, err, exitError(1))
	require.Contains(t, out, "missing  00102_create_endpoints.sql")
	out, err = output(t, "migrate", "up", "--dry-run", "--database-url", url)
	require.NoError(t, err)
	require.Contains(t, out, "CREATE TABLE outhook.endpoints (")
	require.Contains(t, out, "CREATE OR REPLACE FUNCTION outhook.enqueue_many(")
	out, err = output(t, "migrate", "up", "--database-url", url)
	require.NoError(t, err)
	require.Contains(t, out, fmt.Sprintf("version %d\n", migrations.Latest()))
	out, err = output(t, "migrate", "status", "--database-url", url)
	require.NoError(t, err)
	require.NotContains(t, out, "missing")

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `GRANT EXECUTE ON FUNCTION outhook.rfc3339 TO PUBLIC`)
	require.NoError(t, err)
	for _, args := range [][]string{{"migrate", "status"}, {"doctor"}} {
		out, err = output(t, append(args, "--database-url", url)...)
		require.ErrorIs(t, err, exitError(1))
		require.Contains(t, out, "outhook.rfc3339(timestamp with time zone)")
	}
	_, err = output(t, serveArgs(url)...)
	require.ErrorIs(t, err, migrations.ErrPublic)
	out, err = output(t, "migrate", "up", "--dry-run", "--database-url", url)
	require.NoError(t, err)
	require.Equal(t, "REVOKE EXECUTE ON FUNCTION outhook.rfc3339(timestamp with time zone) FROM PUBLIC;\n\n", out)
	out, err = output(t, "migrate", "up", "--database-url", url)
	require.NoError(t, err)
	require.Contains(t, out, "1 functions, views and rights were not as declared")
	_, err = output(t, "doctor", "--database-url", url)
	require.NoError(t, err)

	_, err = output(t, "migrate", "down", "--database-url", url)
	require.ErrorContains(t, err, "--yes")
	out, err = output(t, "migrate", "down", "--yes", "--database-url", url)
	require.NoError(t, err)
	require.Regexp(t, `version \d+\n`, out)
	require.NotContains(t, out, fmt.Sprintf("version %d\n", migrations.Latest()))
	_, err = output(t, "migrate", "down", "--yes", "--to", "0", "--database-url", url)
	require.NoError(t, err)
	_, err = output(t, "migrate", "up")
	require.ErrorIs(t, err, errNoDatabase)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	create := func(args ...string) (string, error) {
		out, err := output(t, append([]string{"keys", "create", "--database-url", url}, args...)...)
		return strings.TrimSpace(out), err
	}
	key, err := create("ci", "--scope", "tenant", "--tenant", "acme", "--expires-in", "1h")
	require.NoError(t, err)
	_, err = output(t, serveArgs(url, "--roles", "api", "--api-key", "", "--listen", "127.0.0.1:-1")...)
	require.ErrorContains(t, err, "listening", "a key of the table is enough to start")
	server := start(t, serveArgs(url, "--roles", "api")...)
	base := server.address(t)
	status, _ := call(t, http.MethodGet, base+"/api/events", key, "")
	require.Equal(t, http.StatusOK, status)
	status, _ = call(t, http.MethodGet, base+"/api/keys", key, "")
	require.Equal(t, http.StatusForbidden, status)

	list, err := output(t, "keys", "list", "--database-url", url)
	require.NoError(t, err)
	require.Regexp(t, `tenant +acme +\S+ +20\S+ +20\S+ +- +ci\n`, list)
	require.NotContains(t, list, key)
	id := field(strings.Split(list, "\n")[1], 0)
	_, err = output(t, "keys", "revoke", id, "--database-url", url)
	require.NoError(t, err)
	status, _ = call(t, http.MethodGet, base+"/api/events", key, "")
	require.Equal(t, http.StatusUnauthorized, status)
	_, err = output(t, "keys", "revoke", id, "--database-url", url)
	require.ErrorContains(t, err, "no live key")

	_, answer := call(t, http.MethodGet, base+"/api/audit?object_id="+id, testAPIKey, "")
	items, ok := answer["items"].([]any)
	require.True(t, ok, answer)
	require.Len(t, items, 2)
	for i, action := range []string{"revoke-key", "create-key"} {
		entry, ok := items[i].(map[string]any)
		require.True(t, ok)
		require.Equal(t, action, entry["action"])
		require.Equal(t, "acme", entry["tenant_id"])
		require.Contains(t, entry["actor"], "command line: ")
		require.Nil(t, entry["source_address"])
	}

	for want, args := range map[string][]string{
		"--scope":            {"x"},
		"--tenant is":        {"x", "--scope", "tenant"},
		"--tenant must":      {"x", "--scope", "admin", "--tenant", "acme"},
		"--expires-in must":  {"x", "--scope", "read", "--expires-in=-1h"},
		"name must have":     {" ", "--scope", "read"},
		"name must be UTF-8": {"a\x00b", "--scope", "read"},
		`"root"`:             {"x", "--scope", "root"},
	} {
		_, err := create(args...)
		require.ErrorContains(t, err, want)
	}
}

// A key that has expired or was revoked opens nothing, so the API does not start with it alone.
func TestServeRefusesToStartWithDeadKeysOnly(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	_, err := output(t, "keys", "create", "x", "--scope", "admin", "--expires-in", "1ms", "--database-url", url)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := output(t, serveArgs(url, "--roles", "api", "--api-key", "", "--listen", "127.0.0.1:-1")...)
		return err != nil && strings.Contains(err.Error(), "there is no API key")
	}, 30*time.Second, 50*time.Millisecond)
}

func TestListenChecksTheSignature(t *testing.T) {
	t.Parallel()
	secret := signature.NewSecret()
	listener := start(t, "listen", "--secret", secret.Reveal(), "--address", "127.0.0.1:0", "--status", "418", "--delay", "10ms")
	url := field(listener.line(t, "receiving on"), 2)
	send := func(body string) int {
		at := time.Now()
		value, err := signature.Sign([]signature.Secret{secret}, "id", at, []byte(`{"a":1}`))
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set(signature.HeaderID, "id")
		req.Header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		req.Header.Set(signature.HeaderSignature, value)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, http.StatusTeapot, send(`{"a":1}`))
	require.Equal(t, http.StatusUnauthorized, send(`{"a":2}`))
	listener.line(t, "signature valid")
	listener.line(t, "SIGNATURE INVALID")

	// What comes from strangers moves no cursor.
	require.Equal(t, http.StatusUnauthorized, send("first\n\x1b[2Jsecond\u202ereversed"))
	listener.line(t, "  first")
	require.Equal(t, "  \ufffd[2Jsecond\ufffdreversed", listener.line(t, "second"))
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	out, err := output(t, "version")
	require.NoError(t, err)
	require.Regexp(t, `^outhook \S+\n$`, out)
	out, err = output(t, "serve", "--help")
	require.ErrorIs(t, err, exitError(0))
	require.Contains(t, out, "OUTHOOK_RETRY_SCHEDULE")
}

// contextAfter is for what a test cleans up behind its own context's end.
func contextAfter(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
}
