package eventtype

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
)

const (
	// maxVersions is how many versions are told of a type.
	maxVersions = 100

	// maxSubscribers is up to which number endpoints are counted.
	maxSubscribers = 1000

	// maxUndescribed is how many types are told that are not described.
	maxUndescribed = 100
)

// Reader reads the catalogue for somebody.
type Reader struct {
	// OnlyPublic leaves out what is not shown to everybody: for a tenant.
	OnlyPublic bool

	// TenantID is whose endpoints are counted. Nil: all.
	TenantID *string
}

// gone is the answer for a type that there is not, and for one that is not shown.
func gone() error { return problem.New(problem.NotFound, "the catalogue has no such event type") }

// hides tells whether a type is not shown.
func (r Reader) hides(visibility, state string) bool {
	return r.OnlyPublic && (visibility != catalog.Public || state == Archived)
}

// Get returns an event type.
func (r Reader) Get(ctx context.Context, tx pgx.Tx, name string) (Details, error) {
	if !catalog.ValidName(name) {
		return Details{}, gone()
	}
	row, err := db.New().GetEventType(ctx, tx, name)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && r.hides(row.Visibility, row.State):
		return Details{}, gone()
	case err != nil:
		return Details{}, err
	}

	d := newDetails(row)
	versions, err := db.New().ListEventTypeVersions(ctx, tx, row.ID, maxVersions)
	if err != nil {
		return d, err
	}
	for _, v := range versions {
		d.Versions = append(d.Versions, Version{v.Version, v.Breaking, v.Note, v.CreatedAt.UTC()})
	}
	d.Subscribers, err = db.New().CountSubscribers(ctx, tx, name, r.TenantID, maxSubscribers)
	if err != nil || r.OnlyPublic {
		return d, err
	}

	sample, err := db.New().GetEventTypeSample(ctx, tx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, nil
	}
	d.addSample(sample)
	return d, err
}

// Payload returns the first example of an event type, as what is published. at is the type's location in the request.
func (r Reader) Payload(ctx context.Context, tx pgx.Tx, name, at string) (json.RawMessage, error) {
	example, err := r.example(ctx, tx, name)
	switch {
	case err != nil:
		return nil, err
	case example == nil:
		return nil, problem.Invalid(at, "is not in the catalogue, or has no example there")
	case len(example) > outhook.MaxPayloadBytes:
		return nil, problem.Invalid(at, fmt.Sprintf("has an example that is larger than %d bytes", outhook.MaxPayloadBytes))
	}
	return example, nil
}

// example returns the first example of an event type; nil: there is none, or no such type.
func (r Reader) example(ctx context.Context, tx pgx.Tx, name string) (json.RawMessage, error) {
	if !catalog.ValidName(name) {
		return nil, nil
	}

	row, err := db.New().GetEventType(ctx, tx, name)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && r.hides(row.Visibility, row.State) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, example := range elements(row.Examples) {
		return example.RawMessage, nil
	}
	return nil, nil
}

// GetVersion returns a version of an event type.
func (r Reader) GetVersion(ctx context.Context, tx pgx.Tx, name string, version int32) (v VersionDetails, err error) {
	if !catalog.ValidName(name) {
		return v, gone()
	}
	row, err := db.New().GetEventTypeVersion(ctx, tx, version, name)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || err == nil && r.hides(row.Visibility, row.State):
		return v, gone()
	case err != nil:
		return v, err
	}

	v = VersionDetails{
		Version: Version{row.Version, row.Breaking, row.Note, row.CreatedAt.UTC()},
		Schema:  JSON{row.Schema}, Examples: elements(row.Examples), Changes: []catalog.Change{},
	}
	if row.Before != nil {
		v.Changes = append(v.Changes, catalog.CompareSchemas(row.Before, row.Schema)...)
	}
	return v, nil
}

// Whole is the catalogue, without what is archived.
type Whole struct {
	catalog.Catalog

	Revision int64
	Versions []int32 // of the types' schemas, as the types stand
}

// Whole returns the catalogue, or some types of it, archived or not. It is for one transaction that sees one state.
func (r Reader) Whole(ctx context.Context, tx pgx.Tx, names ...string) (Whole, error) {
	stored, err := db.New().GetCatalog(ctx, tx)
	if err != nil {
		return Whole{}, err
	}
	rows, err := db.New().ListCatalogTypes(ctx, tx, append([]string{}, names...), r.OnlyPublic)
	if err != nil {
		return Whole{}, err
	}

	w := Whole{Catalog: catalog.Catalog{Frame: stored.Frame}, Revision: stored.Revision}
	for _, row := range rows {
		if r.hides(row.Visibility, row.State) {
			continue
		}
		w.Types, w.Versions = append(w.Types, typeOf(row)), append(w.Versions, row.Version)
	}
	return w, nil
}

// Document returns what is asked for as a document.
func (r Reader) Document(ctx context.Context, tx pgx.Tx, of Pull) (Document, error) {
	var names []string
	if of.EventType != "" {
		names = []string{of.EventType}
		if !catalog.ValidName(of.EventType) {
			return Document{}, gone()
		}
	}

	w, err := r.Whole(ctx, tx, names...)
	if err == nil && len(w.Types) < len(names) {
		err = gone()
	}
	return Document{JSON{catalog.Document(w.Catalog)}}, err
}

// ListUndescribed returns the types that were seen and are not in the catalogue; to a tenant, none: its events' types
// are the operator's.
func (r Reader) ListUndescribed(ctx context.Context, tx pgx.Tx) (UndescribedTypes, error) {
	list := UndescribedTypes{Types: []Undescribed{}}
	if r.OnlyPublic {
		return list, nil
	}
	rows, err := db.New().ListUndescribedTypes(ctx, tx, maxUndescribed)
	for _, row := range rows {
		list.Types = append(list.Types, Undescribed{row.Type, row.Since.UTC(), row.Checked, row.SeenAt.UTC()})
	}
	return list, err
}
