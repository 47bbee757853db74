package console_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages/pagetest"
)

// People without a script, by keys alone, by a link, and on the live page get where they want to.
func TestJourneys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.seed()
	hour := 3600
	code, err := b.api.CreateSessionCode(t.Context(), &client.NewCode{ExpiresInS: &hour}, client.CreateSessionCodeParams{})
	require.NoError(t, err)
	// It stands for the workers: each delivery has its first attempt at once.
	b.exec(`CREATE FUNCTION outhook.attempt_at_once() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, status_code)
			VALUES (NEW.event_id, NEW.endpoint_id, 1, now(), 1, 'succeeded', 200);
			RETURN NEW;
		END $$`)
	b.exec(`CREATE TRIGGER attempt_at_once AFTER INSERT ON outhook.deliveries FOR EACH ROW EXECUTE FUNCTION outhook.attempt_at_once()`)

	var found []string
	pagetest.Drive(t, "journeys.mjs", map[string]string{
		"base": b.base, "key": adminKey, "event": w.event, "other": w.other, "endpoint": w.endpoint, "code": code.Code,
	}, &found)
	require.Empty(t, found)
}
