package outhooktest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/outhooktest"
)

// enqueue commits an event of the tenant acme.
func enqueue(t *testing.T, pool *pgxpool.Pool, typ, payload string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = outhook.Enqueue(t.Context(), tx, event(typ, payload))
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	pool := outhooktest.Database(t)
	var secret, got string
	status := http.StatusNoContent
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = webhook.Verify(body, r.Header)
		}
		if err != nil {
			status = http.StatusUnauthorized
		}
		got += string(body)
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	secret = outhooktest.Endpoint(t, pool, "acme", receiver.URL, "invoice.paid")
	require.Empty(t, outhooktest.Deliver(t, pool), "nothing is due")

	enqueue(t, pool, "invoice.paid", `{"id": 17}`)
	enqueue(t, pool, "invoice.sent", `{"id": "nobody's"}`)
	attempts := outhooktest.Deliver(t, pool)
	require.Len(t, attempts, 1)
	require.NotZero(t, attempts[0].EventID)
	require.Equal(t, outhooktest.Attempt{
		EventID: attempts[0].EventID, EndpointID: attempts[0].EndpointID, Type: "invoice.paid", Number: 1,
		Outcome: "succeeded", StatusCode: 204,
	}, attempts[0])
	require.JSONEq(t, `{"id": 17}`, got)

	status = http.StatusInternalServerError
	enqueue(t, pool, "invoice.paid", `{"id": 18}`)
	attempts = outhooktest.Deliver(t, pool)
	require.Len(t, attempts, 1)
	require.Equal(t, "rejected", attempts[0].Outcome)
	require.Equal(t, 500, attempts[0].StatusCode)
	require.NotEmpty(t, attempts[0].Error)
	require.Empty(t, outhooktest.Deliver(t, pool), "it is due in a minute")
}

func TestDeliverLeavesWhatIsPaused(t *testing.T) {
	t.Parallel()
	pool := outhooktest.Database(t)
	outhooktest.Endpoint(t, pool, "acme", "http://127.0.0.1:1/")
	_, err := pool.Exec(t.Context(), `UPDATE outhook.endpoints SET status = 'paused'`)
	require.NoError(t, err)
	enqueue(t, pool, "invoice.paid", `{}`)
	require.Empty(t, outhooktest.Deliver(t, pool))
}

func TestDeliverSaysWhatItCouldNot(t *testing.T) {
	t.Parallel()
	pool := outhooktest.Database(t)
	outhooktest.Endpoint(t, pool, "acme", "http://127.0.0.1:1/")
	_, err := pool.Exec(t.Context(), `UPDATE outhook.endpoint_secrets SET key_id = '00000000'`)
	require.NoError(t, err)
	enqueue(t, pool, "invoice.paid", `{}`)
	text := failure(t, func(t testing.TB) { t.Helper(); outhooktest.DeliverWithin(t, pool, 2*time.Second) })
	require.Contains(t, text, "1 deliveries that are due were not attempted")
	require.Contains(t, text, "outhooktest.Endpoint")
}
