// Package catalogfile reads catalogues of event types from a user's files and folders, and writes them there.
package catalogfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outhook/outhook/internal/catalog"
)

// Read reads a document, or makes one of a folder of schemas; -: standard input.
func Read(path string) (json.RawMessage, error) {
	if path == "-" {
		document, err := catalog.ReadFile(os.Stdin)
		return document, wrongFile("standard input", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, wrongFile("the catalogue", err)
	}
	if !info.IsDir() {
		return openDocument(path)
	}

	files, err := catalog.ReadFolder(os.DirFS(path))
	if err != nil {
		return nil, wrongFile(path, err)
	}
	if len(files) == 0 {
		return nil, &FileError{fmt.Errorf("%s has no file called like an event type: invoice.paid.json", path)}
	}
	document, err := catalog.FromFiles(files)
	return document, wrongFile(path, catalog.Explain(err))
}

// FileError says what is wrong with a file of the user's.
type FileError struct{ error }

// Unwrap returns why.
func (e *FileError) Unwrap() error { return e.error }

func wrongFile(name string, err error) error {
	if err == nil {
		return nil
	}
	return &FileError{fmt.Errorf("reading %s: %w", name, err)}
}

func openDocument(path string) (json.RawMessage, error) {
	file, err := os.Open(path) //nolint:gosec // the user's own
	if err != nil {
		return nil, wrongFile(path, err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	document, err := catalog.ReadFile(file)
	return document, wrongFile(path, err)
}

// Write writes a document to a file or into a folder, and returns the files that were different.
func Write(path string, document json.RawMessage, stdout io.Writer) ([]string, error) {
	if path == "-" {
		_, err := fmt.Fprintln(stdout, Indented(document))
		return nil, err
	}
	if info, err := os.Stat(path); strings.HasSuffix(path, "/") || err == nil && info.IsDir() {
		return writeSchemas(path, document)
	}

	before, err := openDocument(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		document = catalog.Merge(before, document)
	}
	return writeFile(path, before, document)
}

func writeSchemas(folder string, document json.RawMessage) (written []string, err error) {
	c, err := catalog.Parse(document, "document")
	if err != nil {
		return nil, fmt.Errorf("reading the API's answer: %w", err)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, e := range entries {
		if name, ok := catalog.TypeOfFile(e.Name()); ok {
			names[name] = e.Name()
		}
	}

	files := catalog.ToFiles(c)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path, before := filepath.Join(folder, name+".json"), json.RawMessage(nil)
		if file := names[name]; file != "" {
			path = filepath.Join(folder, file)
			if before, err = openDocument(path); err != nil {
				return written, err
			}
		}
		some, err := writeFile(path, before, files[name])
		if err != nil {
			return written, err
		}
		written = append(written, some...)
	}
	return written, nil
}

// writeFile writes JSON, as YAML if the file is called so, unless the file says the same: its comments stay, too.
func writeFile(path string, before, after json.RawMessage) ([]string, error) {
	if before != nil && catalog.Equal(before, after) {
		return nil, nil
	}

	text := []byte(Indented(after) + "\n")
	if slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
		var err error
		if text, err = catalog.ToYAML(after); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // it is for everybody who reads the code
		return nil, fmt.Errorf("writing the catalogue: %w", err)
	}
	return []string{path}, nil
}

// Indented is JSON for people, with what could move a terminal's cursor left as JSON escapes it.
func Indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
