package clienttest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
)

// nodeModules is where npm ci installs openapi-typescript and what its clients need.
const nodeModules = "../../jobs/testdata/node/node_modules"

// What generators of other people make of the document compiles, and its calls do what they say.
func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		dir, _ := b.workspace(t, "go", "openapi-3.0.json")
		require.NoError(t, os.Mkdir(filepath.Join(dir, "outhook"), 0o700))
		// The tool runs where tools/go.mod can be given: in this module.
		out, err := generator(t, "-config", filepath.Join(dir, "oapi-codegen.yaml"), "-o", filepath.Join(dir, "outhook", "client.gen.go"),
			filepath.Join(dir, "openapi-3.0.json")).CombinedOutput()
		require.NoError(t, err, string(out))
		// On a machine that has not built it before, go says what it loads.
		said := regexp.MustCompile(`(?m)^go: downloading .*\n`).ReplaceAllString(string(out), "")
		require.Empty(t, said, "a warning of the generator")
		b.run(t, dir, "go", "go", "build", "-trimpath", "-o", "quickstart", ".")
		require.Equal(t, "succeeded\n", b.run(t, dir, "go", filepath.Join(dir, "quickstart")))
	})

	t.Run("TypeScript", func(t *testing.T) {
		t.Parallel()
		modules, err := filepath.Abs(nodeModules)
		require.NoError(t, err)
		_, nodeErr := exec.LookPath("node")
		_, missing := os.Stat(filepath.Join(modules, "openapi-typescript"))
		dbtest.RequireTool(t, "Node, or npm ci in jobs/testdata/node,", nodeErr == nil && missing == nil)

		dir, document := b.workspace(t, "typescript", "openapi.json")
		require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "examples.ts"), []byte(examples(t, document)), 0o600))
		bin := filepath.Join(modules, ".bin")
		b.run(t, dir, "ts", filepath.Join(bin, "openapi-typescript"), "openapi.json", "-o", "outhook.d.ts")
		b.run(t, dir, "ts", filepath.Join(bin, "tsc"))
		require.Equal(t, "succeeded\n", b.run(t, dir, "ts", "node", "quickstart.js"))

		page, err := os.ReadFile("../../docs/clients.md")
		require.NoError(t, err)
		shown := regexp.MustCompile("(?s)```ts\n(.+?)```").FindSubmatch(page)
		require.NotNil(t, shown)
		program, err := os.ReadFile(filepath.Join(dir, "quickstart.ts"))
		require.NoError(t, err)
		require.Contains(t, string(program), string(shown[1]), "docs/clients.md shows a part of it")
	})
}

func generator(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools/go.mod", "oapi-codegen"}, args...)...)
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	return cmd
}

// content is the content of a body or of an answer.
type content map[string]struct {
	Schema  json.RawMessage `json:"schema"`
	Example json.RawMessage `json:"example"`
}

// examples returns a program whose types must admit each example of the document, and of each body that part of it which is
// required.
func examples(t *testing.T, document []byte) string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content content }
			Responses   map[string]struct{ Content content }
		}
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	require.NoError(t, json.Unmarshal(document, &doc))

	var b strings.Builder
	b.WriteString("import type { paths } from \"./outhook.js\";\n")
	n := 0
	declare := func(kind string, example []byte) {
		n++
		fmt.Fprintf(&b, "export const example%d: %s = %s;\n", n, kind, example)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			op, at := doc.Paths[path][method], fmt.Sprintf("paths[%q][%q]", path, method)
			for mediaType, body := range op.RequestBody.Content {
				kind := fmt.Sprintf("NonNullable<%s[\"requestBody\"]>[\"content\"][%q]", at, mediaType)
				declare(kind, body.Example)
				declare(kind, requiredPart(t, body.Schema, body.Example, func(name string) []string { return doc.Components.Schemas[name].Required }))
			}
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				for mediaType, answer := range op.Responses[status].Content {
					declare(fmt.Sprintf("%s[\"responses\"][%s][\"content\"][%q]", at, status, mediaType), answer.Example)
				}
			}
		}
	}
	require.Greater(t, n, 400)
	return b.String()
}

// requiredPart returns the example of a body with those members only that its schema requires.
func requiredPart(t *testing.T, schema, example []byte, required func(name string) []string) []byte {
	t.Helper()
	var s map[string]string
	require.NoError(t, json.Unmarshal(schema, &s))
	var whole map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(example, &whole))
	part := map[string]json.RawMessage{}
	for _, name := range required(strings.TrimPrefix(s["$ref"], "#/components/schemas/")) {
		require.Contains(t, whole, name)
		part[name] = whole[name]
	}
	data, err := json.Marshal(part)
	require.NoError(t, err)
	return data
}
