package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/apikey"
)

// together runs f n times at once and returns when all have.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func TestBadRequestsOfAGroupFailAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// An event whose type is a.taken is refused by the database and not by the API.
	b.exec(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF NEW.type = 'a.taken' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END IF; RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON outhook.events FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	first := `{"tenant_id":"acme","type":"a","payload":1,"idempotency_key":"k"}`
	require.Equal(t, 202, b.do("POST", "/api/events", first).status)

	const n = 120
	statuses := make([]int, n)
	together(n, func(i int) {
		path, body := "/api/events", fmt.Sprintf(`{"tenant_id":"good","type":"a","payload":%d}`, i)
		switch i % 10 {
		case 3: // a conflict in a batch, which rolls its group back
			path = "/api/events/batch"
			body = `{"events":[{"tenant_id":"bad","type":"a","payload":1},{"tenant_id":"acme","type":"b","payload":1,"idempotency_key":"k"}]}`
		case 5: // a conflict of a single event, which need not
			body = `{"tenant_id":"acme","type":"b","payload":1,"idempotency_key":"k"}`
		case 7: // a data exception
			body = `{"tenant_id":"bad","type":"a.taken","payload":1}`
		case 8: // a duplicate
			body = first
		}
		if r, err := b.try("POST", path, body); err == nil {
			statuses[i] = r.status
		}
	})

	good := 0
	for i, status := range statuses {
		switch i % 10 {
		case 3, 5:
			require.Equal(t, 409, status)
		case 7:
			require.Equal(t, 500, status)
		case 8:
			require.Equal(t, 200, status)
		default:
			require.Equal(t, 202, status)
			good++
		}
	}
	require.Equal(t, good, b.count("SELECT count(*) FROM outhook.events WHERE tenant_id = 'good'"))
	require.Zero(t, b.count("SELECT count(*) FROM outhook.events WHERE tenant_id = 'bad'"))
}

// Deliveries of a request are counted before the work.
func TestABatchWithTooManyDeliveriesIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO outhook.endpoints (id, tenant_id, url)
		SELECT outhook.uuid_v7(), 'acme', 'https://example.com/' FROM generate_series(1, 1001)`)
	event := `{"tenant_id":"acme","type":"a","payload":1}`
	r := b.do("POST", "/api/events/batch", `{"events":[`+strings.Repeat(event+",", 9)+event+`]}`)
	require.Equal(t, 422, r.status)
	require.Contains(t, string(r.body), "more than 10000 deliveries")
	require.Equal(t, 0, b.count(`SELECT count(*) FROM outhook.events`))
	require.Equal(t, 202, b.do("POST", "/api/events/batch", `{"events":[`+strings.Repeat(event+",", 8)+event+`]}`).status)
	require.Equal(t, 9009, b.count(`SELECT count(*) FROM outhook.deliveries`))
}

func TestEqualKeysAtTheSameTimeAreStoredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids sync.Map
	var created, failed atomic.Int32
	together(64, func(i int) {
		path, body := "/api/events", `{"tenant_id":"acme","type":"a","payload":1,"idempotency_key":"k"}`
		if i%2 == 1 {
			path, body = "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"b","payload":2},`+body+`]}`
		}
		r, err := b.try("POST", path, body)
		if err != nil || r.status != 200 && r.status != 202 {
			failed.Add(1)
			return
		}
		if !strings.Contains(string(r.body), `"duplicate":true`) {
			created.Add(1)
		}
		for part := range strings.SplitSeq(string(r.body), `{"id":"`) {
			if strings.Contains(part, `"type":"a"`) {
				ids.Store(part[:36], true)
			}
		}
	})
	require.Zero(t, failed.Load())
	require.EqualValues(t, 1, created.Load())
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	require.Equal(t, 1, n)
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.events WHERE type = 'a'"))
	require.Equal(t, 32, b.count("SELECT count(*) FROM outhook.events WHERE type = 'b'"))
}

// An application may keep a transaction open that has taken an idempotency key. Only the request with that key waits.
func TestHeldKeyDelaysItsOwnRequestOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const held = `{"tenant_id":"acme","type":"a","payload":1,"idempotency_key":"held"}`
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	var first uuid.UUID
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT outhook.enqueue('acme', 'a', '1', 'held')").Scan(&first))

	waiting := make(chan response, 1)
	go func() {
		r, _ := b.try("POST", "/api/events", held)
		waiting <- r
	}()
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	require.Eventually(t, func() bool { return b.count(waits) > 0 }, 5*time.Second, 5*time.Millisecond)
	began := time.Now()
	for i := range 20 {
		r := b.do("POST", "/api/events", fmt.Sprintf(`{"tenant_id":"acme","type":"a","payload":1,"idempotency_key":"free%d"}`, i))
		require.Equal(t, 202, r.status)
	}
	require.Less(t, time.Since(began), 3*time.Second)
	require.Empty(t, waiting)

	require.NoError(t, tx.Commit(t.Context()))
	got := b.requireObject(<-waiting, 200)
	require.Equal(t, first.String(), got["id"])
	require.Equal(t, true, got["duplicate"])
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	// Nothing listens on port 1.
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=2")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := setupOn(t, pool)
	key, _ := apikey.New()
	for _, c := range []struct{ method, path, body, key string }{
		{"POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`, adminKey},
		{"POST", "/api/events/batch", `{"events":[{"tenant_id":"acme","type":"a","payload":1}]}`, adminKey},
		{"GET", "/api/events", "", adminKey},
		{"GET", "/api/events/" + uuid.NewString(), "", adminKey},
		{"POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com"}`, adminKey},
		{"DELETE", "/api/endpoints/" + uuid.NewString(), "", adminKey},
		{"GET", "/api/events", "", key},
	} {
		r := b.do(c.method, c.path, c.body, "Authorization", "Bearer "+c.key)
		p := b.requireProblem(r, http.StatusServiceUnavailable)
		require.Equal(t, "5", r.header.Get("Retry-After"), c.path)
		require.NotContains(t, p.Detail, "127.0.0.1")
	}
	require.Zero(t, b.log.count(`"level":"ERROR","msg":"answering a request"`))

	together(50, func(int) {
		_, _ = b.try("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`)
		_, _ = b.try("GET", "/api/events", "")
	})
	require.Equal(t, 1, b.log.count("storing events"), "once in a while, not once per group")
	require.Equal(t, 1, b.log.count("answering a request"), "once in a while, not once per request")
}

func TestServerThatIsClosedIs503(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.api.Close(t.Context()))
	r := b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`)
	b.requireProblem(r, 503)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Zero(t, b.count("SELECT count(*) FROM outhook.events"))
}
