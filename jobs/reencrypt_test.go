package jobs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/rekey"
)

// keys returns how many secrets each key has sealed.
func (b *testBundle) keys(t *testing.T) map[string]int {
	t.Helper()
	rows, err := b.pool.Query(b.ctx, `SELECT key_id, count(*) FROM outhook.endpoint_secrets GROUP BY key_id`)
	require.NoError(t, err)
	defer rows.Close()
	count := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		require.NoError(t, rows.Scan(&key, &n))
		count[key] = n
	}
	require.NoError(t, rows.Err())
	return count
}

// Workers deliver all the time while everything is encrypted anew, a row at a time: no signature and no header is wrong, and
// none is missing.
func TestReencryptWhileWorkersDeliver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	oldKey, newKey := signature.NewKey(), signature.NewKey()
	var err error
	b.keyring, err = signature.ParseKeyring(oldKey)
	require.NoError(t, err)
	oldID := b.keyring.KeyID()
	secrets := map[uuid.UUID]signature.Secret{}
	for range 40 {
		id, secret := b.endpoint(t)
		secrets[id] = secret
		headers, err := b.keyring.SealHeaders(map[string]string{"Authorization": "Bearer " + id.String()}, id[:])
		require.NoError(t, err)
		require.NoError(t, db.New().SetSecretHeaders(b.ctx, b.pool, headers, id))
		b.exec(t, `UPDATE outhook.endpoints SET url = url || '/' || id WHERE id = $1`, id)
	}
	for i := range 3 {
		id := []byte{byte(i)}
		keyID, sealed := b.keyring.Seal([]byte("an answer"), id)
		b.exec(t, `INSERT INTO outhook.stored_answers (id, key_id, sealed) VALUES ($1, $2, $3)`, id, keyID, sealed)
	}
	both, err := signature.ParseKeyring(newKey + "," + oldKey)
	require.NoError(t, err)
	b.keyring = both
	b.start(t, b.config(t))

	const events = 20
	var done rekey.Result
	ended := make(chan error, 1)
	go func() {
		var err error
		done, err = rekey.Run(b.ctx, b.pool, both, 1)
		ended <- err
	}()
	for range events / 2 {
		b.enqueue(t, `{"n": 1}`)
	}
	require.NoError(t, <-ended)
	require.Equal(t, rekey.Result{Secrets: 40, Headers: 40, Answers: 3, Unreadable: map[string]int{}}, done)
	require.Equal(t, map[string]int{both.KeyID(): 40}, b.keys(t))
	require.NotContains(t, b.keys(t), oldID)
	for range events / 2 {
		b.enqueue(t, `{"n": 2}`)
	}

	eventually(t, func() bool { return len(b.receiver.received()) >= events*len(secrets) }, func() any { return len(b.receiver.received()) })
	for _, r := range b.receiver.received() {
		id, err := uuid.Parse(r.path[len(r.path)-36:])
		require.NoError(t, err)
		require.NoError(t, signature.Verify([]signature.Secret{secrets[id]}, r.header, r.body, time.Now(), time.Hour))
		require.Equal(t, "Bearer "+id.String(), r.header.Get("Authorization"))
	}
	var failures int
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM outhook.delivery_attempts WHERE outcome <> 'succeeded'`).Scan(&failures))
	require.Zero(t, failures)
	var kept json.RawMessage
	require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT request_headers FROM outhook.delivery_attempts LIMIT 1`).Scan(&kept))
	require.Contains(t, string(kept), `"authorization": "[redacted]"`)

	// The old key can go.
	alone, err := signature.ParseKeyring(newKey)
	require.NoError(t, err)
	rows, err := db.New().LockStaleAnswers(b.ctx, b.pool, "", []byte{}, 10)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	for _, row := range rows {
		answer, err := alone.Open(row.KeyID, row.Sealed, row.ID)
		require.NoError(t, err)
		require.Equal(t, "an answer", string(answer))
	}
	done, err = rekey.Run(b.ctx, b.pool, alone, 7)
	require.NoError(t, err)
	require.Equal(t, rekey.Result{Unreadable: map[string]int{}}, done)
}

func TestReencryptGoesOnAfterAStopAndTellsWhatItCantRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []uuid.UUID
	for range 5 {
		id, _ := b.endpoint(t)
		ids = append(ids, id)
	}
	lost := b.keyring.KeyID()
	newKey := signature.NewKey()
	only, err := signature.ParseKeyring(newKey)
	require.NoError(t, err)
	// Without the key that sealed them nothing is lost, and it is told.
	done, err := rekey.Run(b.ctx, b.pool, only, 2)
	require.NoError(t, err)
	require.Equal(t, map[string]int{lost: 5}, done.Unreadable)
	require.Equal(t, map[string]int{lost: 5}, b.keys(t))

	// A secret that was moved to another endpoint can't be read either.
	oldKeyText := signature.NewKey()
	old, err := signature.ParseKeyring(oldKeyText)
	require.NoError(t, err)
	both, err := signature.ParseKeyring(newKey + "," + oldKeyText)
	require.NoError(t, err)
	for i, id := range ids {
		owner := id
		if i == 0 {
			owner = ids[1]
		}
		keyID, sealed := old.Seal(signature.NewSecret().Bytes(), owner[:])
		b.exec(t, `UPDATE outhook.endpoint_secrets SET key_id = $2, sealed = $3 WHERE endpoint_id = $1`, id, keyID, sealed)
	}
	// One row is done already, as after a call that was cut short.
	keyID, sealed := both.Seal(signature.NewSecret().Bytes(), ids[2][:])
	b.exec(t, `UPDATE outhook.endpoint_secrets SET key_id = $2, sealed = $3 WHERE endpoint_id = $1`, ids[2], keyID, sealed)
	done, err = rekey.Run(b.ctx, b.pool, both, 2)
	require.NoError(t, err)
	require.Equal(t, rekey.Result{Secrets: 3, Unreadable: map[string]int{old.KeyID(): 1}}, done)
	require.Equal(t, map[string]int{both.KeyID(): 4, old.KeyID(): 1}, b.keys(t))
}

// A worker that does not know the key yet keeps the delivery, takes no attempt number, and sends it once it knows.
func TestUnknownKeyLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, secret := b.endpoint(t)
	cfg := b.config(t)
	stranger, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	cfg.Deliver.Keyring = stranger
	ignorant, err := jobs.New(cfg)
	require.NoError(t, err)
	require.NoError(t, ignorant.Start(b.ctx))
	event := b.enqueue(t, `{}`)
	eventually(t, func() bool {
		state, _ := b.jobState(t, event, id)
		return state == "scheduled"
	}, func() any { return "never given back" })
	require.NoError(t, ignorant.Stop(b.ctx))
	require.Empty(t, b.attempts(t, event))

	b.start(t, b.config(t))
	b.awaitState(t, event, id, db.DeliveryStateSucceeded)
	got := b.receiver.received()
	require.Len(t, got, 1)
	require.Equal(t, "1", got[0].header.Get("outhook-attempt"))
	require.NoError(t, signature.Verify([]signature.Secret{secret}, got[0].header, got[0].body, time.Now(), time.Hour))
}
