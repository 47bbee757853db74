package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// Not parallel: it sets variables.
func TestSettingsInFiles(t *testing.T) {
	write := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "setting")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	t.Setenv("OUTHOOK_DATABASE_URL_FILE", write("postgres://u:hunter2@h:5432/d\n"))
	t.Setenv("OUTHOOK_API_KEY_FILE", write(testAPIKey))
	t.Setenv("OUTHOOK_ENCRYPTION_KEY_FILE", write(signature.NewKey()+"\n"))
	t.Setenv("OUTHOOK_LOG_LEVEL_FILE", write("warn\n"))
	out, err := output(t, "config")
	require.NoError(t, err, out)
	require.Regexp(t, `OUTHOOK_DATABASE_URL +postgres://u@h:5432/d +file`, out)
	require.Regexp(t, `OUTHOOK_LOG_LEVEL +WARN +file`, out)
	require.NotContains(t, out, "hunter2")

	out, err = output(t, "config", "serve", "--log-level", "debug")
	require.NoError(t, err, out)
	require.Regexp(t, `OUTHOOK_LOG_LEVEL +DEBUG +flag --log-level`, out)

	for name, test := range map[string]struct{ variable, value, want string }{
		"Both":        {"OUTHOOK_API_KEY", testAPIKey, "both OUTHOOK_API_KEY and OUTHOOK_API_KEY_FILE are set"},
		"Missing":     {"OUTHOOK_API_KEY_FILE", "/nowhere/key", "OUTHOOK_API_KEY_FILE: open /nowhere/key"},
		"Empty":       {"OUTHOOK_API_KEY_FILE", write(" \n"), "is empty"},
		"Large":       {"OUTHOOK_API_KEY_FILE", write(strings.Repeat("k", maxSettingBytes+1)), "larger than 65536 bytes"},
		"WrongKey":    {"OUTHOOK_ENCRYPTION_KEY_FILE", write("short"), "OUTHOOK_ENCRYPTION_KEY: key 1: invalid"},
		"NoSuchThing": {"OUTHOOK_LISTEN_FILE", "/nowhere", "no setting has this name: OUTHOOK_LISTEN_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			out, err := output(t, "config")
			require.Error(t, err)
			require.Contains(t, out+err.Error(), test.want)
		})
	}
}
