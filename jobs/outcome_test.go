package jobs_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

// once is a schedule with one attempt.
func once() endpointOption { return withSchedule(retry.Schedule{}) }

func TestOutcome(t *testing.T) {
	t.Parallel()

	t.Run("RedirectIsAFailureAndNotFollowed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, b.receiver.URL+"/elsewhere", http.StatusTemporaryRedirect)
		})
		endpointID, _ := b.endpoint(t, once())
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, db.AttemptOutcomeRejected, b.attempts(t, eventID)[0].Outcome)
		require.Len(t, b.receiver.received(), 1)
	})

	t.Run("RefusedConnectionIsUnreachable", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t, once(), withURL("http://127.0.0.1:1/"))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		a := b.attempts(t, eventID)[0]
		require.Equal(t, db.AttemptOutcomeUnreachable, a.Outcome)
		require.Nil(t, a.StatusCode)
		require.Contains(t, *a.Error, "connection_refused")
	})

	t.Run("PrivateAddressIsBlocked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t, once())
		eventID := b.enqueue(t, `{}`)
		cfg := b.config(t)
		var err error
		cfg.Deliver.Egress, err = egress.New(egress.Config{})
		require.NoError(t, err)
		b.start(t, cfg)
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, db.AttemptOutcomeBlocked, b.attempts(t, eventID)[0].Outcome)
		require.Empty(t, b.receiver.received())
	})

	t.Run("SlowAnswerTimesOut", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
		endpointID, _ := b.endpoint(t, once(), func(p *db.InsertEndpointParams) { p.TimeoutMS = 1000 })
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		a := b.attempts(t, eventID)[0]
		require.Equal(t, db.AttemptOutcomeTimedOut, a.Outcome)
		require.InDelta(t, 1000, *a.DurationMS, 500)
	})

	t.Run("PhasesAreKept", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		first := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, first, endpointID, db.DeliveryStateSucceeded)
		a := b.attempts(t, first)[0]
		require.Nil(t, a.DNSUs, "the URL has an address")
		require.Nil(t, a.TLSUs)
		require.Positive(t, *a.ConnectUs)
		require.Positive(t, *a.FirstByteUs)

		// The next one, on the same connection.
		second := b.enqueue(t, `{}`)
		b.awaitState(t, second, endpointID, db.DeliveryStateSucceeded)
		a = b.attempts(t, second)[0]
		require.Nil(t, a.ConnectUs)
		require.Positive(t, *a.FirstByteUs)
	})

	t.Run("AnswerIsKeptTruncatedAndStorable", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("a\x00b\xffc" + strings.Repeat("x", 5000)))
		})
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		a := b.attempts(t, eventID)[0]
		require.True(t, a.ResponseTruncated)
		require.Equal(t, "a\uFFFDb\uFFFDc"+strings.Repeat("x", 1024-5), *a.ResponseBody)
	})

	t.Run("GoneDisablesTheEndpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusGone))
		endpointID, _ := b.endpoint(t)
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, ledger.ReasonGone, *d.Reason)
		var n db.Endpoint
		eventually(t, func() bool {
			var err error
			n, err = db.New().GetEndpoint(b.ctx, b.pool, endpointID)
			require.NoError(t, err)
			return n.Status == db.EndpointStatusDisabled
		}, func() any { return n })
		require.Contains(t, n.StatusReason, "410")
	})

	t.Run("WhatTooManyWebhooksLedToIsNotSent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t)
		const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
		var ids []uuid.UUID
		for _, stored := range []string{trace + ";depth=8", ";depth=9"} {
			var id uuid.UUID
			require.NoError(t, b.pool.QueryRow(b.ctx,
				`SELECT outhook.enqueue($1, 'invoice.paid', '{}'::text, traceparent => $2)`, tenant, stored).Scan(&id))
			ids = append(ids, id)
		}
		b.start(t, b.config(t))
		b.awaitState(t, ids[0], endpointID, db.DeliveryStateSucceeded)
		d := b.awaitState(t, ids[1], endpointID, db.DeliveryStateFailed)
		require.Equal(t, ledger.ReasonLoop, *d.Reason)
		require.Zero(t, d.AttemptCount)
		got := b.receiver.received()
		require.Len(t, got, 1)
		require.Equal(t, "9", got[0].header.Get("outhook-depth"))
		require.Equal(t, trace, got[0].header.Get("traceparent"))
	})

	t.Run("TestEventIsAttemptedOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t)
		eventID, err := db.New().InsertTestEvent(b.ctx, b.pool, db.InsertTestEventParams{
			TenantID: tenant, Type: ledger.TestEventType, Payload: []byte(`{}`), EndpointID: endpointID,
		})
		require.NoError(t, err)
		b.start(t, b.config(t))
		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, int32(1), d.AttemptCount)
	})
}

func TestTroubleOfOursTakesNoNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	cfg := b.config(t)
	other, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg.Deliver.Keyring = other
	b.start(t, cfg)

	// Set back with a snooze: waiting again, with the number taken back.
	var attempt int
	eventually(t, func() bool {
		var state string
		var snoozes int
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT state::text, attempt, coalesce((metadata->>'snoozes')::int, 0)
			FROM outhook.river_job WHERE kind = 'deliver'`).Scan(&state, &attempt, &snoozes))
		return snoozes > 0 && state != "running"
	}, func() any { return attempt })
	require.Zero(t, attempt)
	require.Empty(t, b.attempts(t, eventID))
	d := b.delivery(t, eventID, endpointID)
	require.Equal(t, db.DeliveryStatePending, d.State)
	require.Zero(t, d.AttemptCount)
}

// A stop whose grace period ends cuts the request: it may have left, so it is logged as unknown, uses up no delay of the
// schedule, and another worker attempts the delivery at once.
func TestStopCutsAnAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	arrived := make(chan struct{}, 1)
	b.receiver.answers(func(_ http.ResponseWriter, req *http.Request) {
		arrived <- struct{}{}
		<-req.Context().Done()
	})
	endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) { p.TimeoutMS = 30_000 })
	eventID := b.enqueue(t, `{}`)
	cfg := b.config(t)
	cfg.River.StopTimeout = 100 * time.Millisecond
	first, err := jobs.New(cfg)
	require.NoError(t, err)
	require.NoError(t, first.Start(b.ctx))
	<-arrived
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	require.NoError(t, first.Stop(ctx))

	attempts := b.attempts(t, eventID)
	require.Len(t, attempts, 1)
	require.Equal(t, db.AttemptOutcomeUnknown, attempts[0].Outcome)
	require.Zero(t, b.delivery(t, eventID, endpointID).TryCount)

	b.receiver.answers(nil)
	b.start(t, b.config(t))
	d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	require.Equal(t, int32(2), d.AttemptCount)
}
