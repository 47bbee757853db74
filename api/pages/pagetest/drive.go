// Package pagetest is for tests of pages: it opens them in Chromium, and makes what they show.
package pagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// nodeDir holds the scripts that drive Chromium, as a test of a package beside api/pages sees it; npm ci installs their
// libraries.
const nodeDir = "../../jobs/testdata/node"

// View is a path in the browser, and the status that it is to have.
type View struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Status int    `json:"status"`
}

// FormView is the answer to a form of a path's page, or the page with a menu that is open.
type FormView struct {
	View

	Form string            `json:"form"` // its selector
	Fill map[string]string `json:"fill"` // by the names of its fields
	Open string            `json:"open"` // the selector of a menu
}

// Order is what pages.mjs is to look at: with a key of the console, or by a link to the portal.
type Order struct {
	Base  string `json:"base"`
	Key   string `json:"key,omitempty"`
	Link  string `json:"link,omitempty"`
	Pages []View `json:"pages"`
	Looks []Look `json:"looks"`
	Shots bool   `json:"shots"` // of every page

	Answers []FormView `json:"answers,omitempty"`
}

// Look is how a page is looked at.
type Look struct {
	Theme string `json:"theme"`
	Width int    `json:"width"`
}

// Looks are both themes, each wide or narrow; both ways each, as .ci/full has it, with OUTHOOK_TEST_LOAD=all.
func Looks() []Look {
	all := []Look{{"light", 1280}, {"dark", 320}, {"dark", 1280}, {"light", 320}}
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		return all[:2]
	}
	return all
}

// Shots tells whether somebody wants to see the pages: with -artifacts.
func Shots() bool {
	artifacts := flag.Lookup("test.artifacts")
	return artifacts != nil && artifacts.Value.String() == "true"
}

// Drive runs a script that drives Chromium and decodes what it prints.
func Drive(t *testing.T, script string, in, out any) {
	t.Helper()
	node, nodeErr := exec.LookPath("node")
	chromium, chromiumErr := exec.LookPath("chromium")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "axe-core"))
	dbtest.RequireTool(t, "Node, Chromium, or npm ci in jobs/testdata/node,",
		nodeErr == nil && chromiumErr == nil && missing == nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	data, err := json.Marshal(in)
	require.NoError(t, err)
	folder, err := filepath.Abs(t.ArtifactDir())
	require.NoError(t, err)

	cmd := exec.CommandContext(ctx, node, script, chromium, folder) //nolint:gosec // G204: scripts of ours
	cmd.Dir, cmd.Stdin, cmd.Stderr = nodeDir, bytes.NewReader(data), t.Output()
	printed, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(printed, out), "%s", printed)
}
