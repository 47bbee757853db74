package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/outhook/outhook/internal/problem"
)

// ReadFile reads a document, which is JSON or YAML, as JSON.
func ReadFile(r io.Reader) (json.RawMessage, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxDocumentBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxDocumentBytes {
		return nil, fmt.Errorf("is larger than %d bytes", MaxDocumentBytes)
	}
	return FromYAML(data)
}

// ReadFolder reads the files of a folder that are called like event types: invoice.paid.json, or .schema.json, .yaml,
// .yml. Folders within are not looked into.
func ReadFolder(folder fs.FS) (map[string]json.RawMessage, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, err
	}

	files := map[string]json.RawMessage{}
	for _, e := range entries {
		name, ok := TypeOfFile(e.Name())
		if e.IsDir() || !ok {
			continue
		}
		if files[name] != nil {
			return nil, fmt.Errorf("there are two files of %s", name)
		}
		if files[name], err = readIn(folder, e.Name()); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return files, nil
}

func readIn(folder fs.FS, name string) (json.RawMessage, error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return ReadFile(file)
}

// TypeOfFile returns the event type that a file is called like.
func TypeOfFile(name string) (string, bool) {
	for _, end := range []string{".schema.json", ".json", ".yaml", ".yml"} {
		if base, ok := strings.CutSuffix(name, end); ok && base != "" && base[0] != '.' {
			return base, true
		}
	}
	return "", false
}

// Explain returns an error of this package for people: the first thing that is wrong, and where.
func Explain(err error) error {
	if p, ok := errors.AsType[*problem.Error](err); ok && len(p.Errors) > 0 {
		return fmt.Errorf("%s %s", p.Errors[0].Location, p.Errors[0].Message)
	}
	return err
}

// IsDocument tells whether a file is an OpenAPI document, and no schema.
func IsDocument(file json.RawMessage) bool { return known(file).text("openapi") != "" }
