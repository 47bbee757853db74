package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const (
	// badReceivers misbehave at the same time, all that one worker attempts at once.
	badReceivers = 500

	// memoryBound is what a worker process may take at most while they do, in bytes: docs/reliability.md states it. A worker
	// that does nothing takes about 30 MiB.
	memoryBound = 256 << 20
)

// misbehaviour is what a receiver does with a request.
type misbehaviour func(http.ResponseWriter, *http.Request, net.Conn)

// misbehaviours are the ways of the receivers, in turn. Those with a connection write what net/http would not.
func misbehaviours() []misbehaviour {
	raw := func(answer string) misbehaviour {
		return func(_ http.ResponseWriter, _ *http.Request, conn net.Conn) { _, _ = conn.Write([]byte(answer)) }
	}
	endlessly := func(head, piece string, pause time.Duration) misbehaviour {
		return func(_ http.ResponseWriter, _ *http.Request, conn net.Conn) {
			_, err := conn.Write([]byte(head))
			for sent := 0; err == nil && sent < 1<<30; sent += len(piece) {
				_, err = conn.Write([]byte(piece))
				if pause > 0 {
					<-time.After(pause)
				}
			}
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 1000 {
		_, _ = z.Write(make([]byte, 1<<20)) // to a buffer
	}
	_ = z.Close()
	big := strings.Repeat("x", 64<<10)
	return []misbehaviour{
		func(_ http.ResponseWriter, r *http.Request, _ net.Conn) { <-r.Context().Done() },           // hangs before the headers
		endlessly("HTTP/1.1 200 OK\r\n\r\n", ".", time.Second),                                      // drips
		endlessly("HTTP/1.1 200 OK\r\nX-Slow: ", ".", time.Second),                                  // drips its headers
		endlessly("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", big, 0),                  // 1 GB
		endlessly("HTTP/1.1 500 No\r\n\r\n", big, 0),                                                // an endless refusal
		endlessly("HTTP/1.1 200 OK\r\n", "X-Much: "+strings.Repeat("y", 4000)+"\r\n", 0),            // endless headers
		endlessly("", "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("z", 1000)+"\r\n\r\n", 0), // a flood of 1xx
		raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + big),      // bad chunking
		raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),                                      // closes early
		raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\x00\xff\xfe\x00\xc3\x28\x00\x00\x00"),     // NUL and invalid UTF-8
		raw("HTTP/1.1 302 Found\r\nLocation: /0\r\nContent-Length: 0\r\n\r\n"),                      // a loop of redirects
		raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(bomb.Len()) + "\r\n\r\n" + bomb.String()),
	}
}

// newMisbehaving serves receiver n at /n.
func newMisbehaving(t *testing.T) (server *httptest.Server, most *atomic.Int64) {
	t.Helper()
	var open atomic.Int64
	most = &atomic.Int64{}
	ways := misbehaviours()
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := open.Add(1)
		defer open.Add(-1)
		for seen := most.Load(); now > seen; seen = most.Load() {
			most.CompareAndSwap(seen, now)
		}
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		// All begin to misbehave together, or as many as have come in 5 s.
		for began := time.Now(); most.Load() < badReceivers && time.Since(began) < 5*time.Second; {
			<-time.After(20 * time.Millisecond)
		}
		way := n % len(ways)
		if way == 0 {
			ways[way](w, r, nil)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
		ways[way](w, r, conn)
	}))
	t.Cleanup(server.Close)
	return server, most
}

// peak returns the most memory that a process has had resident, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// A worker with 500 receivers that misbehave in every way at the same time stays within its bound, and everything that
// happened is in the log.
func TestMemoryWithFiveHundredBadReceivers(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends gigabytes")
	}
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), dbtest.NewURL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	server, most := newMisbehaving(t)
	key := signature.NewKey()
	keyring, err := signature.ParseKeyring(key)
	require.NoError(t, err)
	for n := range badReceivers {
		var id [16]byte
		require.NoError(t, pool.QueryRow(t.Context(), `INSERT INTO outhook.endpoints (id, tenant_id, url, timeout_ms, retry_schedule)
			VALUES (outhook.uuid_v7(), 'acme', $1, 10000, '{1}') RETURNING id`, fmt.Sprintf("%s/%d", server.URL, n)).Scan(&id))
		keyID, sealed := keyring.Seal(signature.NewSecret().Bytes(), id[:])
		_, err = pool.Exec(t.Context(), `INSERT INTO outhook.endpoint_secrets (endpoint_id, key_id, sealed) VALUES ($1, $2, $3)`, id, keyID, sealed)
		require.NoError(t, err)
	}
	w := spawnServe(t, pool.Config().ConnString(), key, "--roles", "worker", "--max-workers", strconv.Itoa(badReceivers),
		"--max-per-host", strconv.Itoa(2*badReceivers)) // half of them for slow ones
	idle := peak(t, w.Process.Pid)
	for range 2 {
		_, err = pool.Exec(t.Context(), `SELECT outhook.enqueue('acme', 'a.b', $1::text)`, `"`+strings.Repeat("p", 10<<10)+`"`)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		return count(t, pool, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`) == 0
	}, 5*time.Minute, 200*time.Millisecond)
	highest := peak(t, w.Process.Pid)
	t.Logf("peak %d MiB, %d MiB before the first delivery; %d requests open at once", highest>>20, idle>>20, most.Load())
	require.Less(t, highest, int64(memoryBound))
	require.Greater(t, most.Load(), int64(badReceivers*8/10), "too few at once to mean anything")
	require.Zero(t, count(t, pool, `SELECT count(*) FROM outhook.deliveries AS d WHERE d.attempt_count <>
		(SELECT count(*) FROM outhook.delivery_attempts AS a WHERE a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id)`))
	require.Zero(t, count(t, pool, `SELECT count(*) FROM outhook.delivery_attempts WHERE duration_ms > 15000 OR length(response_body) > 1024`))
}
