package jobs_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/retention"
)

const tenant = "acme"

// testBundle is a database, a receiver and what it takes to start workers on them.
type testBundle struct {
	ctx      context.Context //nolint:containedctx // the test's own, as long as the bundle
	pool     *pgxpool.Pool
	keyring  *signature.Keyring
	receiver *receiver
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	keyring, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	return &testBundle{ctx: t.Context(), pool: dbtest.New(t), keyring: keyring, receiver: newReceiver(t)}
}

// config is for workers that may send to loopback.
func (b *testBundle) config(t *testing.T) jobs.Config {
	t.Helper()
	client, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	cfg := jobs.DefaultConfig()
	cfg.Pool, cfg.Deliver.Keyring, cfg.Deliver.Egress, cfg.Deliver.Version = b.pool, b.keyring, client, "test"
	cfg.Deliver.KeptJobRate = 1_000_000 // tests count jobs; those of crashes and volume drop them, as a busy system does
	cfg.River.MaxWorkers, cfg.River.StopTimeout = 50, 5*time.Second
	cfg.River.FetchCooldown, cfg.River.FetchPollInterval = time.Millisecond, 10*time.Millisecond
	return cfg
}

// retain runs the retention once.
func (b *testBundle) retain(ctx context.Context, cfg jobs.Config) (retention.Result, error) {
	return retention.Run(ctx, cfg.Pool, cfg.Retention, cfg.Logger)
}

// probe begins the probes that are due.
func (b *testBundle) probe(cfg jobs.Config) error {
	return health.NewKeeper(cfg.Health, cfg.Pool, cfg.Logger, &health.Tracker{}, &dbclock.Clock{}).Probe(b.ctx)
}

// start starts workers and stops them at the end of the test.
func (b *testBundle) start(t *testing.T, cfg jobs.Config) *jobs.Client {
	t.Helper()
	client, err := jobs.New(cfg)
	require.NoError(t, err)
	b.run(t, client)
	return client
}

// run starts the workers of a client and stops them at the end of the test.
func (b *testBundle) run(t *testing.T, client *jobs.Client) {
	t.Helper()
	require.NoError(t, client.Start(b.ctx))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 20*time.Second)
		defer cancel()
		require.NoError(t, client.Stop(ctx))
	})
}

type endpointOption func(*db.InsertEndpointParams)

func withSchedule(s retry.Schedule) endpointOption {
	return func(p *db.InsertEndpointParams) { p.RetrySchedule = s.Seconds() }
}

func withURL(url string) endpointOption {
	return func(p *db.InsertEndpointParams) { p.URL = url }
}

// endpoint makes an endpoint of the tenant on the receiver, below a path of its own, and returns its id and secret.
func (b *testBundle) endpoint(t *testing.T, options ...endpointOption) (uuid.UUID, signature.Secret) {
	t.Helper()
	p := db.InsertEndpointParams{
		TenantID: tenant, URL: b.receiver.URL + "/" + uuid.NewString(), EventTypes: []string{},
		Headers: json.RawMessage(`{}`), Metadata: json.RawMessage(`{}`), TimeoutMS: 5000,
	}
	for _, o := range options {
		o(&p)
	}
	n, err := db.New().InsertEndpoint(b.ctx, b.pool, p)
	require.NoError(t, err)
	secret := signature.NewSecret()
	keyID, sealed := b.keyring.Seal(secret.Bytes(), n.ID[:])
	require.NoError(t, db.New().InsertEndpointSecret(b.ctx, b.pool, n.ID, keyID, sealed))
	return n.ID, secret
}

// enqueue enqueues one event and returns its id.
func (b *testBundle) enqueue(t *testing.T, payload string) uuid.UUID {
	t.Helper()
	var id uuid.UUID
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', $2::text)`, tenant, payload).Scan(&id))
	return id
}

func (b *testBundle) delivery(t *testing.T, eventID, endpointID uuid.UUID) db.GetDeliveryRow {
	t.Helper()
	d, err := db.New().GetDelivery(b.ctx, b.pool, eventID, endpointID)
	require.NoError(t, err)
	return d
}

// attempts returns those of an event by number: their times are only as exact as the round trips of a busy machine.
func (b *testBundle) attempts(t *testing.T, eventID uuid.UUID) []db.DeliveryAttempt {
	t.Helper()
	list, err := db.New().ListEventAttempts(b.ctx, b.pool, db.ListEventAttemptsParams{
		EventID: eventID, Outcomes: []string{}, Ascending: true, MaxRows: 10_000,
	})
	require.NoError(t, err)
	slices.SortStableFunc(list, func(x, y db.DeliveryAttempt) int { return int(x.Number - y.Number) })
	return list
}

// await waits until the delivery satisfies done.
func (b *testBundle) await(t *testing.T, eventID, endpointID uuid.UUID, done func(db.GetDeliveryRow) bool) db.GetDeliveryRow {
	t.Helper()
	var d db.GetDeliveryRow
	eventually(t, func() bool { d = b.delivery(t, eventID, endpointID); return done(d) }, func() any { return d })
	return d
}

func (b *testBundle) awaitState(t *testing.T, eventID, endpointID uuid.UUID, state db.DeliveryState) db.GetDeliveryRow {
	t.Helper()
	return b.await(t, eventID, endpointID, func(d db.GetDeliveryRow) bool { return d.State == state })
}

func settled(d db.GetDeliveryRow) bool { return d.State != db.DeliveryStatePending }

// eventually polls the database, whose rows nothing announces to a test: often at first, then less and less.
func eventually(t *testing.T, done func() bool, last func() any) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for wait := 5 * time.Millisecond; !done(); wait = min(wait*5/4, 250*time.Millisecond) {
		select {
		case <-time.After(wait):
		case <-deadline:
			require.FailNow(t, "not in time", "last seen: %+v", last())
		}
	}
}

// jobState returns the state and queue of the job that owns a delivery.
func (b *testBundle) jobState(t *testing.T, eventID, endpointID uuid.UUID) (state, queue string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT j.state::text, j.queue FROM outhook.river_job j
		JOIN outhook.deliveries d ON d.job_id = j.id WHERE d.event_id = $1 AND d.endpoint_id = $2`, eventID, endpointID).Scan(&state, &queue))
	return state, queue
}

// request is one webhook as it arrived.
type request struct {
	header http.Header
	body   []byte
	path   string
}

// receiver is a real HTTP server that keeps what it gets and answers as told.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests []request
	answer   http.HandlerFunc // nil: 204
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.requests = append(r.requests, request{header: req.Header, body: body, path: req.URL.Path})
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			answer = status(http.StatusNoContent)
		}
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func (r *receiver) received() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.requests...)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// awayFromTheHour waits until the hour has a minute left: what is counted depends on which hours are over.
func (b *testBundle) awayFromTheHour(t *testing.T) {
	t.Helper()
	left := time.Until(time.Now().Truncate(time.Hour).Add(time.Hour))
	if left > time.Minute {
		return
	}
	select {
	case <-time.After(left + time.Second):
	case <-b.ctx.Done():
		require.NoError(t, b.ctx.Err())
	}
}
