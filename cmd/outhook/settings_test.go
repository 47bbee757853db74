package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// Half of all settings that a database may have, each with a value that is not the usual one: a migration, deliveries and
// their retries, a retention, a replay and a repair do what they do.
func TestSettingsOfTheDatabaseMeanNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, seed))
			liveWith(t, func(all []dbtest.Setting) (set []dbtest.Setting) {
				for _, s := range all {
					if rng.IntN(2) == 0 && s.Name != "statement_timeout" {
						set = append(set, s)
					}
				}
				return append(set, impatient()...)
			})
		})
	}
}

// The same with each of them alone, and with pairs, which takes a quarter of an hour.
func TestEachSettingOfTheDatabaseMeansNothing(t *testing.T) {
	t.Parallel()
	requireLoad(t)
	pool, err := pgxpool.New(t.Context(), dbtest.Empty(t))
	require.NoError(t, err)
	all := append(dbtest.Settings(t, pool), impatient()...)
	pool.Close()

	for _, s := range all {
		t.Run(s.Name+"="+s.Value, func(t *testing.T) {
			t.Parallel()
			liveWith(t, func([]dbtest.Setting) []dbtest.Setting { return []dbtest.Setting{s} })
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		a, b := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
		t.Run(a.Name+"="+a.Value+","+b.Name+"="+b.Value, func(t *testing.T) {
			t.Parallel()
			liveWith(t, func([]dbtest.Setting) []dbtest.Setting { return []dbtest.Setting{a, b} })
		})
	}
}

// impatient are settings that end what takes a moment.
func impatient() []dbtest.Setting {
	return []dbtest.Setting{
		{Name: "statement_timeout", Value: "50"}, {Name: "lock_timeout", Value: "50"}, {Name: "idle_session_timeout", Value: "2000"},
	}
}

// liveWith does everything once in a database with some of all settings.
func liveWith(t *testing.T, choose func(all []dbtest.Setting) []dbtest.Setting) {
	t.Helper()
	url := dbtest.Empty(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	var database string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_database()`).Scan(&database))
	set := choose(dbtest.Settings(t, pool))
	for _, s := range set {
		sql := fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", pgx.Identifier{database}.Sanitize(), s.Name, s.Value)
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	t.Log(set)
	liveUnder(t, url, pool)
}

// liveUnder does everything once. The pool's one connection has the usual settings, since it was made before.
func liveUnder(t *testing.T, url string, pool *pgxpool.Pool) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	read := func(sql string, args ...any) (n int) {
		t.Helper()
		require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n), sql)
		return n
	}
	until := func(sql string, args ...any) {
		t.Helper()
		require.Eventually(t, func() bool { return read(sql, args...) == 1 }, 90*time.Second, 50*time.Millisecond, sql)
	}

	out, err := output(t, "migrate", "up", "--database-url", url)
	require.NoError(t, err, out)
	_, err = conn.Exec(t.Context(), `SELECT outhook.create_partitions(current_date - 12, current_date - 10)`)
	require.NoError(t, err)
	var requests atomic.Int32
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(receiver.Close)
	server := start(t, serveArgs(url, "--retry-schedule", "1s", "--retention", "9d")...)
	base := server.address(t)
	status, endpoint := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver.URL+`", "secret_headers": {"x-a": "b"}}`)
	require.Equal(t, http.StatusCreated, status, endpoint)
	status, event := call(t, http.MethodPost, base+"/api/events", testAPIKey,
		`{"tenant_id": "acme", "type": "a.b", "payload": {"path": "C:\\x"}, "idempotency_key": "k\\1"}`)
	require.Equal(t, http.StatusAccepted, status, event)
	until(`SELECT count(*) FROM outhook.deliveries WHERE event_id = $1 AND state = 'succeeded' AND attempt_count = 2`, event["id"])
	until(`SELECT (to_regclass('outhook.events' || to_char(current_date - 12, '"_p"YYYYMMDD')) IS NULL)::integer`)

	_, err = conn.Exec(t.Context(), `UPDATE outhook.deliveries SET state = 'failed', reason = 'exhausted'`)
	require.NoError(t, err)
	status, answer := call(t, http.MethodPost, base+"/api/endpoints/"+endpoint["id"].(string)+"/recover", testAPIKey, `{"since": "2026-01-02T03:04:05Z"}`)
	require.Equal(t, http.StatusAccepted, status, answer)
	until(`SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded' AND attempt_count = 3`)
	_, err = conn.Exec(t.Context(), `UPDATE outhook.deliveries SET state = 'pending', completed_at = NULL, next_attempt_at = now(), try_count = 0`)
	require.NoError(t, err)
	out, err = output(t, "doctor", "--repair", "--database-url", url)
	require.NoError(t, err, out)
	until(`SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded' AND attempt_count = 4`)
	require.NoError(t, server.end(t))
	out, err = output(t, "doctor", "--database-url", url)
	require.NoError(t, err, out)
	require.Equal(t, 1, read(`SELECT count(*) FROM outhook.delivery_attempts WHERE outcome <> 'succeeded'`))
}
