package api_test

import (
	"encoding/base64"
	"net/http"
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
				require.Empty(t, r.header.Get("Content-Security-Policy"))
				require.Equal(t, "DENY", r.header.Get("X-Frame-Options"))
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
