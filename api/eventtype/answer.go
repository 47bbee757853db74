package eventtype

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
)

// States of an event type. They decide nothing about deliveries.
const (
	Active     = "active"
	Deprecated = "deprecated"
	Archived   = "archived"
)

// What becomes of a payload that breaks the schema of its type.
const (
	EnforceNone   = "none"
	EnforceWarn   = "warn"
	EnforceReject = "reject"
	EnforceGuard  = "guard"
)

// JSON is any JSON value, whose members keep their order.
type JSON struct{ json.RawMessage }

// Schema is that of the OpenAPI document.
func (JSON) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// EventType is an event type of the catalogue.
type EventType struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	Name        string     `json:"name" example:"invoice.paid"`
	Title       string     `json:"title" example:"An invoice was paid"`
	Description string     `json:"description" doc:"Markdown. Empty: none."`
	Group       string     `json:"group" example:"Invoices" doc:"What it is listed under. Empty: nothing."`
	Visibility  string     `json:"visibility" enum:"public,flagged,hidden" doc:"Who it is shown to: everybody, nobody who has none of its flags, or the operator. It decides nothing about deliveries."`
	Flags       []string   `json:"flags" nullable:"false" doc:"Feature flags, which hide it and filter nothing."`
	State       string     `json:"state" enum:"active,deprecated,archived" doc:"Deprecated and archived types are delivered like any other."`
	Enforce     string     `json:"enforce" enum:"none,warn,reject,guard" doc:"What becomes of a payload that breaks the schema: nothing; it is counted, if it is in a sample; POST /api/events refuses it, too; or the enqueue functions as well, with the transaction that calls them, by what of the schema Postgres can evaluate."`
	Version     int32      `json:"version" doc:"Of its schema, from 1."`
	Checked     int64      `json:"checked" doc:"How many events of this version were looked at: some 20 a minute."`
	Violations  int64      `json:"violations" doc:"How many of them broke the schema."`
	SeenAt      *time.Time `json:"seen_at" doc:"When an event was last in a sample. Null: none of this version was."`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

// Details are all that is known of an event type.
type Details struct {
	EventType

	Guard        string     `json:"guard" doc:"What the enqueue functions hold the event against: a jsonpath. Empty: nothing."`
	Schema       JSON       `json:"schema" doc:"The payload's, of JSON Schema 2020-12, which stands alone."`
	Examples     []JSON     `json:"examples" nullable:"false" doc:"Payloads."`
	Versions     []Version  `json:"versions" nullable:"false" doc:"Newest first, 100 at most."`
	Subscribers  int64      `json:"subscribers" doc:"How many endpoints get events of this type, unless their filters or labels keep them from it. 1000: so many, or more."`
	Violation    *Finding   `json:"violation,omitempty" doc:"The last event in a sample that broke the schema. Absent: none did."`
	SampledSince *time.Time `json:"sampled_since" doc:"Since when checked and violations count. Null: nothing is counted."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Details) SchemaName() string { return "EventTypeDetails" }

// Version is one that an event type had, or has.
type Version struct {
	Version   int32     `json:"version"`
	Breaking  bool      `json:"breaking" doc:"Whether receivers of the version before may have been broken by it."`
	Note      string    `json:"note" doc:"Why, in the words of who pushed it. Empty: nothing was said."`
	CreatedAt time.Time `json:"created_at"`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Version) SchemaName() string { return "EventTypeVersion" }

// VersionDetails are a version with what it says.
type VersionDetails struct {
	Version

	Schema   JSON             `json:"schema" doc:"The payload's, of JSON Schema 2020-12, which stands alone."`
	Examples []JSON           `json:"examples" nullable:"false" doc:"Payloads."`
	Changes  []catalog.Change `json:"changes" nullable:"false" doc:"What differs from the version before. Of the first, nothing."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (VersionDetails) SchemaName() string { return "EventTypeVersionDetails" }

// Finding is an event that broke its type's schema.
type Finding struct {
	EventID uuid.UUID `json:"event_id" format:"uuid"`
	Pointer string    `json:"pointer" example:"/lines/0/amount" doc:"Where in the payload, as a JSON pointer (RFC 6901)."`
	Problem string    `json:"problem" example:"must be integer" doc:"How: nothing of the payload is repeated."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Finding) SchemaName() string { return "SchemaViolation" }

// Undescribed is a type that events have, and the catalogue has not.
type Undescribed struct {
	Type   string    `json:"type"`
	Since  time.Time `json:"since" doc:"When one was first in a sample."`
	Events int64     `json:"events" doc:"How many were in samples, which take some 20 of a type a minute."`
	SeenAt time.Time `json:"seen_at" doc:"When one was last in a sample."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Undescribed) SchemaName() string { return "UndescribedType" }

// UndescribedTypes are those that were seen last.
type UndescribedTypes struct {
	Types []Undescribed `json:"types" nullable:"false" doc:"Last seen first, 100 at most."`
}

// Document is a catalogue as a document.
type Document struct {
	Document JSON `json:"document" doc:"OpenAPI 3.1 with webhooks."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (Document) SchemaName() string { return "CatalogDocument" }

// NewEventType is a row of the list.
func NewEventType(r db.ListEventTypesRow) EventType {
	return EventType{
		ID: r.ID, Name: r.Name, Title: r.Title, Description: r.Description, Group: r.GroupName, Visibility: r.Visibility,
		Flags: r.Flags, State: r.State, Enforce: r.Enforce, Version: r.Version,
		Checked: r.Checked, Violations: r.Violations, SeenAt: utc(r.SeenAt),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// newDetails is a type with its newest version.
func newDetails(r db.GetEventTypeRow) Details {
	return Details{
		EventType: EventType{
			ID: r.ID, Name: r.Name, Title: r.Title, Description: r.Description, Group: r.GroupName, Visibility: r.Visibility,
			Flags: r.Flags, State: r.State, Enforce: r.Enforce, Version: r.Version,
			CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
		},
		Guard: guard(r.Guard), Schema: JSON{r.Schema}, Examples: elements(r.Examples), Versions: []Version{},
	}
}

// addSample adds what samples of the type's version showed.
func (d *Details) addSample(s db.EventTypeSample) {
	if s.Version == nil || *s.Version != d.Version {
		return
	}
	d.Checked, d.Violations, d.SeenAt, d.SampledSince = s.Checked, s.Violations, utc(&s.SeenAt), utc(&s.Since)
	if s.EventID != nil {
		d.Violation = &Finding{*s.EventID, s.Pointer, s.Problem}
	}
}

// elements are those of a JSON array that is known to be one.
func elements(array json.RawMessage) []JSON {
	list := []json.RawMessage{}
	if err := json.Unmarshal(array, &list); err != nil {
		return []JSON{} // not for what was written
	}
	values := make([]JSON, len(list))
	for i := range list {
		values[i] = JSON{bytes.Clone(list[i])}
	}
	return values
}

func guard(path *string) string {
	if path == nil {
		return ""
	}
	return *path
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	moment := at.UTC()
	return &moment
}
