package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/api/ready"
	"github.com/outhook/outhook/internal/dbtest"
)

func serve(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func healthy(context.Context) error { return nil }

func failIf(failing *atomic.Bool) func(context.Context) error {
	return func(context.Context) error {
		if failing.Load() {
			return errors.New("s3cret cause")
		}
		return nil
	}
}

// shown returns outhook_ready by check. It fails if a scrape waits for anything.
func shown(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	began := time.Now()
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Less(t, time.Since(began), readyTimeout)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "outhook_ready" {
				values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

// readyTimeout is for how long each check of /readyz is waited for.
const readyTimeout = 2 * time.Second

// What a scrape shows is what the last checks found, whatever has become of the database since.
func TestReadyMetric(t *testing.T) {
	t.Parallel()
	everything := func(hang context.Context, stopping *atomic.Bool) ready.Checks {
		return ready.Checks{
			Schema: func(ctx context.Context) error {
				select {
				case <-hang.Done():
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Ready: healthy, GivingBack: func() string { return "" }, Stopping: stopping.Load,
			Vacuum: func(context.Context) ([]string, error) { return nil, nil },
		}
	}
	measured := func(pool *pgxpool.Pool, checks ready.Checks) (*api.Server, *prometheus.Registry) {
		cfg, reg := checked(pool, checks), prometheus.NewRegistry()
		cfg.Metrics = reg
		return api.NewHealth(cfg), reg
	}

	t.Run("IsThereWithoutADatabase", func(t *testing.T) {
		t.Parallel()
		pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		h, reg := measured(pool, everything(t.Context(), &atomic.Bool{}))
		require.Len(t, shown(t, reg), 6, "before any check")
		h.CheckReady(t.Context())
		require.Equal(t, map[string]float64{
			"process": 1, "database": 0, "schema": 0, "worker": 1, "deliveries": 1, "vacuum": 0,
		}, shown(t, reg))
	})

	t.Run("IsThereWhileTheDatabaseHangs", func(t *testing.T) {
		t.Parallel()
		hang, answer := context.WithCancel(t.Context())
		var stopping atomic.Bool
		h, reg := measured(dbtest.New(t), everything(hang, &stopping))
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.CheckReady(t.Context())
		}()
		for range 20 {
			require.Len(t, shown(t, reg), 6)
		}
		<-done
		require.Equal(t, map[string]float64{
			"process": 1, "database": 1, "schema": 0, "worker": 1, "deliveries": 1, "vacuum": 1,
		}, shown(t, reg))
		answer()
		stopping.Store(true)
		h.CheckReady(t.Context())
		require.Equal(t, map[string]float64{
			"process": 0, "database": 1, "schema": 1, "worker": 1, "deliveries": 1, "vacuum": 1,
		}, shown(t, reg))
	})

	t.Run("ShowsTheChecksOfTheProcess", func(t *testing.T) {
		t.Parallel()
		h, reg := measured(dbtest.New(t), ready.Checks{Schema: healthy, Ready: func(context.Context) error {
			return errors.New("it fetches nothing")
		}, GivingBack: func() string { return "secret" }})
		require.Equal(t, 503, serve(t, h, "GET", "/readyz").Code)
		require.Equal(t, map[string]float64{"process": 1, "database": 1, "schema": 1, "worker": 0, "deliveries": 0}, shown(t, reg))
	})
}

// checked is what the health checks need.
func checked(pool *pgxpool.Pool, checks ready.Checks) api.Config {
	cfg := api.DefaultConfig()
	cfg.Pool, cfg.Checks.Checks = pool, checks
	return cfg
}

func TestHealth(t *testing.T) {
	t.Parallel()

	t.Run("IsOKWhenEverythingIs", func(t *testing.T) {
		t.Parallel()
		h := api.NewHealth(checked(dbtest.New(t), ready.Checks{Schema: healthy, Ready: healthy}))
		w := serve(t, h, "GET", "/readyz")
		require.Equal(t, 200, w.Code)
		require.JSONEq(t, `{"status":"ok","checks":{"database":"ok","schema":"ok","worker":"ok"}}`, w.Body.String())
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		w = serve(t, h, "GET", "/livez")
		require.Equal(t, 200, w.Code)
		require.JSONEq(t, `{"status":"ok"}`, w.Body.String())
		for _, path := range []string{"/livez", "/readyz"} {
			require.Equal(t, 200, serve(t, h, "HEAD", path).Code)
		}
		for _, path := range []string{"/api/events", "/docs", "/", "/riverui"} {
			require.Equal(t, 404, serve(t, h, "GET", path).Code, "only health is served")
		}
	})

	t.Run("NamesTheCheckThatFailsAndNoCause", func(t *testing.T) {
		t.Parallel()
		pool := dbtest.New(t)
		var failing, tooOld atomic.Bool
		log := &logBuffer{}
		cfg := checked(pool, ready.Checks{Schema: failIf(&tooOld), Ready: failIf(&failing)})
		cfg.Logger = jsonLogger(log)
		h := api.NewHealth(cfg)
		failing.Store(true)
		for range 3 {
			w := serve(t, h, "GET", "/readyz")
			require.Equal(t, 503, w.Code)
			require.JSONEq(t, `{"status":"not_ready","checks":{"database":"ok","schema":"ok","worker":"not_ready"}}`, w.Body.String())
		}
		require.Equal(t, 1, log.count("s3cret cause"), "only the change is logged")
		require.Equal(t, 200, serve(t, h, "GET", "/livez").Code)
		failing.Store(false)
		require.Equal(t, 200, serve(t, h, "GET", "/readyz").Code)
		require.Equal(t, 1, log.count(`"msg":"ready"`))

		tooOld.Store(true)
		w := serve(t, h, "GET", "/readyz")
		require.Equal(t, 503, w.Code)
		require.JSONEq(t, `{"status":"not_ready","checks":{"database":"ok","schema":"not_ready","worker":"ok"}}`, w.Body.String())
	})

	t.Run("ToleratesNoDatabase", func(t *testing.T) {
		t.Parallel()
		pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		w := serve(t, api.NewHealth(checked(pool, ready.Checks{Schema: healthy})), "GET", "/readyz")
		require.Equal(t, 503, w.Code)
		require.JSONEq(t, `{"status":"not_ready","checks":{"database":"unreachable","schema":"unknown"}}`, w.Body.String())
	})

	t.Run("SaysThatVacuumIsHeldBackAndStaysGreen", func(t *testing.T) {
		t.Parallel()
		var holders atomic.Pointer[[]string]
		log := &logBuffer{}
		cfg := checked(dbtest.New(t), ready.Checks{Schema: healthy, Vacuum: func(context.Context) ([]string, error) {
			return *holders.Load(), nil
		}})
		cfg.Logger = jsonLogger(log)
		h := api.NewHealth(cfg)
		for _, c := range []struct {
			holders []string
			check   string
		}{
			{nil, "ok"},
			{[]string{"the session 17 of s3cret"}, "held_back"},
			{[]string{"the session 17 of s3cret"}, "held_back"},
			{nil, "ok"},
		} {
			holders.Store(&c.holders)
			w := serve(t, h, "GET", "/readyz")
			require.Equal(t, 200, w.Code)
			require.JSONEq(t, `{"status":"ok","checks":{"database":"ok","schema":"ok","vacuum":"`+c.check+`"}}`, w.Body.String())
		}
		require.Equal(t, 1, log.count("the session 17 of s3cret"), "only the change is logged")
	})

	t.Run("SharesChecks", func(t *testing.T) {
		t.Parallel()
		var checks atomic.Int32
		started, release := make(chan struct{}, 100), make(chan struct{})
		h := api.NewHealth(checked(dbtest.New(t), ready.Checks{Schema: healthy, Ready: func(context.Context) error {
			checks.Add(1)
			started <- struct{}{}
			<-release
			return nil
		}}))
		var codes atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			together(50, func(int) {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
				codes.Add(int32(w.Code))
			})
		}()
		<-started
		close(release)
		<-done
		require.EqualValues(t, 50*200, codes.Load())
		require.Less(t, checks.Load(), int32(50))
	})
}
