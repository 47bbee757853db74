package house_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the repository, seen from this package.
const root = "../.."

// source is a Go file that people wrote and that is no test.
type source struct {
	path  string // from the root, with slashes
	fset  *token.FileSet
	file  *ast.File
	lines []string
}

// sources returns all of them.
func sources(t *testing.T) (list []source) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}

		text, err := os.ReadFile(path)
		if err != nil || bytes.HasPrefix(text, []byte("// Code generated")) {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}

		relative, err := filepath.Rel(root, path)
		list = append(list, source{filepath.ToSlash(relative), fset, file, strings.Split(string(text), "\n")})
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list
}

// function is a declared function with a body.
type function struct {
	name  string
	line  int      // of the word func
	lines []string // from there to the closing brace
}

func (s source) functions() (list []function) {
	for _, decl := range s.file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		from, to := s.fset.Position(fn.Pos()).Line, s.fset.Position(fn.End()).Line
		list = append(list, function{fn.Name.Name, from, s.lines[from-1 : to]})
	}
	return list
}

// literals tells for each line whether a string literal that spans lines, or a struct tag, stands on it.
func (s source) literals() map[int]bool {
	on := map[int]bool{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Field:
			if x.Tag != nil {
				on[s.fset.Position(x.Tag.Pos()).Line] = true
			}
		case *ast.BasicLit:
			from, to := s.fset.Position(x.Pos()).Line, s.fset.Position(x.End()).Line
			for line := from; from < to && line <= to; line++ {
				on[line] = true
			}
		}
		return true
	})
	return on
}
