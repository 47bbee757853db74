package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	apiKey = "an-admin-key-of-the-shop-test"

	// patience bounds each wait, and with it the test: a machine that is busy with other packages' tests is slow.
	patience = 2 * time.Minute
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestAnOrderIsAnnouncedOnceIfItsTransactionCommits(t *testing.T) {
	t.Parallel()
	databaseURL := dbtest.NewURL(t)
	outhook := startOuthook(t, databaseURL)
	shop, log := openShop(t, databaseURL)
	require.Equal(t, http.StatusCreated, post(t, outhook+"/api/endpoints", map[string]any{
		"tenant_id": "shop", "url": shop + "/webhooks", "secret": secret, "event_types": []string{"order.*"},
	}))

	// The declined order comes first: were its event there, its webhook would be on the way before the other's.
	require.Equal(t, http.StatusPaymentRequired, post(t, shop+"/orders", map[string]any{"item": "castle", "amount": 10_001}))
	require.Equal(t, http.StatusCreated, post(t, shop+"/orders", map[string]any{"item": "book", "amount": 4200}))

	received := log.line(t, "webhook received")
	require.Contains(t, received["body"], `"item":"book"`)
	eventually(t, databaseURL, "SELECT item FROM orders WHERE confirmed", "book")
	require.Equal(t, "1 1 1", query(t, databaseURL, `SELECT concat_ws(' ', (SELECT count(*) FROM outhook.events),
		(SELECT count(*) FROM orders), (SELECT count(*) FROM handled_webhooks))`))
}

func TestARepeatedWebhookIsHandledOnceAndAForgedOneNever(t *testing.T) {
	t.Parallel()
	databaseURL := dbtest.NewURL(t)
	shop, log := openShop(t, databaseURL)
	require.Equal(t, http.StatusCreated, post(t, shop+"/orders", map[string]any{"item": "book", "amount": 4200}))

	require.Equal(t, http.StatusUnauthorized, deliver(t, shop, "forged", func(h http.Header) {
		h.Set("webhook-signature", "v1,bm90IGEgc2lnbmF0dXJl")
	}))
	require.Empty(t, query(t, databaseURL, "SELECT item FROM orders WHERE confirmed"))

	for range 3 {
		require.Equal(t, http.StatusNoContent, deliver(t, shop, "first", func(http.Header) {}))
	}
	require.Equal(t, http.StatusNoContent, deliver(t, shop, "second", func(http.Header) {}))
	require.Equal(t, "first", log.line(t, "webhook received")["id"])
	require.Equal(t, "second", log.line(t, "webhook received")["id"], "the repetitions are not handled")
	require.Equal(t, "book", query(t, databaseURL, "SELECT item FROM orders WHERE confirmed"))
}

// openShop runs the shop and returns its URL and its log.
func openShop(t *testing.T, databaseURL string) (string, *lines) {
	t.Helper()
	env := map[string]string{"DATABASE_URL": databaseURL, "WEBHOOK_SECRET": secret, "SHOP_LISTEN": "127.0.0.1:0"}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, func(name string) string { return env[name] }, slog.New(slog.NewJSONHandler(w, nil)))
		_ = w.Close()
	}()
	log := follow(r)
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience):
			require.FailNow(t, "the shop does not close")
		}
	})
	return "http://" + log.line(t, "the shop is open")["address"], log
}

// startOuthook builds the server, starts it on the database and returns its URL.
func startOuthook(t *testing.T, databaseURL string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "outhook")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/outhook")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	server := exec.CommandContext(t.Context(), binary, "serve")
	server.Env = []string{
		"OUTHOOK_DATABASE_URL=" + databaseURL, "OUTHOOK_API_KEY=" + apiKey,
		"OUTHOOK_ENCRYPTION_KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "OUTHOOK_LISTEN=127.0.0.1:0",
		"OUTHOOK_EGRESS_ALLOW=127.0.0.0/8", "OUTHOOK_EGRESS_PORTS=any", "OUTHOOK_EGRESS_ALLOW_HTTP=true",
		"OUTHOOK_LOG_FORMAT=json",
	}
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	server.WaitDelay = time.Minute // then it is killed
	r, err := server.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	log := follow(r)
	t.Cleanup(func() { // t's context has ended, and interrupts it
		for range log.all { // Wait closes the pipe, so it must not come before the log's end.
			continue
		}
		_ = server.Wait() // says that it was interrupted
	})
	return "http://" + log.value(t, "address")
}

// lines are the lines of a log in JSON. They are read to the end, whoever looks at them, so that no writer waits.
type lines struct{ all chan map[string]string }

func follow(r io.Reader) *lines {
	l := &lines{all: make(chan map[string]string, 10_000)}
	go func() {
		defer close(l.all)
		for s := bufio.NewScanner(r); s.Scan(); {
			var attrs map[string]any
			if json.Unmarshal(s.Bytes(), &attrs) != nil {
				attrs = map[string]any{"msg": s.Text()}
			}
			line := map[string]string{}
			for name, value := range attrs {
				line[name] = fmt.Sprint(value)
			}
			l.all <- line
		}
	}()
	return l
}

// line returns the next line with a message.
func (l *lines) line(t *testing.T, message string) map[string]string {
	t.Helper()
	return l.find(t, message, func(line map[string]string) bool { return line["msg"] == message })
}

// value returns that of the next line that has the attribute.
func (l *lines) value(t *testing.T, attribute string) string {
	t.Helper()
	return l.find(t, attribute, func(line map[string]string) bool { return line[attribute] != "" })[attribute]
}

func (l *lines) find(t *testing.T, what string, matches func(map[string]string) bool) map[string]string {
	t.Helper()
	var seen strings.Builder
	timeout := time.After(patience)
	for {
		select {
		case line, open := <-l.all:
			require.True(t, open, "the log ended without %q:\n%s", what, &seen)
			if matches(line) {
				return line
			}
			fmt.Fprintln(&seen, line)
		case <-timeout:
			require.FailNow(t, "not in time: "+what, seen.String())
		}
	}
}

// post sends JSON with the API key, which the shop does not look at, and returns the status.
func post(t *testing.T, url string, body map[string]any) int {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	return send(t, url, data, http.Header{"Authorization": {"Bearer " + apiKey}, "Content-Type": {"application/json"}})
}

func send(t *testing.T, url string, body []byte, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	return res.StatusCode
}

func query(t *testing.T, databaseURL, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var value string
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		require.ErrorIs(t, err, pgx.ErrNoRows)
	}
	return value
}

// eventually waits until a query returns a value: the shop logs a webhook before its transaction commits.
func eventually(t *testing.T, databaseURL, sql, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); query(t, databaseURL, sql) != want; {
		require.True(t, time.Now().Before(deadline), "not in time: %s is %s", sql, want)
		<-time.After(20 * time.Millisecond)
	}
}

// deliver sends the shop a webhook of order 1, signed unless change spoils that, and returns the status.
func deliver(t *testing.T, shop, id string, change func(http.Header)) int {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	body, now := []byte(`{"type": "order.placed", "timestamp": "2026-03-01T09:30:00Z", "data": {"id": 1}}`), time.Now()
	signature, err := verifier.Sign(id, now, body)
	require.NoError(t, err)
	header := http.Header{}
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", signature)
	change(header)
	return send(t, shop+"/webhooks", body, header)
}
