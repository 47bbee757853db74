package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

// guess sends a wrong key from an address, as a trusted proxy would tell it.
func (b *testBundle) guess(n int, from string) response {
	b.t.Helper()
	return b.as("wrong key "+strconv.Itoa(n), "GET", "/api/events", "", "X-Forwarded-For", from)
}

func (b *testBundle) requireRetryAfter(r response, most int) {
	b.t.Helper()
	n, err := strconv.Atoi(r.header.Get("Retry-After"))
	require.NoError(b.t, err)
	require.Positive(b.t, n)
	require.LessOrEqual(b.t, n, most)
}

func TestFailedLogins(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	setup := func(t *testing.T) *testBundle {
		t.Helper()
		return setup(t, func(cfg *api.Config) {
			cfg.Access.FailedLogins, cfg.Access.TrustedProxies, cfg.UI = 3, loopback, http.NotFoundHandler()
		})
	}
	exhaust := func(b *testBundle, from string) {
		for i := range 3 {
			b.requireProblem(b.guess(i, from), 401)
		}
	}

	t.Run("AreLimitedPerAddressWhateverTheKey", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		exhaust(b, "203.0.113.1")
		r := b.guess(9, "203.0.113.1")
		b.requireProblem(r, 429)
		b.requireRetryAfter(r, 20)
		require.Equal(t, 200, b.as(adminKey, "GET", "/api/events", "", "X-Forwarded-For", "203.0.113.1").status, "a right key always passes")
		key, _ := b.newKey("read", "")
		require.Equal(t, 200, b.as(key, "GET", "/api/events", "", "X-Forwarded-For", "203.0.113.1").status)
		ui := b.do("GET", "/riverui/", "", "Authorization", "Basic "+basic(adminKey), "X-Forwarded-For", "203.0.113.1")
		require.Equal(t, 404, ui.status)
		b.requireProblem(b.do("GET", "/riverui/", "", "Authorization", "Basic "+basic("wrong"), "X-Forwarded-For", "203.0.113.1"), 429)
		require.Equal(t, 401, b.as("", "GET", "/api/events", "", "X-Forwarded-For", "203.0.113.1").status, "no key is no guess")
		require.Equal(t, 200, b.as(adminKey, "GET", "/api/events", "", "X-Forwarded-For", "203.0.113.2").status)
		require.Equal(t, 200, b.do("GET", "/api/events", "").status)
	})

	t.Run("AreForgottenWithTime", func(t *testing.T) {
		t.Parallel()
		b := setupOn(t, setup(t).pool, func(cfg *api.Config) { cfg.Access.FailedLogins, cfg.Access.TrustedProxies = 60, loopback })
		require.Eventually(t, func() bool { return b.guess(int(time.Now().UnixNano()), "203.0.113.1").status == 429 }, time.Minute, time.Microsecond)
		require.Eventually(t, func() bool { return b.guess(1, "203.0.113.1").status == 401 }, time.Minute, 50*time.Millisecond)
	})

	t.Run("OfOneOldKeyCountOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 50 {
			b.requireProblem(b.guess(0, "203.0.113.1"), 401)
		}
		b.requireProblem(b.guess(1, "203.0.113.1"), 401)
	})

	t.Run("TakeTheAddressThatATrustedProxySaw", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for i := range 3 { // what a client writes itself stands on the left
			b.requireProblem(b.guess(i, fmt.Sprintf("198.51.100.%d, 203.0.113.1, 10.1.2.3", i)), 401)
		}
		b.requireProblem(b.guess(9, "203.0.113.1"), 429)
		b.requireProblem(b.guess(9, "198.51.100.1"), 401)
		exhaust(b, "2001:db8:1:2::1")
		b.requireProblem(b.guess(9, "2001:db8:1:2:ffff::9"), 429)
		b.requireProblem(b.guess(9, "2001:db8:1:3::1"), 401)
	})

	t.Run("TakeTheConnectionsAddressWithoutProxies", func(t *testing.T) {
		t.Parallel()
		b := setupOn(t, setup(t).pool, func(cfg *api.Config) { cfg.Access.FailedLogins = 3 })
		for i := range 3 {
			b.requireProblem(b.guess(i, fmt.Sprintf("198.51.100.%d", i)), 401)
		}
		b.requireProblem(b.guess(9, "198.51.100.9"), 429)
		require.Equal(t, 1, b.log.count("OUTHOOK_TRUSTED_PROXIES"))
	})

	t.Run("CanBeUnlimited", func(t *testing.T) {
		t.Parallel()
		b := setupOn(t, setup(t).pool, func(cfg *api.Config) { cfg.Access.FailedLogins = 0 })
		for i := range 50 {
			b.requireProblem(b.guess(i, ""), 401)
		}
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Access.RateLimit = 0.01 })
	first, _ := b.newKey("read", "")
	b.requireProblem(b.do("GET", "/api/events", ""), 429) // of the bootstrap key, which has made the other
	get := func() response { return b.as(first, "GET", "/api/events", "") }
	require.Equal(t, 200, get().status)
	r := get()
	require.Contains(t, b.requireProblem(r, 429).Detail, "0.01 requests a second")
	b.requireRetryAfter(r, 100)
	require.Equal(t, 200, b.do("GET", "/livez", "").status)
	require.Equal(t, 401, b.as("", "GET", "/api/events", "").status)
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxRequests = 4 })
	other, _ := b.newKey("publish", "")
	var slow []net.Conn
	hold := func(key string) {
		conn := b.dial()
		_, err := io.WriteString(conn, strings.ReplaceAll(head("Content-Length: 100"), adminKey, key)+"{")
		require.NoError(t, err)
		slow = append(slow, conn)
		require.Eventually(t, func() bool { return b.api.UnderWay() == int64(len(slow)) }, 30*time.Second, time.Millisecond)
	}
	hold(adminKey)
	hold(adminKey)
	r := b.do("GET", "/api/events", "")
	b.requireProblem(r, 429)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Equal(t, 403, b.as(other, "GET", "/api/events", "").status, "half of them are left for others")
	hold(other)
	hold(other)
	for _, path := range []string{"/api/events", "/docs", "/nothing"} {
		r := b.do("GET", path, "")
		b.requireProblem(r, 503)
		require.Equal(t, "1", r.header.Get("Retry-After"))
	}
	require.Equal(t, 200, b.do("GET", "/livez", "").status)
	require.Equal(t, 200, b.do("GET", "/readyz", "").status)
	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return b.api.UnderWay() == 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, 200, b.do("GET", "/api/events", "").status)
}

// lock keeps everybody from a table until the transaction or the test ends.
func (b *testBundle) lock(table string) pgx.Tx {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.t.Context())) })
	_, err = tx.Exec(b.t.Context(), "LOCK TABLE outhook."+table+" IN ACCESS EXCLUSIVE MODE")
	require.NoError(b.t, err)
	return tx
}

// Reads that hang, of however many requests and keys, keep nobody from publishing, and those of one key nobody from
// reading.
func TestReadsThatHangAreInNobodysWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _ := b.newKey("admin", "")
	second, _ := b.newKey("admin", "")
	tx := b.lock("audit_entries")

	hanging := make(chan int, 80)
	hang := func(key string) {
		for range 40 {
			go func() {
				r, err := b.try("GET", "/api/audit", "", "Authorization", "Bearer "+key)
				if err != nil {
					r.status = 0
				}
				hanging <- r.status
			}()
		}
	}
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	hang(first)
	require.Eventually(t, func() bool { return b.count(waits) == 3 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 200, b.do("GET", "/api/events", "").status)
	hang(second)
	require.Eventually(t, func() bool { return b.count(waits) == 6 }, 10*time.Second, time.Millisecond)
	for range 20 {
		require.Equal(t, 202, b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`).status)
	}
	require.Equal(t, 200, b.do("GET", "/readyz", "").status)
	require.NoError(t, tx.Rollback(t.Context()))
	for range 80 {
		require.Contains(t, []int{200, 429, 503}, <-hanging)
	}
}

// What counts or looks through the log has fewer places: a tenant that asks for it all the time, with however many keys,
// has others for all else, and leaves one to others.
func TestCostlyReadsHaveFewPlaces(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Timeouts.Query = 30 * time.Second })
	first, _ := b.newKey("read", "acme")
	second, _ := b.newKey("read", "acme")
	other, _ := b.newKey("read", "")
	tx := b.lock("deliveries")

	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	statuses := make(chan int, 30)
	hang := func(keys ...string) {
		for _, key := range keys {
			for range 10 {
				go func() {
					r, err := b.try("GET", "/api/stats", "", "Authorization", "Bearer "+key)
					if err != nil {
						r.status = 0
					}
					statuses <- r.status
				}()
			}
		}
	}
	hang(first, second)
	require.Eventually(t, func() bool { return b.api.UnderWay() == 20 && b.count(waits) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 200, b.as(first, "GET", "/api/endpoints", "").status)
	require.Equal(t, 200, b.as(second, "GET", "/api/endpoints", "").status)
	require.Equal(t, 1, b.count(waits))

	hang(other)
	require.Eventually(t, func() bool { return b.count(waits) == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 200, b.as(other, "GET", "/api/endpoints", "").status)
	require.NoError(t, tx.Rollback(t.Context()))
	for range 30 {
		require.Contains(t, []int{200, 429, 503}, <-statuses)
	}
}

func TestLongURLsAndHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.requireProblem(b.do("GET", "/api/events?type="+strings.Repeat("x", 8<<10), ""), 414)
	b.requireProblem(b.do("GET", "/"+strings.Repeat("x", 8<<10), "", "Authorization", ""), 414)
	require.Equal(t, 431, b.do("GET", "/api/events", "", "X-Long", strings.Repeat("x", 40<<10)).status)
	many := b.dial()
	_, err := io.WriteString(many, "GET /livez HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-A: b\r\n", 10_000))
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(many), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 431, res.StatusCode)
}

func TestServerHasTimeouts(t *testing.T) {
	t.Parallel()
	srv := &http.Server{}
	api.ConfigureServer(srv)
	require.Equal(t, 10*time.Second, srv.ReadHeaderTimeout)
	require.Equal(t, 80*time.Second, srv.ReadTimeout)
	require.Equal(t, 100*time.Second, srv.WriteTimeout)
	require.Equal(t, 2*time.Minute, srv.IdleTimeout)
	require.Equal(t, 32<<10, srv.MaxHeaderBytes)
}

// Slowloris: clients that send a header without end, a byte now and then, are cut off, and nobody else waits for them.
func TestHeadersThatNeverEndAreCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started := time.Now()
	ended := make(chan error, 50)
	for range cap(ended) {
		conn := b.dial()
		require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
		_, err := io.WriteString(conn, "POST /api/events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			ticker := time.NewTicker(500 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					_, _ = io.WriteString(conn, "x")
				case <-done:
					return
				}
			}
		}()
		go func() {
			defer close(done)
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		}()
	}
	require.Equal(t, 202, b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`).status)
	for range cap(ended) {
		require.NotErrorIs(t, <-ended, os.ErrDeadlineExceeded, "the server did not close the connection")
	}
	require.GreaterOrEqual(t, time.Since(started), 9*time.Second)
}

// A delivery that comes in here is no event: what one request began would multiply without an end.
func TestDeliveriesAreNoEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const body = `{"tenant_id":"acme","type":"a.b","payload":1}`
	for _, header := range [][2]string{{"Outhook-Attempt", "1"}, {"User-Agent", "Outhook/1.2.3"}} {
		r := b.do("POST", "/api/events", body, header[0], header[1])
		require.Contains(t, b.requireProblem(r, 508).Detail, "the receiver's URL", header)
		require.Equal(t, 200, b.do("GET", "/livez", "", header[0], header[1]).status)
	}
	require.Equal(t, 202, b.do("POST", "/api/events", body, "User-Agent", "shop (Outhook/1)").status)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.events`))
}
