package outhook_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// A module that pins older versions of what Outhook's server uses, and imports the client.
const (
	importerMod = `module example.com/importer

go 1.25.0

require (
	github.com/labstack/echo/v4 v4.11.0
	github.com/outhook/outhook v0.0.0
	github.com/riverqueue/river v0.20.0
)

replace github.com/outhook/outhook => CHECKOUT
`
	importerMain = `package main

import (
	_ "github.com/labstack/echo/v4"
	_ "github.com/outhook/outhook"
	_ "github.com/riverqueue/river"
)

func main() {}
`
)

// Importing raises the importer's versions: docs/go-client.md says so, and this prints what.
func TestImporterIsRaised(t *testing.T) {
	t.Parallel()
	checkout, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	mod := strings.ReplaceAll(importerMod, "CHECKOUT", checkout)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(importerMain), 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, string(out))

	tidied, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	for _, module := range []string{"github.com/labstack/echo/v4", "github.com/riverqueue/river"} {
		pattern := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`)
		before, after := pattern.FindStringSubmatch(mod)[1], pattern.FindSubmatch(tidied)[1]
		t.Logf("%s: %s becomes %s", module, before, after)
		require.NotEqual(t, before, string(after), "the page says that it is raised")
	}
	t.Logf("go %s", regexp.MustCompile(`(?m)^go (\S+)`).FindSubmatch(tidied)[1])
}
