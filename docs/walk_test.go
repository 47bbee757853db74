package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// walkTime is how long somebody who knows nothing but what is printed and the pages may need, from `dev` to the events of
// programs of his own, with what he installs there already.
const walkTime = 3 * time.Minute

// shopModule is what `go mod init` and `go get github.com/outhook/outhook` will make, once that has a version.
const shopModule = `module example.com/shop

go 1.26

require github.com/outhook/outhook v0.0.0

replace github.com/outhook/outhook => CHECKOUT
`

// arrived counts what a receiver has taken of the events of the three programs, by their idempotency keys.
const arrived = `SELECT count(*) || ' of 3 arrived' FROM outhook.report_attempts JOIN outhook.report_events USING (event_id)
WHERE outcome = 'succeeded' AND idempotency_key IN ('psycopg-payment-8812', 'node-payment-8812', 'pgx-payment-8812')
`

// From the quick start's server to events of a Go, a Python and a Node program, each as its page has it: the quick start's
// blocks, then the programs, and then the receiver has got them.
func TestFromDevToAnEvent(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	blocks := blocksOf(t, "quick-start.md", nil)
	for _, program := range []struct{ page, file string }{
		{"languages.md", "pay.py"}, {"languages.md", "pay.mjs"}, {"go-client.md", "pay.go"},
	} {
		blocks = append(blocks, blocksOf(t, program.page, func(list []block) []block {
			i := slices.IndexFunc(list, func(b block) bool { return b.file == program.file })
			require.GreaterOrEqual(t, i, 0, program.file)
			require.Contains(t, list[i+1].text, program.file, "the block after the program runs it")
			return list[i : i+2]
		})...)
	}
	blocks = append(blocks, block{page: "walk_test.go", language: "sql", text: arrived, prints: "3 of 3 arrived"})
	for _, b := range blocks {
		dbtest.RequireTool(t, b.needs, b.needs == "" || has(t, b, map[string]bool{}))
	}

	p := newPage(t, root, build(t, root))
	goModule(t, p.dir, root, blocks[len(blocks)-3].text)
	began := time.Now()
	p.run(t, blocks)
	require.Less(t, time.Since(began), walkTime)
	t.Logf("it took %s", time.Since(began).Round(time.Second))
	require.GreaterOrEqual(t, strings.Count(p.logs(t), `{"id": 17}`), 2, "the receiver prints what it got, of Python and Go")
	require.Contains(t, p.logs(t), `{"id":17}`, "and of Node")
}

// blocksOf returns the commands of a page, or those of them that are chosen.
func blocksOf(t *testing.T, page string, choose func([]block) []block) (list []block) {
	t.Helper()
	blocks, err := parsePage(page, page)
	require.NoError(t, err)
	blocks = slices.DeleteFunc(blocks, func(b block) bool { return !b.isCommand() })
	if choose != nil {
		blocks = choose(blocks)
	}
	return blocks
}

// goModule makes a folder the module of a program that imports Outhook.
func goModule(t *testing.T, dir, root, program string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pay.go"), []byte(program), 0o600))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	mod := strings.ReplaceAll(shopModule, "CHECKOUT", root)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600))
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir, tidy.Env = dir, append(cleanEnvironment(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := tidy.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, string(out))
}
