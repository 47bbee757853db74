// Package docs_test runs the documentation: every fenced block of README.md, docs/*.md and the examples' README.md, against a
// real server.
//
// The rules, for whoever writes a page:
//
//   - Each page has a folder and an `outhook dev` with its database of its own; they are thrown away at its end. Its blocks run from
//     top to bottom in one bash with -euo pipefail, so a variable that one block sets is there in the next.
//   - Blocks with the language sh are run; those with sql by psql, on the page's database. json, mermaid, text, yaml and the
//     like show something and are not run. Any other language needs a marker, and so does a block without one.
//   - The variables are those that `outhook dev --wait` prints: OUTHOOK_URL, OUTHOOK_API_KEY and DATABASE_URL. Where a page says
//     127.0.0.1:8080 or localhost:8080 (the server), or one of the ports 9000, 9100 and 9200 (receivers), ports of the page's own
//     take their place. Beside them there are outhook on the PATH, and node_modules with pg and standardwebhooks.
//   - On a page with <!-- as: publisher -->, DATABASE_URL is that of a role that may make things in the schema public, and has
//     outhook_publisher, nothing else. Each event that the page leaves must hold an object.
//   - A block whose go command names a package of the checkout runs there, any other in the page's folder.
//   - A page with a block of its own that runs `outhook dev` gets no other server, and no variable: it says how to have them.
//
// Markers are comments on a line of their own, before the block:
//
//	<!-- not run: REASON -->     can't run here. The test counts these blocks and prints the reasons.
//	<!-- runs until: TEXT -->    runs in the background until the page's end; the next block starts once its output holds TEXT.
//	<!-- file: NAME -->          is not run but written to that file, for a later block.
//	<!-- prints: TEXT -->        the output must hold TEXT within 60 s of trying (the block is repeated until it does, in
//	                             a subshell).
//	<!-- needs: COMMAND -->      if the command fails, this block and the rest of its section are skipped (with
//	                             OUTHOOK_TEST_REQUIRE=all, as in CI, it is a failure).
//	<!-- receives: COMMAND -->   TestReceivers starts this file by the command, beside the other files of its page, on port
//	                             9100, and sends it webhooks to /webhooks. It keeps them in the table of docs/receiving.md, and
//	                             its handler sets invoices.paid of what is an invoice.paid.
//	<!-- slow -->                runs with OUTHOOK_TEST_DOCS=all only, as in .ci/full.
//	<!-- example_x_test.go -->   the Go block is the body of that example, which go test runs. In docs/languages that is a module
//	                             of its own, run by TestGoLibraries.
package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

const (
	pageTimeout = 8 * time.Minute
	stepMarker  = "@@outhook-docs-block "
	apiKey      = "an-admin-key-of-the-docs-test"

	publisherMarker = "<!-- as: publisher -->"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestEveryBlockRuns(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	outhook := build(t, root)
	pages := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		pages = append(pages, found...)
	}
	for _, path := range pages {
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocks, err := parsePage(name, path)
			require.NoError(t, err)
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			if blocks = selected(t, blocks); len(blocks) > 0 {
				p := newPage(t, root, outhook)
				p.publishes = bytes.Contains(source, []byte(publisherMarker))
				p.run(t, blocks)
			}
		})
	}
}

// A Go block shows the body of an example, which go test compiles and runs, up to its output comment.
func TestGoBlocksAreTheExamples(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	shown := 0
	for _, path := range append(pages, "../README.md") {
		blocks, err := parsePage(path, path)
		require.NoError(t, err)
		for _, b := range blocks {
			if b.goFile == "" {
				continue
			}
			source, err := os.ReadFile(filepath.Join("..", b.goFile))
			require.NoError(t, err, b)
			body := exampleBody.FindSubmatch(source)
			require.NotNil(t, body, "%s: %s has no function Example… with an // Output: comment", b, b.goFile)
			require.Equal(t, oneTab.ReplaceAllString(string(body[1]), ""), b.text, b)
			shown++
		}
	}
	require.Positive(t, shown)
}

var (
	exampleBody = regexp.MustCompile(`(?s)\nfunc Example\w*\(\) \{\n(.*?)\t// Output:`)
	oneTab      = regexp.MustCompile(`(?m)^\t`)
)

// build returns a folder that holds the command outhook.
func build(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "outhook"), "./cmd/outhook")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

// selected returns the blocks to run, and says why the others do not.
func selected(t *testing.T, blocks []block) (list []block) {
	t.Helper()
	missing := map[string]bool{}
	for _, b := range blocks {
		switch {
		case b.notRun != "":
			t.Logf("%s is not run: %s", b, b.notRun)
		case !b.isCommand():
		case b.slow && os.Getenv("OUTHOOK_TEST_DOCS") != "all":
			t.Logf("%s is not run: it is slow, and OUTHOOK_TEST_DOCS is not all", b)
		case b.needs != "" && !has(t, b, missing):
			t.Logf("%s is not run: this fails here: %s", b, b.needs)
		default:
			list = append(list, b)
		}
	}
	if !slices.ContainsFunc(list, func(b block) bool { return b.file == "" }) {
		list = nil // files that nothing here runs
	}
	t.Logf("%d blocks run", len(list))
	return list
}

func has(t *testing.T, b block, missing map[string]bool) bool {
	t.Helper()
	if gone, known := missing[b.needs]; known {
		return !gone
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", b.needs)
	cmd.Dir = filepath.Join("..", "jobs", "testdata", "node") // where node finds what `npm ci` has installed
	cmd.Env = append(os.Environ(), "PATH="+searchPath(""))
	out, err := cmd.CombinedOutput()
	missing[b.needs] = err != nil
	if err != nil && os.Getenv("OUTHOOK_TEST_REQUIRE") == "all" {
		require.FailNow(t, "what the page needs is missing", "%s: %s\n%s", b, b.needs, out)
	}
	return err == nil
}

// searchPath puts our command and the distribution's programs first: a Python of another place lacks its packages. dev takes
// the first PostgreSQL that it finds there, as a test of another version asks for.
func searchPath(outhook string) string {
	return strings.Trim(outhook+":"+os.Getenv("OUTHOOK_TEST_POSTGRES_BIN")+":/usr/bin:/bin:"+os.Getenv("PATH"), ":")
}

// page is what a page's blocks run in.
type page struct {
	root      string
	dir       string
	server    string            // host:port
	ports     map[string]string // of receivers
	publishes bool              // DATABASE_URL is a publisher's
	env       []string
}

// newPage returns a page with nothing in its environment that a reader would not have. OUTHOOK_LISTEN and OUTHOOK_DATA_DIR keep
// one page's dev from another's; what it serves there is for it to say.
func newPage(t *testing.T, root, outhook string) *page {
	t.Helper()
	// Not t.TempDir: as root, dev's Postgres runs as another user, who could not enter that folder.
	dir, err := os.MkdirTemp("", "outhook-docs-*") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	p := &page{root: root, dir: dir, server: freeAddress(t), ports: map[string]string{}}
	for _, port := range []string{"9000", "9100", "9200"} {
		_, p.ports[port], err = net.SplitHostPort(freeAddress(t))
		require.NoError(t, err)
	}

	p.env = append(cleanEnvironment(),
		"PATH="+searchPath(outhook), "HOME="+dir, "NO_COLOR=1",
		"OUTHOOK_LISTEN="+p.server, "OUTHOOK_DATA_DIR="+filepath.Join(dir, "outhook-dev"),
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOENV="+goEnv(t, "GOENV"))
	if modules := filepath.Join(root, "jobs", "testdata", "node", "node_modules"); exists(modules) {
		require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	}
	return p
}

// cleanEnvironment leaves out what would change what the page's commands do.
func cleanEnvironment() (env []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		ours := strings.HasPrefix(name, "OUTHOOK_") && !strings.HasPrefix(name, "OUTHOOK_TEST_")
		if !ours && !strings.HasPrefix(name, "PG") && name != "DATABASE_URL" {
			env = append(env, entry)
		}
	}
	return env
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func exec1(t *testing.T, databaseURL, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, databaseURL)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// run runs the blocks as one script and reports the block that failed.
func (p *page) run(t *testing.T, blocks []block) {
	t.Helper()
	script := p.script(t, blocks)
	file := filepath.Join(p.dir, ".script")
	require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", file)
	cmd.Dir, cmd.Env = p.dir, p.env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	// A group of its own, so that what a block left running ends with the page.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // usually nobody is left
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return
	}
	_, last, _ := cutLast(output.String(), stepMarker)
	number, rest, _ := strings.Cut(last, "\n")
	i, convErr := strconv.Atoi(number)
	if convErr != nil || i >= len(blocks) {
		require.FailNow(t, "the page's server did not start", "%v\n%s\n%s", err, output.String(), p.logs(t))
	}
	require.FailNow(t, blocks[i].String()+": this block failed", "%v\n\n%s\nits output:\n%s\n%s", err, blocks[i].text, rest, p.logs(t))
}

// cutLast slices s around the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// logs returns the ends of what the background blocks printed.
func (p *page) logs(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	paths, err := filepath.Glob(filepath.Join(p.dir, ".background-*"))
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		fmt.Fprintf(&b, "\n%s:\n%s", filepath.Base(path), text[max(0, len(text)-4000):])
	}
	return b.String()
}

// preamble: await COMMAND... repeats a command for 60 s until it succeeds. The trap ends what runs in the background; it gets
// the time to stop a database in order.
const preamble = `set -euo pipefail
end() { local code=$?; trap '' TERM; kill -TERM 0; wait || true; exit "$code"; }
trap end EXIT
ready() { # PID LOG TEXT
	local n
	for ((n = 0; n < 1200; n++)); do
		if grep -qF -- "$3" "$2"; then return; fi
		if ! kill -0 "$1" 2>/dev/null; then echo "it ended before it printed: $3"; return 1; fi
		sleep 0.1
	done
	echo "it did not print within 2 minutes: $3"
	return 1
}
`

// psql runs a file of SQL on the database that dev has told.
const psql = `psql -X -v ON_ERROR_STOP=1 "$DATABASE_URL" -f `

// asPublisher makes a role that may enqueue, and may make tables of its own, that of the rest of the page.
const asPublisher = `dev_database=$DATABASE_URL
psql -Xq -v ON_ERROR_STOP=1 "$dev_database" -c "CREATE ROLE shop LOGIN PASSWORD 'correct-horse' IN ROLE outhook_publisher" \
	-c 'GRANT CREATE ON SCHEMA public TO shop'
DATABASE_URL=$(sed 's|//[^@]*@|//shop:correct-horse@|' <<<"$dev_database")
`

// objectsOnly checks what a publisher's page has left: a payload that a driver has encoded twice is a text, and no object.
const objectsOnly = `left=$(psql -XAt "$dev_database" -c "SELECT count(*) > 0 AND bool_and(json_typeof(payload) = 'object') FROM outhook.events")
if [[ $left != t ]]; then echo "the page has left no event, or one whose payload is no object"; exit 1; fi
`

// usesGo matches a block that must run in the checkout: what it names lies there.
var usesGo = regexp.MustCompile(`(?m)^\s*(eval "\$\()?go (run|test|build) \./`)

var runsDev = regexp.MustCompile(`(?m)^\s*(outhook|go run \./cmd/outhook) dev\b`)

// script returns the page as a bash script. Texts are in files of their own, so that nothing needs quoting.
func (p *page) script(t *testing.T, blocks []block) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(preamble)
	own := false
	for _, block := range blocks {
		own = own || runsDev.MatchString(block.text)
	}
	if !own {
		p.background(t, &b, "server", "exec outhook dev\n", "Ctrl-C")
		b.WriteString("eval \"$(outhook dev --wait)\"\n")
	}
	if p.publishes {
		b.WriteString(asPublisher)
	}
	for i, block := range blocks {
		text := p.withOwnPorts(block.text)
		name := strconv.Itoa(i)
		path := p.write(t, ".block-"+name, text)
		fmt.Fprintf(&b, "echo; echo '%s%d'\n", stepMarker, i)
		switch {
		case block.file != "":
			fmt.Fprintf(&b, "mkdir -p \"$(dirname '%[1]s')\" && cp %[2]s '%[1]s'\n", block.file, path)
		case block.until != "":
			if usesGo.MatchString(text) {
				text = "cd " + p.root + "\n" + text
			}
			p.background(t, &b, name, text, block.until)
		case block.prints != "":
			command := ". " + path
			if block.language == "sql" {
				command = psql + path
			}
			fmt.Fprintf(&b, `for ((n = 0; ; n++)); do
	if printed=$(%[1]s 2>&1) && grep -qF -- "$(cat %[2]s)" <<<"$printed"; then break; fi
	if ((n == 120)); then printf '%%s\n' "$printed" "it does not print: $(cat %[2]s)"; exit 1; fi
	sleep 0.5
done
`, command, p.write(t, ".prints-"+name, block.prints))
		case block.language == "sql":
			fmt.Fprintf(&b, "%s%s\n", psql, path)
		case usesGo.MatchString(text):
			fmt.Fprintf(&b, "cd %s\n. %s\ncd %s\n", p.root, path, p.dir)
		default:
			fmt.Fprintf(&b, ". %s\n", path)
		}
	}
	if p.publishes {
		b.WriteString(objectsOnly)
	}
	return b.String()
}

// receiverPorts are the ports of receivers in the pages.
var receiverPorts = regexp.MustCompile(`\b9[012]00\b`)

func (p *page) withOwnPorts(text string) string {
	text = strings.NewReplacer("127.0.0.1:8080", p.server, "localhost:8080", p.server).Replace(text)
	return receiverPorts.ReplaceAllStringFunc(text, func(port string) string { return p.ports[port] })
}

// background adds a part that runs beside the rest, in the same process group, and is waited for until it printed a text.
func (p *page) background(t *testing.T, b *strings.Builder, name, text, until string) {
	t.Helper()
	log := filepath.Join(p.dir, ".background-"+name)
	fmt.Fprintf(b, "bash -euo pipefail %s >%s 2>&1 &\nready $! %s \"$(cat %s)\"\n",
		p.write(t, ".run-"+name, text), log, log, p.write(t, ".until-"+name, until))
}

func (p *page) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
