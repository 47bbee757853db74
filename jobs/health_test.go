package jobs_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/ledger"
)

// healthConfig is for workers that tell what they see at once and hold no state.
func (b *testBundle) healthConfig(t *testing.T) jobs.Config {
	t.Helper()
	cfg := b.config(t)
	cfg.Health.Interval, cfg.Health.Hold = 10*time.Millisecond, time.Nanosecond
	return cfg
}

func (b *testBundle) health(t *testing.T, endpointID uuid.UUID) (h db.EndpointHealth) {
	t.Helper()
	list, err := db.New().ListEndpointHealth(b.ctx, b.pool, []uuid.UUID{endpointID})
	require.NoError(t, err)
	if len(list) > 0 {
		h = list[0]
	}
	return h
}

func (b *testBundle) awaitHealth(t *testing.T, endpointID uuid.UUID, done func(db.EndpointHealth) bool) db.EndpointHealth {
	t.Helper()
	var h db.EndpointHealth
	eventually(t, func() bool { h = b.health(t, endpointID); return done(h) }, func() any { return h })
	return h
}

func (b *testBundle) endpointRow(t *testing.T, id uuid.UUID) db.Endpoint {
	t.Helper()
	n, err := db.New().GetEndpoint(b.ctx, b.pool, id)
	require.NoError(t, err)
	return n
}

func (b *testBundle) awaitStatus(t *testing.T, id uuid.UUID, status db.EndpointStatus) db.Endpoint {
	t.Helper()
	var n db.Endpoint
	eventually(t, func() bool { n = b.endpointRow(t, id); return n.Status == status }, func() any { return n.StatusReason })
	return n
}

// operator makes an endpoint of the operator tenant, whose requests are under /operator, and returns its id.
func (b *testBundle) operator(t *testing.T, types ...string) uuid.UUID {
	t.Helper()
	id, _ := b.endpoint(t, withURL(b.receiver.URL+"/operator"), func(p *db.InsertEndpointParams) {
		p.TenantID, p.EventTypes = health.OperatorTenant, append([]string{}, types...)
	})
	return id
}

type operational struct {
	Type      string
	Timestamp time.Time
	Data      map[string]any
}

// told returns the operational events of a type that have arrived.
func (b *testBundle) told(t *testing.T, eventType string) (list []operational) {
	t.Helper()
	for _, r := range b.receiver.received() {
		if r.path != "/operator" {
			continue
		}
		var e operational
		require.NoError(t, json.Unmarshal(r.body, &e))
		if e.Type == eventType {
			list = append(list, e)
		}
	}
	return list
}

func (b *testBundle) awaitTold(t *testing.T, eventType string, n int) []operational {
	t.Helper()
	var list []operational
	eventually(t, func() bool { list = b.told(t, eventType); return len(list) >= n }, func() any { return list })
	return list
}

// answersBut answers the operator with 204 and everybody else as told.
func (b *testBundle) answersBut(code *atomic.Int32) {
	b.receiver.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/operator" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(int(code.Load()))
	})
}

func TestHealth(t *testing.T) {
	t.Parallel()

	t.Run("FailuresInARowMakeItFailingAndASuccessHealthy", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.operator(t, "outhook.endpoint.*")
		var code atomic.Int32
		code.Store(http.StatusServiceUnavailable)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t, withSchedule(nil), func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
		b.start(t, b.healthConfig(t))
		for range 4 {
			b.enqueue(t, `{}`)
		}
		h := b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 4 })
		require.Equal(t, health.Healthy, h.State)
		require.Nil(t, h.LastSuccessAt)
		b.enqueue(t, `{}`)
		h = b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.State == health.Failing })
		require.EqualValues(t, 5, h.ConsecutiveFailures)
		require.EqualValues(t, 503, *h.LastStatusCode)
		require.NotNil(t, h.FailingSince)
		require.True(t, h.FailingSince.Before(*h.LastFailureAt))

		failing := b.awaitTold(t, health.EventEndpointFailing, 1)
		require.Equal(t, endpointID.String(), failing[0].Data["endpoint_id"])
		require.Equal(t, tenant, failing[0].Data["tenant_id"])
		require.Equal(t, strings.TrimPrefix(b.receiver.URL, "http://"), failing[0].Data["host"])
		require.EqualValues(t, 5, failing[0].Data["consecutive_failures"])
		require.EqualValues(t, 503, failing[0].Data["last_status_code"])

		code.Store(http.StatusOK)
		b.enqueue(t, `{}`)
		h = b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.State == health.Healthy })
		require.Zero(t, h.ConsecutiveFailures)
		require.Nil(t, h.FailingSince)
		require.NotNil(t, h.LastSuccessAt)
		b.awaitTold(t, health.EventEndpointRecovered, 1)
		require.Len(t, b.told(t, health.EventEndpointFailing), 1)
		require.Empty(t, b.told(t, health.EventDeliveryFailed), "the operator is not subscribed to it")
	})

	t.Run("ManyWorkersAgreeAndARestartForgetsNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
		cfg := b.healthConfig(t)
		cfg.Health.Interval, cfg.River.MaxWorkers = time.Hour, 5 // nothing is told before the stop
		var clients []*jobs.Client
		for range 3 {
			client, err := jobs.New(cfg)
			require.NoError(t, err)
			require.NoError(t, client.Start(b.ctx))
			clients = append(clients, client)
		}
		for range 60 {
			b.enqueue(t, `{}`)
		}
		eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'failed'`) == 60 }, func() any { return nil })
		require.Zero(t, b.health(t, endpointID).EndpointID, "no row was written per delivery")
		for _, client := range clients {
			require.NoError(t, client.Stop(b.ctx))
		}
		h := b.health(t, endpointID)
		require.EqualValues(t, 60, h.ConsecutiveFailures)
		require.Equal(t, health.Failing, h.State)
		var first time.Time
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT min(started_at + duration_ms * interval '1 ms') FROM outhook.delivery_attempts`).Scan(&first))
		require.WithinDuration(t, first, *h.FailingSince, time.Millisecond)

		b.start(t, b.healthConfig(t))
		b.enqueue(t, `{}`)
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 61 })
	})

	t.Run("AHeldStateIsSettledLater", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at) VALUES ($1, 'failing', now() - interval '10 min')`, endpointID)
		b.start(t, b.healthConfig(t))
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.State == health.Healthy })
	})
}

// ail makes an endpoint look as if it had been failing for a time.
func (b *testBundle) ail(t *testing.T, endpointID uuid.UUID, failures int, since time.Duration) {
	t.Helper()
	b.exec(t, `INSERT INTO outhook.endpoint_health (endpoint_id, state, consecutive_failures, failing_since, last_failure_at)
		VALUES ($1, 'failing', $2, now() - make_interval(secs => $3), now() - interval '1 min')`, endpointID, failures, since.Seconds())
}

func TestAutoDisable(t *testing.T) {
	t.Parallel()

	t.Run("AfterTheConfiguredTimeAndFailures", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.operator(t, health.EventEndpointDisabled)
		var code atomic.Int32
		code.Store(http.StatusInternalServerError)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
		few, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
		recent, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Hour}))
		b.ail(t, endpointID, 19, 5*24*time.Hour)
		b.ail(t, few, 18, 5*24*time.Hour)
		b.ail(t, recent, 50, 5*24*time.Hour-10*time.Minute)
		waiting := b.enqueue(t, `{}`)
		b.start(t, b.healthConfig(t))

		n := b.awaitStatus(t, endpointID, db.EndpointStatusDisabled)
		require.Regexp(t, `^failing: 20 attempts in a row since 20.*Z$`, n.StatusReason)
		require.WithinDuration(t, time.Now(), n.StatusChangedAt, time.Minute)
		d := b.awaitState(t, waiting, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonEndpointDisabled, *d.Reason)
		jobState, _ := b.jobState(t, waiting, endpointID)
		require.Equal(t, "cancelled", jobState)
		told := b.awaitTold(t, health.EventEndpointDisabled, 1)
		require.Equal(t, n.StatusReason, told[0].Data["status_reason"])
		require.Equal(t, "disabled", told[0].Data["status"])

		b.awaitHealth(t, few, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 19 })
		b.awaitHealth(t, recent, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 51 })
		require.Equal(t, db.EndpointStatusEnabled, b.endpointRow(t, few).Status)
		require.Equal(t, db.EndpointStatusEnabled, b.endpointRow(t, recent).Status)
		require.Len(t, b.told(t, health.EventEndpointDisabled), 1)
	})

	t.Run("NeverIfSoConfigured", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t)
		b.ail(t, endpointID, 1000, 1000*time.Hour)
		cfg := b.healthConfig(t)
		cfg.Health.DisableAfter = 0
		b.enqueue(t, `{}`)
		b.start(t, cfg)
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 1001 })
		require.Equal(t, db.EndpointStatusEnabled, b.endpointRow(t, endpointID).Status)
	})

	t.Run("AtOnceOn410WithTheOperatorToldInTheSameTransaction", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.operator(t)
		var code atomic.Int32
		code.Store(http.StatusGone)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t)
		later := b.enqueue(t, `{}`)
		b.exec(t, `UPDATE outhook.river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour'`)
		b.enqueue(t, `{}`)
		b.start(t, b.healthConfig(t))
		n := b.awaitStatus(t, endpointID, db.EndpointStatusDisabled)
		require.Equal(t, "gone: it answered 410", n.StatusReason)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1 AND type = $2`, health.OperatorTenant, health.EventEndpointDisabled))
		b.awaitTold(t, health.EventEndpointDisabled, 1)
		d := b.awaitState(t, later, endpointID, db.DeliveryStateCancelled)
		require.Equal(t, ledger.ReasonEndpointDisabled, *d.Reason, "one that is not due for an hour is cancelled too")
		require.Nil(t, b.health(t, endpointID).ProbeAt, "it said that it is gone")
	})
}

func TestProbe(t *testing.T) {
	t.Parallel()

	t.Run("SuccessEnablesTheEndpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.operator(t)
		var code atomic.Int32
		code.Store(http.StatusInternalServerError)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t)
		b.ail(t, endpointID, 30, 6*24*time.Hour)
		eventID := b.enqueue(t, `{}`)
		cfg := b.healthConfig(t)
		b.start(t, cfg)
		b.awaitStatus(t, endpointID, db.EndpointStatusDisabled)
		b.awaitState(t, eventID, endpointID, db.DeliveryStateCancelled) // what cancels it would cancel the probe too
		h := b.health(t, endpointID)
		require.WithinDuration(t, time.Now().Add(time.Hour), *h.ProbeAt, time.Minute)

		// The first one fails, and the next is due after twice the time.
		before := len(b.receiver.received())
		b.exec(t, `UPDATE outhook.endpoint_health SET probe_at = now()`)
		require.NoError(t, b.probe(cfg))
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.deliveries d JOIN outhook.events e ON e.id = d.event_id
			WHERE e.type = 'outhook.test' AND d.state = 'failed'`) == 1
		}, func() any { return nil })
		require.Greater(t, len(b.receiver.received()), before)
		require.Equal(t, db.EndpointStatusDisabled, b.endpointRow(t, endpointID).Status)
		require.WithinDuration(t, time.Now().Add(2*time.Hour), *b.health(t, endpointID).ProbeAt, time.Minute)
		require.NoError(t, b.probe(cfg), "nothing is due")

		code.Store(http.StatusOK)
		b.exec(t, `UPDATE outhook.endpoint_health SET probe_at = now()`)
		require.NoError(t, b.probe(cfg))
		n := b.awaitStatus(t, endpointID, db.EndpointStatusEnabled)
		require.Equal(t, "probe: it answered again", n.StatusReason)
		h = b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.LastSuccessAt != nil })
		require.Equal(t, health.Healthy, h.State)
		require.Zero(t, h.ConsecutiveFailures)
		require.Nil(t, h.ProbeAt)
		b.awaitTold(t, health.EventEndpointRecovered, 1)
		require.Empty(t, b.told(t, health.EventDeliveryFailed), "a failed probe is no dead letter")
	})

	t.Run("AGoneEndpointIsNotProbedAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusGone))
		endpointID, _ := b.endpoint(t)
		b.ail(t, endpointID, 30, 6*24*time.Hour)
		b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'failing: by hand'`)
		b.exec(t, `UPDATE outhook.endpoint_health SET probe_at = now()`)
		cfg := b.healthConfig(t)
		require.NoError(t, b.probe(cfg))
		b.start(t, cfg)
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ProbeAt == nil })
		require.Equal(t, db.EndpointStatusDisabled, b.endpointRow(t, endpointID).Status)
	})

	t.Run("APersonsDecisionStays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		b.ail(t, endpointID, 30, 6*24*time.Hour)
		b.exec(t, `UPDATE outhook.endpoint_health SET probe_at = now()`)
		b.exec(t, `UPDATE outhook.endpoints SET status = 'disabled', status_reason = 'failing: by hand'`)
		cfg := b.healthConfig(t)
		require.NoError(t, b.probe(cfg))
		b.exec(t, `UPDATE outhook.endpoints SET status_reason = 'api'`)
		b.start(t, cfg)
		eventually(t, func() bool {
			return b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'succeeded'`) == 1
		}, func() any { return nil })
		require.Equal(t, db.EndpointStatusDisabled, b.endpointRow(t, endpointID).Status)
	})
}

func TestOperationalEvents(t *testing.T) {
	t.Parallel()

	t.Run("DeadLettersAreTold", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		operatorID := b.operator(t, health.EventDeliveryFailed)
		var code atomic.Int32
		code.Store(http.StatusTeapot)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
		const n = 120
		require.NoError(t, b.inTx(t, func(tx pgx.Tx) error {
			_, err := tx.Exec(b.ctx, `SELECT count(outhook.enqueue($1, 'invoice.paid', '{}'::text)) FROM generate_series(1, $2)`, tenant, n)
			return err
		}))
		b.start(t, b.healthConfig(t))
		list := b.awaitTold(t, health.EventDeliveryFailed, n)
		events := map[any]bool{}
		for _, e := range list {
			events[e.Data["event_id"]] = true
			require.Equal(t, endpointID.String(), e.Data["endpoint_id"])
			require.Equal(t, tenant, e.Data["tenant_id"])
			require.Equal(t, "invoice.paid", e.Data["event_type"])
			require.Equal(t, "exhausted", e.Data["reason"])
			require.Equal(t, "rejected", e.Data["last_outcome"])
			require.EqualValues(t, 418, e.Data["last_status_code"])
			require.EqualValues(t, 1, e.Data["attempt_count"])
		}
		require.Len(t, events, n)
		require.Equal(t, n, b.count(t, `SELECT count(*) FROM outhook.deliveries WHERE endpoint_id = $1`, operatorID))
	})

	t.Run("NobodySubscribedStoresNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.operator(t, health.EventEndpointDisabled)
		var code atomic.Int32
		code.Store(http.StatusTeapot)
		b.answersBut(&code)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
		for range 10 {
			b.enqueue(t, `{}`)
		}
		b.start(t, b.healthConfig(t))
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == 10 && h.State == health.Failing })
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1`, health.OperatorTenant))
		require.Zero(t, b.count(t, `SELECT count(*) FROM outhook.event_keys`))
	})

	t.Run("TheOperatorsOwnFailuresAreNotTold", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		operatorID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) {
			p.TenantID, p.RetrySchedule = health.OperatorTenant, []int32{}
		})
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.RetrySchedule = []int32{} })
		const n = 8
		for range n {
			b.enqueue(t, `{}`)
		}
		cfg := b.healthConfig(t)
		b.start(t, cfg)
		b.awaitHealth(t, endpointID, func(h db.EndpointHealth) bool { return h.State == health.Failing })
		h := b.awaitHealth(t, operatorID, func(h db.EndpointHealth) bool { return h.ConsecutiveFailures == n+1 })
		require.Equal(t, health.Failing, h.State, "it has its health like any other")
		require.Equal(t, n+1, b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1`, health.OperatorTenant))
		code410 := b.count(t, `SELECT count(*) FROM outhook.events WHERE tenant_id = $1 AND payload::text LIKE '%' || $2 || '%'`,
			health.OperatorTenant, operatorID.String())
		require.Zero(t, code410)
	})
}
