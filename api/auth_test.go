package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/apikey"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, _ := b.newKey("admin", "")
	get := func(path string, headers ...string) response { return b.do("GET", path, "", headers...) }

	t.Run("TakesBothKindsOfKey", func(t *testing.T) {
		t.Parallel()
		for _, value := range []string{"Bearer " + adminKey, "bearer " + adminKey, "Bearer " + key} {
			require.Equal(t, 200, get("/api/events", "Authorization", value).status)
		}
	})

	t.Run("RefusesOthers", func(t *testing.T) {
		t.Parallel()
		other, _ := apikey.New()
		for _, value := range []string{
			"", "Bearer", "Bearer ", "Bearer  ", adminKey, "Basic " + adminKey, "Bearer " + adminKey + "x", "Bearer " + adminKey[1:],
			"Bearer " + other, "Bearer " + key[:len(key)-1] + "!", "Bearer ohk_", "Bearer " + strings.ToUpper(key),
		} {
			r := get("/api/events", "Authorization", value)
			b.requireProblem(r, 401)
			require.Equal(t, `Bearer realm="outhook"`, r.header.Get("WWW-Authenticate"))
		}
	})

	t.Run("TellsNobodyElseWhatExists", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/api/nothing", "/api/events/x/y", "/api/"} {
			b.requireProblem(get(path, "Authorization", ""), 401)
			b.requireProblem(get(path), 404)
		}
		b.requireProblem(b.do("PUT", "/api/events", "", "Authorization", ""), 401)
		b.requireProblem(b.do("POST", "/api/events", "{", "Authorization", ""), 401)
	})

	t.Run("PagesNeedNoKey", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/livez", "/readyz", "/docs", "/openapi.json"} {
			require.Equal(t, 200, get(path, "Authorization", "").status, path)
		}
		b.requireProblem(get("/nothing", "Authorization", ""), 404)
		b.requireProblem(get("/apis", "Authorization", ""), 404)
	})
}

func TestRevokedKeyStopsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, id := b.newKey("admin", "")
	use := func() int { return b.do("GET", "/api/events", "", "Authorization", "Bearer "+key).status }

	require.Equal(t, 200, use())
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.api_keys WHERE last_used_at > now() - interval '1 minute'"))
	b.exec("UPDATE outhook.api_keys SET last_used_at = now() - interval '30 seconds'")
	require.Equal(t, 200, use())
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.api_keys WHERE last_used_at < now() - interval '20 seconds'"), "noted within the minute")
	b.exec("UPDATE outhook.api_keys SET last_used_at = now() - interval '61 seconds'")
	together(20, func(int) { _, _ = b.try("GET", "/livez", "") })
	require.Equal(t, 200, use())
	require.Zero(t, b.count("SELECT count(*) FROM outhook.api_keys WHERE last_used_at < now() - interval '20 seconds'"))

	require.Equal(t, 204, b.do("DELETE", "/api/keys/"+id.String(), "").status)
	require.Equal(t, 401, use())
}

func TestConcurrentKeysAreToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var keys []string
	for i := range 40 {
		key, _ := apikey.New()
		if i%2 == 0 {
			key, _ = b.newKey("read", "")
		}
		keys = append(keys, key)
	}
	statuses := make([]int, len(keys))
	together(len(keys), func(i int) {
		r, _ := b.try("GET", "/api/endpoints", "", "Authorization", "Bearer "+keys[i])
		statuses[i] = r.status
	})
	for i, status := range statuses {
		require.Equal(t, []int{200, 401}[i%2], status)
	}
}

func TestEmptyBootstrapKeyMatchesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Access.APIKey = "" })
	for _, value := range []string{"", "Bearer ", "Bearer " + adminKey} {
		b.requireProblem(b.do("GET", "/api/events", "", "Authorization", value), 401)
	}
}
