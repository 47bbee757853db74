package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEndpointLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("Defaults", func(t *testing.T) {
		t.Parallel()
		got := b.requireObject(b.do("GET", "/api/endpoints/"+b.newEndpoint("defaults", "").String(), ""), 200)
		require.EqualValues(t, 32, got["max_in_flight"])
		require.Nil(t, got["rate_limit"])
		lane := got["lane"].(object)
		require.Equal(t, "shared", lane["state"])
		require.Empty(t, lane["reason"])
		require.NotEmpty(t, lane["since"])
	})

	t.Run("ARateLimitGivesALane", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("limited", `,"max_in_flight":5,"rate_limit":{"requests":90,"per":"minute","burst":10}`)
		path := "/api/endpoints/" + id.String()
		queue := func() string {
			var q string
			event := b.newEvent("limited", "a")
			require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT queue FROM outhook.river_job WHERE args ->> 'event_id' = $1", event.String()).Scan(&q))
			return q
		}
		got := b.requireObject(b.do("GET", path, ""), 200)
		require.EqualValues(t, 5, got["max_in_flight"])
		require.Equal(t, object{"requests": 90.0, "per": "minute", "burst": 10.0}, got["rate_limit"])
		require.Equal(t, "limited", got["lane"].(object)["state"])
		require.NotEmpty(t, got["lane"].(object)["reason"])
		require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.lanes WHERE endpoint_id = $1", id))
		require.Equal(t, "endpoint-"+id.String(), queue())

		got = b.requireObject(b.do("PATCH", path, `{"rate_limit":{"requests":50}}`), 200)
		require.Equal(t, object{"requests": 50.0, "per": "second", "burst": 1.0}, got["rate_limit"])
		got = b.requireObject(b.do("PATCH", path, `{"description":"d"}`), 200)
		require.Equal(t, object{"requests": 50.0, "per": "second", "burst": 1.0}, got["rate_limit"])

		got = b.requireObject(b.do("PATCH", path, `{"rate_limit":null,"max_in_flight":null}`), 200)
		require.Nil(t, got["rate_limit"])
		require.EqualValues(t, 32, got["max_in_flight"])
		require.Equal(t, "shared", got["lane"].(object)["state"])
		require.Equal(t, "deliver", queue())
	})

	t.Run("APausedOneKeepsItsJobs", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("pausedlimited", `,"rate_limit":{"requests":1}`)
		path := "/api/endpoints/" + id.String()
		b.requireObject(b.do("PATCH", path, `{"status":"paused"}`), 200)
		b.newEvent("pausedlimited", "a")
		waiting := func() int {
			return b.count("SELECT count(*) FROM outhook.river_job WHERE queue = 'endpoint-' || $1 AND state = 'available'", id.String())
		}
		require.Equal(t, 1, waiting())
		b.requireObject(b.do("PATCH", path, `{"rate_limit":null}`), 200)
		require.Equal(t, 1, waiting())
		b.requireObject(b.do("PATCH", path, `{"rate_limit":{"requests":1},"status":"enabled"}`), 200)
		require.Equal(t, 1, waiting(), "they have a lane")
	})
}
