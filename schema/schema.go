// Package schema holds payloads against JSON Schemas before they are enqueued, in the program that enqueues them: the
// files that the catalogue is pushed from (docs/catalog.md) say what a payload must be.
//
//	//go:embed events
//	var events embed.FS
//
//	schemas, err := schema.Read(events)
//	ctx = outhook.WithSchemas(ctx, schemas)
//
// It is a package of its own, since it links what reads and evaluates schemas.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/outhook/outhook/internal/catalog"
)

// Set is what is known of event types. It is safe for concurrent use.
type Set struct{ types map[string]*catalog.Schema }

// Read reads the files of a folder: OpenAPI 3.1 documents with webhooks, and schemas of JSON Schema 2020-12 that are
// called like their event types (invoice.paid.json), as JSON or YAML. An embed.FS of one folder is looked into. A
// reference to another file or address is an error: nothing is fetched.
func Read(folder fs.FS) (*Set, error) {
	folder, err := inner(folder)
	if err != nil {
		return nil, fmt.Errorf("reading schemas: %w", err)
	}
	files, err := catalog.ReadFolder(folder)
	if err != nil {
		return nil, fmt.Errorf("reading schemas: %w", err)
	}

	s := &Set{types: map[string]*catalog.Schema{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if catalog.IsDocument(files[name]) {
			if err := s.add(files[name]); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, catalog.Explain(err))
			}
			delete(files, name)
		}
	}
	if len(files) > 0 {
		document, err := catalog.FromFiles(files)
		if err == nil {
			err = s.add(document)
		}
		if err != nil {
			return nil, fmt.Errorf("reading schemas: %w", catalog.Explain(err))
		}
	}
	if len(s.types) == 0 {
		return nil, errors.New("reading schemas: there are none in the folder")
	}
	return s, nil
}

// inner returns the only folder in a folder that has nothing else: what go:embed makes of a folder.
func inner(folder fs.FS) (fs.FS, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return folder, err
	}
	return fs.Sub(folder, entries[0].Name())
}

func (s *Set) add(document json.RawMessage) error {
	c, err := catalog.Parse(document, "document")
	if err != nil {
		return err
	}

	for _, t := range c.Types {
		if s.types[t.Name] != nil {
			return fmt.Errorf("the event type %s is described twice", t.Name)
		}
		if s.types[t.Name], err = catalog.Compile(t.Schema); err != nil {
			return fmt.Errorf("the schema of %s: %w", t.Name, err)
		}
	}
	return nil
}

// Types returns the event types that are described, sorted.
func (s *Set) Types() []string { return slices.Sorted(maps.Keys(s.types)) }

// Check returns what is wrong with a payload, by the schema of its event type: where, as a JSON pointer, and how, and
// nothing of what it says. A type that is not described may have any payload.
func (s *Set) Check(eventType string, payload json.RawMessage) error {
	schema := s.types[eventType]
	if schema == nil {
		return nil
	}
	return schema.Validate(payload)
}
