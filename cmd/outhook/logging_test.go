package main

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

const loggingPage = "../../docs/logging.md"

// commonMembers are those that any line may have.
func commonMembers() []string {
	return []string{"time", "level", "msg", "client_id", "omitted", "error"}
}

// runMembers are those of a delivery's lines: "the delivery's" on the page.
func runMembers() []string {
	return []string{"tenant_id", "endpoint_id", "event_id", "event_type", "attempt", "trace_id"}
}

// documentedLines returns the members of each message, as docs/logging.md has them.
func documentedLines(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(loggingPage)
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(page), "<!-- lines -->")
	table, _, _ = strings.Cut(table, "<!-- end -->")
	row, quoted := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|(.*)\\|$"), regexp.MustCompile("`([a-z_]+)`")

	lines := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		lines[m[1]] = commonMembers()
		for _, member := range quoted.FindAllStringSubmatch(m[3], -1) {
			lines[m[1]] = append(lines[m[1]], member[1])
		}
		if strings.Contains(m[3], "the delivery's,") {
			lines[m[1]] = append(lines[m[1]], runMembers()...)
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

// logLines returns what a process has logged, parsed.
func logLines(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	for text := range strings.Lines(text) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		list = append(list, line)
	}
	return list
}

func withMessage(list []map[string]any, message string) (found []map[string]any) {
	for _, line := range list {
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

func membersOf(line map[string]any) (names []string) {
	for name := range line {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A receiver that is down has a line for its first failures and then a few a minute, with what one needs to find the
// delivery, the process and the trace; a message of trouble has one every 10 s.
func TestLogLines(t *testing.T) {
	t.Parallel()
	const failures = 60
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(receiver.Close)
	began := time.Now()
	database := migrated(t)
	p := start(t, serveArgs(database)...)
	base := p.address(t)
	host, err := url.Parse(receiver.URL)
	require.NoError(t, err)

	endpoints := map[string]string{}
	for _, tenant := range []string{"acme", "globex", "initech"} {
		status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey,
			`{"tenant_id":"`+tenant+`","url":"`+receiver.URL+`/s3cret-path?token=s3cret"}`)
		require.Equal(t, http.StatusCreated, status, answer)
		endpoints[tenant] = answer["id"].(string)
	}
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for range failures {
		postTraced(t, base, "acme", "00-"+trace+"-b7ad6b7169203331-01")
	}
	status, answer := call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id":"globex","type":"a.b","payload":1}`)
	require.Equal(t, http.StatusAccepted, status, answer)

	// A secret of an endpoint that somebody has changed by hand.
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	_, err = conn.Exec(t.Context(), `UPDATE outhook.endpoint_secrets SET sealed = 'torn' WHERE endpoint_id = $1`, endpoints["initech"])
	require.NoError(t, err)
	for range 20 {
		status, answer = call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id":"initech","type":"a.b","payload":1}`)
		require.Equal(t, http.StatusAccepted, status, answer)
	}

	var attempts int
	require.Eventually(t, func() bool {
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM outhook.delivery_attempts`).Scan(&attempts)
		return err == nil && attempts >= failures+1 && strings.Contains(p.stderr.String(), "gave a delivery back")
	}, 90*time.Second, 50*time.Millisecond, "%d attempts", &attempts)
	_, ready := call(t, http.MethodGet, base+"/readyz", testAPIKey, "")
	require.Equal(t, "ok", ready["status"])
	require.Equal(t, "given_back", ready["checks"].(map[string]any)["deliveries"])
	require.NoError(t, p.end(t))

	log, documented := logLines(t, p.stderr.String()), documentedLines(t)
	for _, line := range log {
		message := line["msg"].(string)
		require.NotEmpty(t, line["client_id"], message)
		if members, ok := documented[message]; ok {
			require.Subset(t, members, membersOf(line), message)
		}
	}
	for _, message := range []string{"starting", "serving", "attempt", "gave a delivery back", "stopping", "stopped"} {
		require.NotEmpty(t, withMessage(log, message), message)
		require.Contains(t, documented, message)
	}

	lines := map[string][]map[string]any{}
	for _, line := range withMessage(log, "attempt") {
		tenant := line["tenant_id"].(string)
		lines[tenant] = append(lines[tenant], line)
	}
	require.NotEmpty(t, lines["globex"], "one endpoint's lines are not another's")
	require.GreaterOrEqual(t, len(lines["acme"]), 5)
	few := 5 + 1 + int(time.Since(began)/(15*time.Second))
	require.LessOrEqual(t, len(lines["acme"]), few, "4 a minute after the first ones")
	require.Equal(t, []string{
		"attempt", "client_id", "duration_ms", "endpoint_id", "error", "event_id", "event_type", "level", "msg", "next_attempt_at", "outcome",
		"receiver_host", "state", "status_code", "tenant_id", "time", "trace_id",
	}, membersOf(lines["acme"][0]))
	require.NotContains(t, lines["globex"][0], "trace_id")
	first := lines["acme"][0]
	require.Equal(t, trace, first["trace_id"])
	require.Equal(t, endpoints["acme"], first["endpoint_id"])
	require.Equal(t, host.Hostname(), first["receiver_host"])
	require.Equal(t, "a.b", first["event_type"])
	require.InDelta(t, 1, first["attempt"], 0)
	require.InDelta(t, http.StatusServiceUnavailable, first["status_code"], 0)
	require.Equal(t, "rejected", first["outcome"])
	require.Equal(t, "pending", first["state"])
	require.IsType(t, 0.0, first["duration_ms"])
	at, err := time.Parse(time.RFC3339, first["next_attempt_at"].(string))
	require.NoError(t, err)
	require.True(t, at.After(began.Add(50*time.Second)), at)
	var client string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT attempted_by[1] FROM outhook.river_job WHERE kind = 'deliver' AND attempt > 0 LIMIT 1`).Scan(&client))
	require.Equal(t, client, first["client_id"], "River's, so that the line's process is found in the database")

	back := withMessage(log, "gave a delivery back")[0]
	require.Equal(t, "secret", back["cause"])
	require.Equal(t, endpoints["initech"], back["endpoint_id"])
	require.LessOrEqual(t, len(withMessage(log, "gave a delivery back")), 1+int(time.Since(began)/(10*time.Second)))
	require.NotContains(t, p.stderr.String(), "s3cret")
}

// The page has each message that the code may log, and no other.
func TestLoggingPageHasEveryMessage(t *testing.T) {
	t.Parallel()
	begin := regexp.MustCompile(`(?:(?:Debug|Info|Warn|Error)Context|LogAttrs|logger\.Log)\(`)
	text := regexp.MustCompile(`^[^"()]*(?:\(ctx\))?[^"()]*"((?:[^"\\]|\\.)*)"((?:\s*\+\s*"(?:[^"\\]|\\.)*")*)`)
	more := regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)

	inCode := map[string]bool{}
	for _, root := range []string{"../../jobs", "../../api", "../../internal/guess", "../../internal/ingest", "internal/server", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || root == "." && path != "." && d.IsDir() {
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "bench") {
				return nil
			}
			code, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, at := range begin.FindAllStringIndex(string(code), -1) {
				if m := text.FindStringSubmatch(string(code[at[1]:])); m != nil {
					message := m[1]
					for _, part := range more.FindAllStringSubmatch(m[2], -1) {
						message += part[1]
					}
					inCode[message] = true
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.Greater(t, len(inCode), 50)

	documented := documentedLines(t)
	for message := range inCode {
		require.Contains(t, documented, message)
	}
	for message := range documented {
		require.True(t, inCode[message], "%q is logged nowhere", message)
	}
}

func TestDoctorAndServeNameMissingKeys(t *testing.T) {
	t.Parallel()
	url, exec := owing(t, 1)
	right, wrong := signature.NewKey(), signature.NewKey()
	keyring, err := signature.ParseKeyring(right)
	require.NoError(t, err)
	exec(`INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) SELECT id, '` + keyring.KeyID() + `', 'x' FROM outhook.endpoints`)

	out, err := output(t, "doctor", "--database-url", url)
	require.NoError(t, err, out)
	require.Contains(t, out, "OUTHOOK_ENCRYPTION_KEY is not set")
	require.NotContains(t, out, "missing_encryption_keys")
	out, err = output(t, "doctor", "--database-url", url, "--encryption-key", right)
	require.NoError(t, err, out)
	require.Regexp(t, `(?m)^missing_encryption_keys +0  ok$`, out)

	out, err = output(t, "doctor", "--database-url", url, "--encryption-key", wrong)
	require.ErrorIs(t, err, exitError(1))
	require.Regexp(t, `(?m)^missing_encryption_keys +1  VIOLATED\n +`+keyring.KeyID()+` \(1 endpoint secrets\)$`, out)
	_, err = output(t, "serve", "--database-url", url, "--listen", "127.0.0.1:0", "--api-key", testAPIKey, "--encryption-key", wrong)
	require.ErrorContains(t, err, "OUTHOOK_ENCRYPTION_KEY: ")
	require.ErrorContains(t, err, keyring.KeyID())
	require.NotContains(t, out+err.Error(), wrong)

	_, err = output(t, "doctor", "--database-url", url, "--encryption-key", "s3cret")
	require.ErrorContains(t, err, "OUTHOOK_ENCRYPTION_KEY")
	require.NotContains(t, err.Error(), "s3cret")
}
