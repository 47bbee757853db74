package house_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Within a package the files have an order in which one reads them: each uses what stands below it. An arrow leads from a file
// to one whose declarations (with methods and fields) it uses; arrows that lead back up, in the order that makes the fewest,
// are the package's knots. Between packages there are none: Go refuses circles.
func TestFewArrowsLeadBackUp(t *testing.T) {
	t.Parallel()
	lookup := exports(t)
	count := map[string]int{}
	for _, s := range sources(t) {
		count[filepath.ToSlash(filepath.Dir(s.path))]++
	}

	for _, dir := range slices.Sorted(maps.Keys(count)) {
		if count[dir] < 2 {
			continue
		}
		arrows := fileArrows(t, filepath.Join(root, dir), lookup)
		up := backUp(arrows)
		t.Logf("%-30s %3d files %4d arrows %3d back up", dir, count[dir], len(arrows), len(up))
		most := 15
		if dir == "api" || dir == "jobs" || strings.HasPrefix(dir, "jobs/") {
			most = 8 // the rooms in which everything else will stand
		}
		require.LessOrEqual(t, len(up), most, "%s: move what these use to where it belongs: %v", dir, up)
	}
}

// exports returns where the compiler has put what it knows of each package.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// arrow says that a file uses what another one declares.
type arrow struct{ from, to string }

// fileArrows returns the arrows between the files of the package in dir.
func fileArrows(t *testing.T, dir string, lookup importer.Lookup) map[arrow]bool {
	t.Helper()
	fset := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var files []*ast.File
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || foreign(name) {
			continue
		}
		file, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, 0)
		require.NoError(t, err)
		files = append(files, file)
	}

	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	pkg, err := conf.Check(dir, fset, files, info)
	require.NoError(t, err)

	arrows := map[arrow]bool{}
	for ident, object := range info.Uses {
		if object.Pkg() != pkg || !declared(pkg, object) {
			continue
		}
		from := filepath.Base(fset.Position(ident.Pos()).Filename)
		to := filepath.Base(fset.Position(object.Pos()).Filename)
		if from != to {
			arrows[arrow{from, to}] = true
		}
	}
	return arrows
}

// foreign tells whether a file is for another system than the one that tests run on, by its name.
func foreign(name string) bool {
	return strings.HasSuffix(name, "_windows.go") || strings.HasSuffix(name, "_other.go") ||
		strings.HasSuffix(name, "_other_unix.go")
}

// declared tells whether an object is a package's declaration, or a method or field of one, and not a local.
func declared(pkg *types.Package, object types.Object) bool {
	switch o := object.(type) {
	case *types.Var:
		return o.IsField() || o.Parent() == pkg.Scope()
	case *types.Func:
		return true
	}
	return object.Parent() == pkg.Scope()
}

// backUp returns the arrows that lead back up in an order of the files that makes few: the best that moving one file at a
// time finds, from several beginnings.
func backUp(arrows map[arrow]bool) (fewest []string) {
	found := map[string]bool{}
	for a := range arrows {
		found[a.from], found[a.to] = true, true
	}
	files := slices.Sorted(maps.Keys(found))

	for start := range 20 {
		order := slices.Clone(files)
		for i := range order {
			j := (i*7919 + start*104729 + i*i*start) % (i + 1)
			order[i], order[j] = order[j], order[i]
		}
		for moved := true; moved; {
			order, moved = better(arrows, order)
		}
		if up := against(arrows, order); start == 0 || len(up) < len(fewest) {
			fewest = up
		}
	}
	return fewest
}

// better moves each file to where the fewest arrows lead back up.
func better(arrows map[arrow]bool, order []string) ([]string, bool) {
	moved := false
	for i := range order {
		rest := slices.Delete(slices.Clone(order), i, i+1)
		now := len(against(arrows, order))
		for j := range len(rest) + 1 {
			if try := slices.Insert(slices.Clone(rest), j, order[i]); len(against(arrows, try)) < now {
				order, moved = try, true
				break
			}
		}
	}
	return order, moved
}

// against returns the arrows that lead back up in an order, sorted.
func against(arrows map[arrow]bool, order []string) (up []string) {
	at := map[string]int{}
	for i, file := range order {
		at[file] = i
	}
	for a := range arrows {
		if at[a.from] > at[a.to] {
			up = append(up, fmt.Sprintf("%s -> %s", a.from, a.to))
		}
	}
	slices.Sort(up)
	return up
}
