package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/api"
)

// dial opens a connection that speaks HTTP by hand.
func (b *testBundle) dial() net.Conn {
	b.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.server.Listener.Addr().String())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { conn.Close() })
	require.NoError(b.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

func head(length string) string {
	return "POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminKey + "\r\nContent-Type: application/json\r\n" + length + "\r\n\r\n"
}

func TestLargeBodyIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("ByItsLength", func(t *testing.T) {
		t.Parallel()
		conn := b.dial()
		_, err := io.WriteString(conn, head("Content-Length: 100000000000"))
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, 413, res.StatusCode)
	})

	t.Run("WithoutLengthAtItsLimit", func(t *testing.T) {
		t.Parallel()
		conn := b.dial()
		_, err := io.WriteString(conn, head("Transfer-Encoding: chunked"))
		require.NoError(t, err)
		// 17 chunks of 16 KiB are just above 256 + 16 KiB; there is no last chunk.
		for range 18 {
			_, err = fmt.Fprintf(conn, "4000\r\n%s\r\n", strings.Repeat(" ", 0x4000))
			require.NoError(t, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, 413, res.StatusCode)
		require.True(t, res.Close)
	})
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Timeouts.Body = 100 * time.Millisecond })
	conn := b.dial()
	_, err := io.WriteString(conn, head("Content-Length: 100")+`{"tenant_id":`)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 408, res.StatusCode)
	require.Zero(t, b.api.Held())
}

// net/http ends a request's context when the deadline for reading passes, even if the body was read before.
func TestDeadlineOfTheBodyDoesNotEndTheRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Timeouts.Body = 200 * time.Millisecond })
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "LOCK TABLE outhook.events IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	status := make(chan int, 1)
	go func() {
		r, _ := b.try("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`)
		status <- r.status
	}()
	select {
	case got := <-status:
		require.Fail(t, "answered while the table was locked", "status %d", got)
	case <-time.After(600 * time.Millisecond):
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 202, <-status)
}

func TestBodiesThatAreHeldAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxBatchBytes = 1000; cfg.Limits.MaxHeldBytes = 1000 })
	conn := b.dial()
	_, err := io.WriteString(conn, head("Content-Length: 900")+"{")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.api.Held() == 900 }, 5*time.Second, time.Millisecond)

	body := `{"tenant_id":"acme","type":"a","payload":"` + strings.Repeat("x", 100) + `"}`
	other, _ := b.newKey("publish", "")
	r := b.as(other, "POST", "/api/events", body, "Content-Type", "application/json")
	b.requireProblem(r, 503)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	b.requireProblem(b.do("POST", "/api/events", body), 429) // it holds all that one may

	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return b.api.Held() == 0 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 202, b.do("POST", "/api/events", body).status)
}

// Bytes that were only promised take no room, and those of one key no more than its share: bodies that never come to their
// end keep nobody else from publishing.
func TestPromisedBytesTakeNoRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxBatchBytes = 200 << 10; cfg.Limits.MaxHeldBytes = 800 << 10 })
	other, _ := b.newKey("publish", "")
	batch := func(more string) net.Conn {
		t.Helper()
		conn := b.dial()
		_, err := io.WriteString(conn, strings.Replace(head(more), "/api/events", "/api/events/batch", 1))
		require.NoError(t, err)
		return conn
	}
	for range 20 { // 4 MB are promised
		_, err := io.WriteString(batch("Content-Length: 200000"), "{")
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return b.api.Held() == 20*16<<10 }, 30*time.Second, time.Millisecond)
	const body = `{"tenant_id":"acme","type":"a","payload":1}`
	require.Equal(t, 202, b.do("POST", "/api/events", body).status)

	// What a key holds counts for this key alone.
	large := `{"tenant_id":"acme","type":"a","payload":"` + strings.Repeat("x", 90_000) + `"}`
	r := b.do("POST", "/api/events", large)
	require.Contains(t, b.requireProblem(r, 429).Detail, "of this key")
	b.requireRetryAfter(r, 1)
	require.Equal(t, 202, b.as(other, "POST", "/api/events", large, "Content-Type", "application/json").status)
}

func FuzzDecodeEvent(f *testing.F) {
	for _, payload := range nastyPayloads() {
		f.Add([]byte(`{"tenant_id":"acme","type":"a.b","payload":` + payload + `}`))
		f.Add([]byte(` {"payload" : ` + payload + ` ,"idempotency_key":null, "type":"a", "tenant_id":"b" } `))
		f.Add([]byte(payload))
	}
	for _, body := range []string{
		``, `{`, `{}`, `{"":1}`, `{"a":{"b":[]}}`, `{"tenant_id":"\ud800","type":"a","payload":1}`, `{"payload":"\"}","type":"a"}`,
		"{\"tenant_id\":\"a\",\"type\":\"a\",\"payload\":tru}", `{"tenant_id":"a","type":"a","payload":1,"payload":2}`, "\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := api.DecodeEvent(body, outhook.MaxPayloadBytes)
		if err != nil {
			var status interface{ GetStatus() int }
			require.ErrorAs(t, err, &status)
			require.Contains(t, []int{400, 413, 422}, status.GetStatus())
			return
		}
		require.NoError(t, e.Validate())
		require.True(t, json.Valid(e.Payload))
		require.Contains(t, string(body), string(e.Payload))
		// The oracle: what encoding/json takes the payload for.
		var oracle struct {
			Payload  json.RawMessage `json:"payload"`
			TenantID string          `json:"tenant_id"`
			Type     string          `json:"type"`
		}
		require.NoError(t, json.Unmarshal(body, &oracle))
		require.Equal(t, string(oracle.Payload), string(e.Payload))
		require.Equal(t, oracle.TenantID, e.TenantID)
		require.Equal(t, oracle.Type, e.Type)
	})
}
