package eventtype

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	// MaxBody bounds the body of a push: a document, and what is to be done with it.
	MaxBody = catalog.MaxDocumentBytes + 4<<10

	// maxTold bounds what differs in a report; beyond, one thing is told of each type.
	maxTold = 5000

	// maxNote bounds what is said of a push, in characters.
	maxNote = 500

	// inDocument is the location of the document in the body.
	inDocument = "body.document"
)

// NewPush documents the body of a push; DecodePush reads it.
type NewPush struct {
	_ struct{} `additionalProperties:"false"`

	Document      JSON   `json:"document" example:"{\"openapi\":\"3.1.0\",\"webhooks\":{\"invoice.paid\":{\"summary\":\"An invoice was paid\"}}}" doc:"OpenAPI 3.1 with webhooks: each is an event type. At most 8 MiB, 2,000 types, and 512 KiB a type."`
	DryRun        bool   `json:"dry_run,omitempty" doc:"Say what differs, and do nothing."`
	AllowBreaking bool   `json:"allow_breaking,omitempty" doc:"Also if receivers that were right may not be any more. Else 409."`
	Prune         bool   `json:"prune,omitempty" doc:"Archive the types that the document does not have. Else they stay as they are."`
	Note          string `json:"note,omitempty" maxLength:"500" doc:"Why, for the versions that it makes."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (NewPush) SchemaName() string { return "NewCatalog" }

// Push is an order to make the catalogue what a document says.
type Push struct {
	Catalog       catalog.Catalog
	DryRun        bool
	AllowBreaking bool
	Prune         bool
	Note          string
}

// DecodePush reads a body. Its error is a *[problem.Error].
func DecodePush(body []byte) (p Push, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return p, err
	}

	var f problem.Faults
	var document json.RawMessage
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch name {
		case "document":
			document = value
		case "dry_run":
			p.DryRun = strictjson.Bool(value, "body.dry_run", &f)
		case "allow_breaking":
			p.AllowBreaking = strictjson.Bool(value, "body.allow_breaking", &f)
		case "prune":
			p.Prune = strictjson.Bool(value, "body.prune", &f)
		case "note":
			p.Note = strictjson.Text(value, "body.note", &f)
		default:
			return false
		}
		return true
	})

	switch {
	case document == nil:
		f.Add(inDocument, "is required")
	case document[0] != '{':
		f.Add(inDocument, "must be an object")
	case len(document) > catalog.MaxDocumentBytes:
		f.Add(inDocument, fmt.Sprintf("is larger than %d bytes", catalog.MaxDocumentBytes))
	}
	if utf8.RuneCountInString(p.Note) > maxNote {
		f.Add("body.note", fmt.Sprintf("is longer than %d characters", maxNote))
	}
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return p, err
	}
	p.Catalog, err = catalog.Parse(document, inDocument)
	return p, err
}

// Report is what a push has done, or would do.
type Report struct {
	Types     []TypeReport `json:"types" nullable:"false" doc:"Those of which something differs, by name."`
	Unchanged int          `json:"unchanged" doc:"How many types of the document are what they were."`
	Missing   []string     `json:"missing" nullable:"false" doc:"Types of the catalogue that the document does not have: prune archives them."`
	Breaking  bool         `json:"breaking" doc:"Whether receivers that were right may not be any more."`
	DryRun    bool         `json:"dry_run" doc:"Whether nothing was done."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Report) SchemaName() string { return "CatalogReport" }

// TypeReport is what differs of an event type.
type TypeReport struct {
	Name     string           `json:"name" example:"invoice.paid"`
	Version  int32            `json:"version" doc:"Of its schema, after the push."`
	Breaking bool             `json:"breaking"`
	Changes  []catalog.Change `json:"changes" nullable:"false" doc:"200 at most."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (TypeReport) SchemaName() string { return "CatalogTypeReport" }

// Changed returns the names of the types of which something differs.
func (r Report) Changed() []string {
	names := make([]string, len(r.Types))
	for i, t := range r.Types {
		names[i] = t.Name
	}
	return names
}

// Run makes the catalogue what the document says, or says what would be done. Of two at a time, the second waits.
func (p Push) Run(ctx context.Context, tx pgx.Tx) (Report, error) {
	report := Report{Types: []TypeReport{}, Missing: []string{}, DryRun: p.DryRun}
	if !p.DryRun {
		if _, err := db.New().LockCatalog(ctx, tx); err != nil {
			return report, err
		}
	}

	rows, err := p.stored(ctx, tx)
	if err != nil {
		return report, err
	}
	changes := p.compare(rows, &report)
	archived, err := p.missing(ctx, tx, &report)
	if err != nil {
		return report, err
	}
	slices.SortFunc(report.Types, func(a, b TypeReport) int { return strings.Compare(a.Name, b.Name) })

	if p.DryRun {
		return report, nil
	}
	if report.Breaking && !p.AllowBreaking {
		return report, refused(report)
	}
	return report, p.write(ctx, tx, changes, archived)
}

// change is a type that is not as the document says. before has no id if it is new.
type change struct {
	before   db.ListCatalogTypesRow
	after    catalog.Type
	schema   bool // it differs
	breaking bool
}

// version is that of the type after the change.
func (c change) version() int32 {
	if c.schema {
		return c.before.Version + 1
	}
	return c.before.Version
}

// stored returns the document's types as they are.
func (p Push) stored(ctx context.Context, tx pgx.Tx) (map[string]db.ListCatalogTypesRow, error) {
	rows := map[string]db.ListCatalogTypesRow{}
	names := make([]string, len(p.Catalog.Types))
	for i, t := range p.Catalog.Types {
		names[i] = t.Name
	}
	if len(names) == 0 {
		return rows, nil
	}

	list, err := db.New().ListCatalogTypes(ctx, tx, names, false)
	for _, r := range list {
		rows[r.Name] = r
	}
	return rows, err
}

// compare returns what differs, and reports it.
func (p Push) compare(rows map[string]db.ListCatalogTypesRow, report *Report) (changes []change) {
	told := 0
	for _, t := range p.Catalog.Types {
		row, found := rows[t.Name]
		c := change{before: row, after: t, schema: !found || !catalog.Equal(row.Schema, t.Schema)}
		var list []catalog.Change
		switch {
		case !found:
			list = catalog.Compare(nil, &t)
		default:
			before := typeOf(row)
			list = catalog.Compare(&before, &t)
			if row.State == Archived {
				list = append(list, catalog.Change{What: "is back: it was archived"})
			}
		}

		if len(list) == 0 {
			report.Unchanged++
			continue
		}
		breaks := func(c catalog.Change) bool { return c.Breaking }
		c.breaking = slices.ContainsFunc(list, breaks)
		if told += len(list); told > maxTold {
			list = list[max(0, slices.IndexFunc(list, breaks)):][:1]
		}
		report.Breaking = report.Breaking || c.breaking
		report.Types = append(report.Types, TypeReport{t.Name, c.version(), c.breaking, list})
		changes = append(changes, c)
	}
	return changes
}

// missing reports the types that the document does not have, and returns those that are to be archived.
func (p Push) missing(ctx context.Context, tx pgx.Tx, report *Report) (archived []string, err error) {
	all, err := db.New().ListTypeNames(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, name := range all {
		if !slices.ContainsFunc(p.Catalog.Types, func(t catalog.Type) bool { return t.Name == name }) {
			report.Missing = append(report.Missing, name)
		}
	}
	if !p.Prune {
		return nil, nil
	}

	for _, name := range report.Missing {
		report.Types = append(report.Types,
			TypeReport{Name: name, Breaking: true, Changes: catalog.Compare(&catalog.Type{}, nil)})
		report.Breaking = true
	}
	return report.Missing, nil
}

// refused is the answer to a push that would break receivers.
func refused(report Report) error {
	var details []problem.Detail

	for _, t := range report.Types {
		for _, c := range t.Changes {
			if c.Breaking && len(details) < problem.MaxDetails {
				details = append(details, problem.Detail{
					Location: inDocument, Message: strings.TrimSpace(t.Name+" "+c.Pointer) + " " + c.What,
				})
			}
		}
	}
	return problem.New(problem.BreakingChange,
		"receivers that were right may not be any more: give what changes a new event type, or say allow_breaking",
		details...)
}

func (p Push) write(ctx context.Context, tx pgx.Tx, changes []change, archived []string) error {
	for _, c := range changes {
		if err := p.writeType(ctx, tx, c); err != nil {
			return fmt.Errorf("writing an event type: %w", err)
		}
	}
	for _, name := range archived {
		if err := archive(ctx, tx, name); err != nil {
			return fmt.Errorf("archiving an event type: %w", err)
		}
	}

	size, err := db.New().MeasureCatalog(ctx, tx)
	if err != nil {
		return err
	}
	if size.Types > catalog.MaxTypes || size.Bytes > catalog.MaxBytes {
		return problem.New(problem.CatalogFull, fmt.Sprintf(
			"the catalogue would have %d event types, which take %d bytes: it may have %d, and %d",
			size.Types, size.Bytes, catalog.MaxTypes, catalog.MaxBytes))
	}
	return db.New().ChangeCatalog(ctx, tx, p.Catalog.Frame)
}

// writeType writes a type, and its version if the schema is another.
func (p Push) writeType(ctx context.Context, tx pgx.Tx, c change) error {
	id, t := c.before.ID, c.after
	if c.before.Name == "" {
		row, err := db.New().InsertEventType(ctx, tx, db.InsertEventTypeParams{
			Name: t.Name, Title: t.Title, Description: t.Description, GroupName: t.Group, Visibility: t.Visibility,
			Flags: t.Flags, State: state(t), Version: c.version(), Webhook: t.Key, Item: t.Item, Components: t.Components,
		})
		if err != nil {
			return err
		}
		id = row.ID
	} else if _, err := db.New().UpdateEventType(ctx, tx, db.UpdateEventTypeParams{
		ID: id, Title: t.Title, Description: t.Description, GroupName: t.Group, Visibility: t.Visibility, Flags: t.Flags,
		State: state(t), Enforce: c.before.Enforce, Guard: guardOf(c.before.Enforce, state(t), t.Schema),
		Version: c.version(), Webhook: t.Key, Item: t.Item, Components: t.Components,
	}); err != nil {
		return err
	}

	examples := arrayOf(t.Examples)
	if !c.schema {
		return db.New().SetExamples(ctx, tx, examples, id, c.version())
	}
	return db.New().InsertEventTypeVersion(ctx, tx, db.InsertEventTypeVersionParams{
		EventTypeID: id, Version: c.version(), Schema: t.Schema, Examples: examples, Breaking: c.breaking, Note: p.Note,
	})
}

func archive(ctx context.Context, tx pgx.Tx, name string) error {
	row, err := db.New().LockEventType(ctx, tx, name)
	if err != nil {
		return err
	}
	row.State = Archived
	_, err = db.New().UpdateEventType(ctx, tx, paramsOf(row))
	return err
}

func paramsOf(r db.LockEventTypeRow) db.UpdateEventTypeParams {
	return db.UpdateEventTypeParams{
		ID: r.ID, Title: r.Title, Description: r.Description, GroupName: r.GroupName, Visibility: r.Visibility,
		Flags: r.Flags, State: r.State, Enforce: r.Enforce, Guard: guardOf(r.Enforce, r.State, r.Schema), Version: r.Version,
		Webhook: r.Webhook, Item: r.Item, Components: r.Components,
	}
}

// guardOf is what the enqueue functions hold events of a type against. Nil: nothing.
func guardOf(enforce, state string, schema json.RawMessage) *string {
	path := ""
	if enforce == EnforceGuard && state != Archived {
		path = catalog.Guard(schema)
	}
	if path == "" {
		return nil
	}
	return &path
}

func state(t catalog.Type) string {
	if t.Deprecated {
		return Deprecated
	}
	return Active
}

// typeOf is a stored type.
func typeOf(r db.ListCatalogTypesRow) catalog.Type {
	t := catalog.Type{
		Name: r.Name, Title: r.Title, Description: r.Description, Group: r.GroupName, Visibility: r.Visibility,
		Flags: r.Flags, Deprecated: r.State == Deprecated, Key: r.Webhook, Item: r.Item, Components: r.Components,
		Schema: r.Schema,
	}
	for _, example := range elements(r.Examples) {
		t.Examples = append(t.Examples, example.RawMessage)
	}
	return t
}

func arrayOf(list []json.RawMessage) json.RawMessage {
	parts := make([][]byte, len(list))
	for i := range list {
		parts[i] = list[i]
	}
	return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
}
