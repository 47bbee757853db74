package api_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

func basic(key string) string { return base64.StdEncoding.EncodeToString([]byte("anybody:" + key)) }

func TestUI(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) {
		cfg.UI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte(r.Method + " " + r.URL.Path))
		})
	})
	auth := []string{"Authorization", "Basic " + basic(adminKey)}

	t.Run("IsServedWithAKeyAsPassword", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/riverui", "/riverui/", "/riverui/api/jobs/1"} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				r := b.do(method, path, "", auth...)
				require.Equal(t, http.StatusTeapot, r.status)
				require.Equal(t, method+" "+path, string(r.body))
				policy := r.header.Get("Content-Security-Policy")
				require.Contains(t, policy, "script-src 'self';")
				require.NotContains(t, policy, "unsafe-eval")
				require.Contains(t, policy, "frame-ancestors 'none'")
				require.Equal(t, "DENY", r.header.Get("X-Frame-Options"))
				require.Equal(t, "no-store", r.header.Get("Cache-Control"))
				require.Equal(t, "same-origin", r.header.Get("Cross-Origin-Opener-Policy"))
				require.Equal(t, "same-origin", r.header.Get("Cross-Origin-Resource-Policy"))
			}
		}
	})

	t.Run("AsksOthersForOne", func(t *testing.T) {
		t.Parallel()
		for _, value := range []string{"", "Basic " + basic("wrong"), "Basic " + basic(""), "Bearer " + adminKey} {
			for _, path := range []string{"/riverui", "/riverui/", "/riverui/api/jobs/1"} {
				r := b.do("GET", path, "", "Authorization", value)
				b.requireProblem(r, 401)
				require.Contains(t, r.header.Get("WWW-Authenticate"), "Basic ")
			}
		}
	})

	t.Run("IsForAdmins", func(t *testing.T) {
		t.Parallel()
		admin, _ := b.newKey("admin", "")
		require.Equal(t, http.StatusTeapot, b.do("GET", "/riverui/", "", "Authorization", "Basic "+basic(admin)).status)
		for _, scope := range []string{"tenant", "publish", "read"} {
			key, _ := b.newKey(scope, "acme")
			b.requireProblem(b.do("GET", "/riverui/", "", "Authorization", "Basic "+basic(key)), 403)
			b.requireProblem(b.do("POST", "/riverui/api/jobs/cancel", "{}", "Authorization", "Basic "+basic(key)), 403)
		}
	})

	t.Run("RefusesOtherOrigins", func(t *testing.T) {
		t.Parallel()
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
			b.requireProblem(b.do("POST", "/riverui/api/jobs/cancel", "", append(headers, auth...)...), 403)
		}
		for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", b.server.URL}} {
			require.Equal(t, http.StatusTeapot, b.do("POST", "/riverui/api/jobs/cancel", "", append(headers, auth...)...).status)
		}
	})

	t.Run("IsNothingIfNotConfigured", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.requireProblem(b.do("GET", "/riverui/", "", auth...), 404)
	})
}

func TestOrdersToTheUIAreAudited(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	b := setup(t, func(cfg *api.Config) {
		cfg.UI = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- string(body)
		})
	})
	auth := []string{"Authorization", "Basic " + basic(adminKey)}
	send := func(method, path, body string) {
		require.Equal(t, 200, b.do(method, path, body, auth...).status)
		require.Equal(t, body, <-bodies, "what it gets is what was sent")
	}
	send("POST", "/riverui/api/jobs/cancel", `{"ids": ["17", "no id", "18"]}`)
	send("PUT", "/riverui/api/queues/deliver/pause?x=1", "")
	send("POST", "/riverui/api/<script>", `not JSON`)
	send("GET", "/riverui/api/queues", "")
	for i, want := range []string{
		`{"method":"POST","object_id":"/","jobs":null}`,
		`{"method":"PUT","object_id":"/api/queues/deliver/pause","jobs":null}`,
		`{"method":"POST","object_id":"/api/jobs/cancel","jobs":["17","18"]}`,
	} {
		entry := decode[struct{ Items []object }](t, b.do("GET", "/api/audit?action=river-ui", "")).Items[i]
		require.Equal(t, "OUTHOOK_API_KEY", entry["actor"])
		detail := entry["detail"].(object)
		got, err := json.Marshal(object{"method": detail["method"], "object_id": entry["object_id"], "jobs": detail["jobs"]})
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
	}
	require.Equal(t, 3, b.count("SELECT count(*) FROM outhook.audit_entries"), "looking is no order")
	b.requireProblem(b.do("POST", "/riverui/api/jobs/cancel", strings.Repeat("x", 256<<10+1), auth...), 413)

	b.exec("ALTER TABLE outhook.audit_entries ADD CHECK (false) NOT VALID")
	b.requireProblem(b.do("POST", "/riverui/api/jobs/cancel", `{}`, auth...), 500)
	require.Empty(t, bodies, "what can't be noted is not handed on")
}
