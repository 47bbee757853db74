package jobs_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/ledger"
)

func TestDeliver(t *testing.T) {
	t.Parallel()

	t.Run("SendsThePublishedBytesSigned", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, secret := b.endpoint(t)
		payload := "{\"a\" : 1e400,\t\"a\": \"\\u00e9<&>\\/ é\"\n}"
		eventID := b.enqueue(t, payload)
		b.start(t, b.config(t))

		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.Equal(t, int32(1), d.AttemptCount)
		require.Zero(t, d.TryCount)
		require.Nil(t, d.NextAttemptAt)

		got := b.receiver.received()
		require.Len(t, got, 1)
		require.Equal(t, payload, string(got[0].body))
		require.Equal(t, eventID.String(), got[0].header.Get("webhook-id"))
		require.Equal(t, "invoice.paid", got[0].header.Get("outhook-event-type"))
		require.Equal(t, "1", got[0].header.Get("outhook-attempt"))
		require.Equal(t, "1", got[0].header.Get("outhook-depth"))
		require.Equal(t, "Outhook/test", got[0].header.Get("user-agent"))
		require.Equal(t, "application/json", got[0].header.Get("content-type"))
		require.Equal(t, "*/*", got[0].header.Get("accept"))
		verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(got[0].body, got[0].header))

		attempts := b.attempts(t, eventID)
		require.Len(t, attempts, 1)
		a := attempts[0]
		require.Equal(t, db.AttemptOutcomeSucceeded, a.Outcome)
		require.Equal(t, db.AttemptTriggerScheduled, a.Trigger)
		require.Equal(t, int32(204), *a.StatusCode)
		require.Equal(t, strconv.FormatInt(a.StartedAt.Unix(), 10), got[0].header.Get("webhook-timestamp"))
		require.NotContains(t, string(a.RequestHeaders), got[0].header.Get("webhook-signature"))
		require.Contains(t, string(a.RequestHeaders), `"webhook-signature": "[redacted]"`)
		require.Contains(t, string(a.RequestHeaders), `"accept": "*/*"`)
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "completed", state)
	})

	t.Run("LeavesTheEndpointItsOwnAccept", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, _ := b.endpoint(t, func(p *db.InsertEndpointParams) {
			p.Headers = json.RawMessage(`{"accept": "application/vnd.s3cret+json"}`)
		})
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))

		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		require.Equal(t, []string{"application/vnd.s3cret+json"}, b.receiver.received()[0].header.Values("accept"))
		require.Contains(t, string(b.attempts(t, eventID)[0].RequestHeaders), `"accept": "[redacted]"`)
	})

	t.Run("SendsTheHeadersOfItsEvent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, secret := b.endpoint(t, func(p *db.InsertEndpointParams) {
			p.Headers = json.RawMessage(`{"x-own": "the endpoint's"}`)
		})
		var eventID uuid.UUID
		require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT outhook.enqueue($1, 'invoice.paid', '{}',
			headers => '{"x-source": "s3cret \"a\"", "x-own": "the event''s", "baggage": "k=v", "tracestate": "a=b"}')`, tenant).Scan(&eventID))
		b.start(t, b.config(t))

		b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
		got := b.receiver.received()[0]
		for name, value := range map[string]string{
			"x-source": `s3cret "a"`, "x-own": "the endpoint's", "baggage": "k=v", "tracestate": "a=b", "webhook-id": eventID.String(),
		} {
			require.Equal(t, []string{value}, got.header.Values(name), name)
		}
		require.Empty(t, got.header.Values("ce-id"))
		verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
		require.NoError(t, err)
		require.NoError(t, verifier.Verify(got.body, got.header))
		require.Contains(t, string(b.attempts(t, eventID)[0].RequestHeaders), `"x-source": "[redacted]"`)
	})

	t.Run("GivesUpWhenTheScheduleIsUsedUp", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.receiver.answers(status(http.StatusInternalServerError))
		endpointID, _ := b.endpoint(t, withSchedule(retry.Schedule{time.Second, time.Second}))
		eventID := b.enqueue(t, `{}`)
		b.start(t, b.config(t))

		d := b.awaitState(t, eventID, endpointID, db.DeliveryStateFailed)
		require.Equal(t, ledger.ReasonExhausted, *d.Reason)
		require.Equal(t, int32(3), d.TryCount)
		attempts := b.attempts(t, eventID)
		require.Len(t, attempts, 3)
		for i, a := range attempts {
			require.Equal(t, int32(i+1), a.Number)
			require.Equal(t, db.AttemptOutcomeRejected, a.Outcome)
			if i > 0 {
				require.GreaterOrEqual(t, a.StartedAt.Sub(attempts[i-1].StartedAt), time.Second)
			}
		}
		state, _ := b.jobState(t, eventID, endpointID)
		require.Equal(t, "discarded", state)
		require.Len(t, b.receiver.received(), 3)
	})
}

// What is recorded is not sent again, so it must survive a crash of the database, also where that is not the default.
func TestOutcomesAreDurable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, sql := range []string{
		`CREATE TABLE seen (setting text)`,
		`CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`,
		`CREATE TRIGGER look AFTER INSERT ON outhook.delivery_attempts FOR EACH ROW EXECUTE FUNCTION look()`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`,
	} {
		_, err := b.pool.Exec(b.ctx, sql)
		require.NoError(t, err)
	}
	endpointID, _ := b.endpoint(t)
	eventID := b.enqueue(t, `{}`)
	b.start(t, b.config(t))
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	var setting string
	require.NoError(t, b.pool.QueryRow(b.ctx, "SELECT setting FROM seen").Scan(&setting))
	require.Equal(t, "on", setting)
}
