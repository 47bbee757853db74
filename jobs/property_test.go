package jobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// propertyChecks is how many sequences of actions one run of the test tries (each takes some 10 s), unless the flag
	// -rapid.checks says otherwise.
	propertyChecks = "4"

	// propertyTries is what the endpoints' schedule allows.
	propertyTries = 3
)

// deliveryID names a delivery.
type deliveryID struct{ eventID, endpointID uuid.UUID }

// modelEndpoint is an endpoint with its receiver, which knows all secrets and counts what came.
type modelEndpoint struct {
	id     uuid.UUID
	server *httptest.Server

	mu       sync.Mutex
	failing  bool
	secrets  []signature.Secret
	requests map[string][]int // by event id and number, the statuses that were answered
	unsigned int
}

func (e *modelEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if signature.Verify(e.secrets, r.Header, body, time.Now(), time.Minute) != nil {
		e.unsigned++
	}
	status := http.StatusNoContent
	if e.failing {
		status = http.StatusInternalServerError
	}
	key := r.Header.Get(signature.HeaderID) + " " + r.Header.Get("outhook-attempt")
	e.requests[key] = append(e.requests[key], status)
	w.WriteHeader(status)
}

func (e *modelEndpoint) fail(failing bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing = failing
}

// model is what the machine did, and so what must be found.
type model struct {
	*testBundle

	t         *testing.T
	tenant    string
	endpoints []*modelEndpoint
	events    []uuid.UUID
	replays   map[deliveryID]int
	cancelled map[deliveryID]bool
	client    *jobs.Client
	crashes   int
}

func newModel(t *testing.T, b *testBundle) *model {
	t.Helper()
	m := &model{
		testBundle: b, t: t, tenant: "t-" + uuid.NewString(), replays: make(map[deliveryID]int), cancelled: make(map[deliveryID]bool),
	}
	for range 2 {
		e := &modelEndpoint{requests: make(map[string][]int)}
		e.server = httptest.NewServer(e)
		var secret signature.Secret
		e.id, secret = b.endpoint(t, withURL(e.server.URL), withSchedule(retry.Schedule{time.Second, time.Second}),
			func(p *db.InsertEndpointParams) { p.TenantID, p.TimeoutMS = m.tenant, 20_000 })
		e.secrets = []signature.Secret{secret}
		m.endpoints = append(m.endpoints, e)
	}
	m.startWorker()
	return m
}

func (m *model) startWorker() {
	cfg := m.config(m.t)
	cfg.Deliver.KeptJobRate = 0
	client, err := jobs.New(cfg)
	require.NoError(m.t, err)
	require.NoError(m.t, client.Start(m.ctx))
	m.client = client
}

// crash ends the workers without letting them record anything any more, and starts new ones.
func (m *model) crash() {
	ctx, cancel := context.WithCancel(m.ctx)
	cancel()
	_ = m.client.Stop(ctx) // it says that it was cut short
	m.crashes++
	m.startWorker()
}

func (m *model) enqueue(r *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(r, "events") {
		var id uuid.UUID
		require.NoError(m.t, m.pool.QueryRow(m.ctx, `SELECT outhook.enqueue($1, 'a.b', '{"n": 1}')`, m.tenant).Scan(&id))
		m.events = append(m.events, id)
	}
}

func (m *model) endpoint(r *rapid.T) *modelEndpoint {
	return rapid.SampledFrom(m.endpoints).Draw(r, "endpoint")
}

func (m *model) delivery(r *rapid.T) deliveryID {
	if len(m.events) == 0 {
		r.Skip("no event yet")
	}
	return deliveryID{rapid.SampledFrom(m.events).Draw(r, "event"), m.endpoint(r).id}
}

func (m *model) replay(r *rapid.T) {
	d := m.delivery(r)
	now := rapid.Bool().Draw(r, "now")
	settled := m.testBundle.delivery(m.t, d.eventID, d.endpointID).State != db.DeliveryStatePending
	switch err := m.testBundle.replay(m.t, d.eventID, d.endpointID, now); {
	case errors.Is(err, ledger.ErrPending):
		require.False(m.t, now)
	case err == nil && (settled || m.testBundle.delivery(m.t, d.eventID, d.endpointID).State != db.DeliveryStatePending):
		m.replays[d]++
		m.cancelled[d] = false
	case err == nil:
		m.replays[d]++ // it may have been settled a moment ago
	default:
		require.NoError(m.t, err)
	}
}

func (m *model) cancel(r *rapid.T) {
	d := m.delivery(r)
	err := m.inTx(m.t, func(tx pgx.Tx) error { return ledger.Cancel(m.ctx, tx, d.eventID, d.endpointID) })
	if errors.Is(err, ledger.ErrSettled) {
		return
	}
	require.NoError(m.t, err)
	m.cancelled[d] = true
}

// rotate gives an endpoint a new secret; the old one signs for a second more, and the receiver knows both.
func (m *model) rotate(r *rapid.T) {
	e, secret := m.endpoint(r), signature.NewSecret()
	e.mu.Lock()
	e.secrets = append(e.secrets, secret)
	e.mu.Unlock()
	keyID, sealed := m.keyring.Seal(secret.Bytes(), e.id[:])
	m.exec(m.t, `UPDATE outhook.endpoint_secrets SET expires_at = now() + interval '1 second' WHERE endpoint_id = $1 AND expires_at IS NULL`, e.id)
	require.NoError(m.t, db.New().InsertEndpointSecret(m.ctx, m.pool, e.id, keyID, sealed))
}

// fetchAndDie takes what is due as a process does that dies before it sends anything, and lets the others know at once.
func (m *model) fetchAndDie(*rapid.T) {
	gone := "gone-" + uuid.NewString()
	m.exec(m.t, `UPDATE outhook.river_job SET state = 'running', attempt = attempt + 1, attempted_at = now() - interval '20 seconds',
		attempted_by = array_append(attempted_by, $1) WHERE kind = 'deliver' AND state = 'available' AND queue = 'deliver'`, gone)
	m.exec(m.t, `UPDATE outhook.leases SET since = now() - interval '7 seconds' WHERE name = 'workers'`)
}

func (m *model) awaitSomething(r *rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(1, 300).Draw(r, "ms")) * time.Millisecond)
}

func (m *model) enable(e *modelEndpoint) {
	m.exec(m.t, `UPDATE outhook.endpoints SET status = 'enabled' WHERE id = $1`, e.id)
}

// finish lets everything settle.
func (m *model) finish() {
	for _, e := range m.endpoints {
		e.fail(false)
		m.enable(e)
	}
	eventually(m.t, func() bool {
		return m.number(m.t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`) == 0 &&
			m.number(m.t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state IN ('available', 'running', 'retryable', 'scheduled')`) == 0
	}, func() any { return m.leases(m.t) })
	ctx, cancel := context.WithTimeout(m.ctx, 30*time.Second)
	defer cancel()
	require.NoError(m.t, m.client.Stop(ctx))
	for _, e := range m.endpoints {
		e.server.Close()
	}
}

// check compares the tables, the receivers' logs and what the machine did.
func (m *model) check() {
	for check, n := range m.inspect(m.t) {
		require.Zero(m.t, n, check)
	}
	rows := make(map[string]db.DeliveryAttempt)
	for _, eventID := range m.events {
		for _, a := range m.attempts(m.t, eventID) {
			rows[fmt.Sprintf("%s %s %d", a.EndpointID, a.EventID, a.Number)] = a
		}
	}
	for _, e := range m.endpoints {
		require.Zero(m.t, e.unsigned, "requests that no secret signed")
		for key, statuses := range e.requests {
			require.Len(m.t, statuses, 1, "two requests with the number %s", key)
			row, ok := rows[e.id.String()+" "+key]
			require.True(m.t, ok, "the request %s has no row", key)
			if row.StatusCode != nil {
				require.Equal(m.t, statuses[0], int(*row.StatusCode))
			}
		}
		for _, eventID := range m.events {
			m.checkDelivery(e, eventID, rows)
		}
	}
}

func (m *model) checkDelivery(e *modelEndpoint, eventID uuid.UUID, rows map[string]db.DeliveryAttempt) {
	d, id := m.testBundle.delivery(m.t, eventID, e.id), deliveryID{eventID, e.id}
	heard, failures, answered := 0, 0, 0
	for number := 1; number <= int(d.AttemptCount); number++ {
		row, ok := rows[e.id.String()+" "+eventID.String()+" "+strconv.Itoa(number)]
		require.True(m.t, ok, "attempt %d of %d is missing in the log", number, d.AttemptCount)
		statuses := e.requests[eventID.String()+" "+strconv.Itoa(number)]
		if row.StatusCode != nil {
			require.Len(m.t, statuses, 1, "attempt %d has a status, and no request", number)
		}
		switch {
		case row.Outcome == db.AttemptOutcomeSucceeded:
			heard++
		case row.Outcome != db.AttemptOutcomeUnknown:
			failures++
		}
		if len(statuses) == 1 && statuses[0] == http.StatusNoContent {
			answered++
		}
	}
	require.NotContains(m.t, rows, fmt.Sprintf("%s %s %d", e.id, eventID, d.AttemptCount+1))
	require.LessOrEqual(m.t, heard, 1+m.replays[id], "sent again although its success was recorded")
	switch d.State {
	case db.DeliveryStateSucceeded:
		require.Positive(m.t, answered)
	case db.DeliveryStateFailed:
		require.Equal(m.t, ledger.ReasonExhausted, *d.Reason)
		require.GreaterOrEqual(m.t, failures, propertyTries, "given up with tries left")
	case db.DeliveryStateCancelled:
		require.True(m.t, m.cancelled[id], "cancelled by nobody")
	case db.DeliveryStatePending:
		require.Fail(m.t, "pending")
	}
}

// TestLedgerHoldsWhateverHappens draws sequences of everything that a delivery can meet, crashes included, and compares in
// the end what the receivers got with what the tables say.
func TestLedgerHoldsWhateverHappens(t *testing.T) {
	t.Parallel()
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		require.NoError(t, f.Value.Set(propertyChecks))
	}
	b := setup(t)
	rapid.Check(t, func(r *rapid.T) {
		m := newModel(t, b)
		r.Repeat(map[string]func(*rapid.T){
			"enqueue":     m.enqueue,
			"enqueueMore": m.enqueue,
			"fail":        func(r *rapid.T) { m.endpoint(r).fail(true) },
			"deliver":     func(r *rapid.T) { m.endpoint(r).fail(false) },
			"pause":       func(r *rapid.T) { m.setStatus(t, m.endpoint(r).id, db.EndpointStatusPaused) },
			"enable":      func(r *rapid.T) { m.enable(m.endpoint(r)) },
			"replay":      m.replay,
			"cancel":      m.cancel,
			"rotate":      m.rotate,
			"crash":       func(*rapid.T) { m.crash() },
			"fetchAndDie": m.fetchAndDie,
			"wait":        m.awaitSomething,
		})
		m.finish()
		m.check()
		requests := 0
		for _, e := range m.endpoints {
			requests += len(e.requests)
		}
		t.Log(strings.Join([]string{fmt.Sprint(len(m.events), " events"), fmt.Sprint(requests, " requests"), fmt.Sprint(m.crashes, " crashes")}, ", "))
	})
}

// A delivery's row that somebody deletes by hand during an attempt comes back with the outcome: the request has left, its
// row in the log needs a delivery, and an enqueued event is not to be lost by the way.
func TestADeliveryDeletedDuringAnAttemptComesBack(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"Succeeded": http.StatusNoContent, "Pending": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			free := make(chan struct{})
			b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
				if req.Header.Get("outhook-attempt") == "1" {
					<-free
					w.WriteHeader(status)
				}
			})
			endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second}), func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
			eventID := b.enqueue(t, `{}`)
			cfg := b.config(t)
			cfg.Deliver.KeptJobRate = 0
			b.start(t, cfg)
			eventually(t, func() bool { return len(b.receiver.received()) == 1 }, func() any { return nil })
			b.exec(t, `DELETE FROM outhook.deliveries WHERE event_id = $1`, eventID)
			close(free)
			eventually(t, func() bool {
				return b.number(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 1
			},
				func() any { return nil })
			d := b.delivery(t, eventID, endpointID)
			require.Len(t, b.attempts(t, eventID), int(d.AttemptCount))
			eventually(t, func() bool {
				return b.number(t, `SELECT count(*) FROM outhook.river_job WHERE kind = 'deliver' AND state <> 'completed'`) == 0
			}, func() any { return nil })
			for check, n := range b.inspect(t) {
				require.Zero(t, n, check)
			}
		})
	}
}
