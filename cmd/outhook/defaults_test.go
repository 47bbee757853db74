package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

// What serve runs with, without flags and variables, is what a server runs with by itself.
func TestServeRunsWithTheServersDefaults(t *testing.T) {
	t.Parallel()
	kctx, err := parse([]string{"serve", "--encryption-key", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="}, t.Output(), t.Output())
	require.NoError(t, err)
	serve, ok := reflect.TypeAssert[*serveCmd](kctx.Selected().Target.Addr())
	require.True(t, ok)
	got, err := serve.configured(nil)
	require.NoError(t, err)
	require.NotNil(t, got.Keyring)

	want := server.DefaultConfig()
	want.Version, want.Keyring, want.Logger, want.Notify = got.Version, got.Keyring, got.Logger, nil
	got.Notify = nil // functions do not compare
	require.Equal(t, want, got)
}

func TestShortDurations(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "1s": time.Second, "10m": 10 * time.Minute, "1h": time.Hour, "10h": 10 * time.Hour, "120h": 120 * time.Hour,
		"1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "1h0m10s": time.Hour + 10*time.Second,
	} {
		require.Equal(t, want, short(d))
		back, err := time.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
}
