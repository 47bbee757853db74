package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/mail"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/health"
)

// Limits of a tenant's entry.
const (
	maxTenantName = 255 // characters
	maxContact    = 254 // bytes: what RFC 5321, section 4.5.3.1.3, leaves of a path of 256
)

// tenant is a tenant's entry: what people have noted of it.
type tenant struct {
	ID        uuid.UUID         `json:"id" format:"uuid" doc:"The entry's: one that is made again has another."`
	TenantID  string            `json:"tenant_id" example:"acme" doc:"The label that its events and endpoints have."`
	Name      string            `json:"name" example:"ACME GmbH" doc:"For people. Empty: none."`
	Contact   string            `json:"contact" example:"webhooks@acme.example" doc:"An e-mail address. Empty: none."`
	Metadata  map[string]string `json:"metadata"`
	CreatedAt time.Time         `json:"created_at" doc:"Of the entry."`
	UpdatedAt time.Time         `json:"updated_at" doc:"Of the entry."`
}

// newTenant documents the body that replaces an entry; decodeTenant reads it.
type newTenant struct {
	_ struct{} `additionalProperties:"false"`

	Name     *string           `json:"name,omitempty" nullable:"true" maxLength:"255" example:"ACME GmbH" doc:"For people."`
	Contact  *string           `json:"contact,omitempty" nullable:"true" maxLength:"254" example:"webhooks@acme.example" doc:"An e-mail address, without a name, of at most 254 bytes."`
	Metadata map[string]string `json:"metadata,omitempty" nullable:"true" doc:"Yours, at most 20 entries and 4 KiB."`
}

// tenantChange documents the body that changes an entry; decodeTenant reads it.
type tenantChange struct {
	_ struct{} `additionalProperties:"false"`

	Name     *string   `json:"name,omitempty" nullable:"true" maxLength:"255"`
	Contact  *string   `json:"contact,omitempty" nullable:"true" maxLength:"254"`
	Metadata textPatch `json:"metadata,omitempty" nullable:"true" doc:"Merged with what there is: null removes one, or all."`
}

type getTenantInput struct {
	TenantPath

	IfNoneMatch string `header:"If-None-Match" doc:"Answer 304, without a body, if the entry has one of these ETags."`
}

type changeTenantInput struct {
	TenantPath
	Preconditions
}

type putTenantInput struct {
	TenantPath
	PutConditions
}

type listTenantsInput struct {
	ID     string `query:"id" format:"uuid" doc:"Only the entry with this id."`
	Order  string `query:"order" enum:"asc,desc" default:"asc" doc:"By the time of the entries: asc begins with the oldest."`
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

// tenantOutput is an answer with an entry, which is not written with the status 304.
type tenantOutput struct {
	EntityTag

	Status int
	Body   tenant
}

// tenantOperation returns an operation of entries. path begins behind theirs.
func tenantOperation(id, method, path, summary, description string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/tenants" + path, Tags: []string{tagTenants}, Summary: summary,
		Description: description,
	}
}

func (s *Server) addTenantEntries() {
	register(s, route{
		Operation: tenantOperation("list-tenants", http.MethodGet, "", "List the tenants that have an entry, oldest first",
			"Not all tenants: one needs no entry to have events and endpoints, and has one only if somebody has made it with "+
				"PUT. A key that is bound to a tenant is shown that one's."),
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listTenants)

	got := tenantOperation("get-tenant", http.MethodGet, "/{tenant_id}", "Get a tenant's entry",
		"404 says that there is no entry, not that there is no tenant: GET /api/find tells what there is.")
	got.Responses = map[string]*huma.Response{"304": {Description: "Not Modified: it has an ETag of If-None-Match"}}
	register(s, route{
		Operation: got, errors: codes{problem.NotFound}, access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.getTenant)

	put := tenantOperation("put-tenant", http.MethodPut, "/{tenant_id}", "Make a tenant's entry, or replace it",
		"201 if there was none, else 200. Members that are not given get their defaults. "+
			"What changes nothing is not written. With an Idempotency-Key, one with If-None-Match can be repeated, too: it is "+
			"not refused because of itself.")
	put.Responses = map[string]*huma.Response{"201": {Description: "Created"}}
	register(s, route{
		Operation: put, errors: codes{problem.PreconditionFailed}, access: adminAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newTenant](), limit: maxSmallBody, answer: reflect.TypeFor[tenant](), putKeys: true,
	}, s.putTenant)
	register(s, route{
		Operation: tenantOperation("update-tenant", http.MethodPatch, "/{tenant_id}", "Change a tenant's entry",
			"A JSON merge patch (RFC 7396): members that are not given stay as they are, and null sets a member back to its "+
				"default. metadata is merged member by member. What changes nothing is not written."),
		errors: codes{problem.NotFound, problem.PreconditionFailed}, access: adminAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[tenantChange](), limit: maxSmallBody,
	}, s.patchTenant)
	register(s, route{
		Operation: tenantOperation("delete-tenant", http.MethodDelete, "/{tenant_id}", "Delete a tenant's entry",
			"The entry alone: its endpoints go on, and its events, deliveries, usage and keys stay as they are. "+
				"DELETE /api/tenants/{tenant_id}/data erases what it has."),
		errors: codes{problem.NotFound, problem.PreconditionFailed}, access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.deleteTenant)
}

func newTenantAnswer(r db.Tenant) (tenant, error) {
	t := tenant{
		ID: r.ID, TenantID: r.TenantID, Name: r.Name, Contact: r.Contact,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if err := json.Unmarshal(r.Metadata, &t.Metadata); err != nil {
		return t, fmt.Errorf("reading a tenant's entry: %w", err)
	}
	return t, nil
}

func newTenantOutput(status int, r db.Tenant) (*tenantOutput, error) {
	body, err := newTenantAnswer(r)
	return &tenantOutput{EntityTag: EntityTag{ETag: etagAt(r.UpdatedAt)}, Status: status, Body: body}, err
}

// noTenant is the answer for a tenant without an entry, and for one that the request's key may not see.
func noTenant() error {
	return problem.New(problem.NotFound, "this tenant has no entry, which it needs for nothing: "+
		"PUT /api/tenants/{tenant_id} makes one")
}

func (s *Server) listTenants(ctx context.Context, in *listTenantsInput) (*pageOutput[tenant], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListTenantsParams{
		ID: f.id("query.id", in.ID), TenantID: f.key.tenant(), Cursor: f.after(1)[0],
		Ascending: f.ascending, MaxRows: f.maxRows(),
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.Tenant, error) {
		return db.New().ListTenants(ctx, tx, p)
	}, newTenantAnswer, func(r db.Tenant) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) getTenant(ctx context.Context, in *getTenantInput) (*tenantOutput, error) {
	label, err := in.label(ctx)
	if err != nil {
		return nil, err
	}

	row, err := db.New().GetTenant(ctx, s.cfg.Pool, label)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && checkVisible(ctx, row.TenantID) != nil {
		return nil, noTenant()
	}
	if err != nil {
		return nil, err
	}

	if in.IfNoneMatch != "" && matches(in.IfNoneMatch, etagAt(row.UpdatedAt), true) {
		return &tenantOutput{Status: http.StatusNotModified, EntityTag: EntityTag{ETag: etagAt(row.UpdatedAt)}}, nil
	}
	return newTenantOutput(http.StatusOK, row)
}

// putTenant makes an entry what the body says: a new one, or the one that is there.
func (s *Server) putTenant(ctx context.Context, in *putTenantInput) (*tenantOutput, error) {
	label, err := in.label(ctx)
	if err != nil {
		return nil, err
	}
	if fault := tenantFault(label); fault != "" && label != health.OperatorTenant {
		return nil, problem.Invalid("path.tenant_id", fault)
	}
	entry, err := decodeTenant(bodyOf(ctx), db.Tenant{TenantID: label, Metadata: json.RawMessage(emptyJSONObject)})
	if err != nil {
		return nil, err
	}

	var row db.Tenant
	status := http.StatusOK
	err = s.changeUnique(ctx, "", func(tx pgx.Tx) error {
		before, etag, err := lockTenant(ctx, tx, label)
		if err != nil {
			return err
		}
		if err := in.check("entry", etag); err != nil {
			return err
		}

		if etag == "" {
			status = http.StatusCreated
			row, err = s.insertTenant(ctx, tx, entry)
			return err
		}
		status, entry.ID = http.StatusOK, before.ID
		row, err = s.updateTenant(ctx, tx, before, entry, "put-tenant")
		return err
	})
	if err != nil {
		return nil, err
	}
	return newTenantOutput(status, row)
}

func (s *Server) patchTenant(ctx context.Context, in *changeTenantInput) (*tenantOutput, error) {
	var row db.Tenant

	err := s.changeTenant(ctx, in, func(tx pgx.Tx, before db.Tenant) error {
		entry, err := decodeTenant(bodyOf(ctx), before)
		if err != nil {
			return err
		}
		row, err = s.updateTenant(ctx, tx, before, entry, "update-tenant")
		return err
	})
	if err != nil {
		return nil, err
	}
	return newTenantOutput(http.StatusOK, row)
}

func (s *Server) deleteTenant(ctx context.Context, in *changeTenantInput) (*struct{}, error) {
	return nil, s.changeTenant(ctx, in, func(tx pgx.Tx, row db.Tenant) error {
		if err := db.New().DeleteTenant(ctx, tx, row.ID); err != nil {
			return err
		}
		return s.audit(ctx, tx, done{"delete-tenant", row.TenantID, objectTenant, row.TenantID, nil})
	})
}

// changeTenant changes an entry that there is, in one transaction.
func (s *Server) changeTenant(ctx context.Context, in *changeTenantInput, do func(pgx.Tx, db.Tenant) error) error {
	label, err := in.label(ctx)
	if err != nil {
		return err
	}

	return s.change(ctx, func(tx pgx.Tx) error {
		row, etag, err := lockTenant(ctx, tx, label)
		switch {
		case err != nil:
			return err
		case etag == "":
			return noTenant()
		}
		if err := in.check("entry", etag); err != nil {
			return err
		}
		return do(tx, row)
	})
}

// lockTenant returns a tenant's entry and its ETag, "" if there is none.
func lockTenant(ctx context.Context, tx pgx.Tx, label string) (row db.Tenant, etag string, err error) {
	row, err = db.New().LockTenant(ctx, tx, label)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, "", nil
	}
	return row, etagAt(row.UpdatedAt), err
}

func (s *Server) insertTenant(ctx context.Context, tx pgx.Tx, entry db.Tenant) (db.Tenant, error) {
	row, err := db.New().InsertTenant(ctx, tx, db.InsertTenantParams{
		TenantID: entry.TenantID, Name: entry.Name, Contact: entry.Contact, Metadata: entry.Metadata,
	})
	if err != nil {
		return row, err
	}
	return row, s.audit(ctx, tx, done{"put-tenant", row.TenantID, objectTenant, row.TenantID, nil})
}

// updateTenant writes a locked entry, unless nothing of it is different.
func (s *Server) updateTenant(
	ctx context.Context, tx pgx.Tx, before, entry db.Tenant, action string,
) (db.Tenant, error) {
	var changed []string
	for _, member := range []struct {
		name string
		same bool
	}{
		{"contact", before.Contact == entry.Contact},
		{"metadata", maps.Equal(textsOf(before.Metadata), textsOf(entry.Metadata))},
		{"name", before.Name == entry.Name},
	} {
		if !member.same {
			changed = append(changed, member.name)
		}
	}
	if len(changed) == 0 {
		return before, nil
	}

	row, err := db.New().UpdateTenant(ctx, tx, db.UpdateTenantParams{
		ID: entry.ID, Name: entry.Name, Contact: entry.Contact, Metadata: entry.Metadata,
	})
	if err != nil {
		return row, err
	}
	detail := map[string]any{"members": changed}
	return row, s.audit(ctx, tx, done{action, row.TenantID, objectTenant, row.TenantID, detail})
}

// decodeTenant reads a body over an entry: what it does not give stays.
func decodeTenant(body []byte, entry db.Tenant) (db.Tenant, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return entry, err
	}

	m := memberReader{at: "body"}
	strictjson.EachMember(object, m.at, &m.faults, func(name string, value json.RawMessage) bool {
		switch name {
		case "name":
			entry.Name = m.optional(name, value, maxTenantName)
		case "contact":
			entry.Contact = m.contact(name, value)
		case "metadata":
			entry.Metadata = m.mergeMetadata(value, entry.Metadata)
		default:
			return false
		}
		return true
	})
	return entry, m.faults.Problem(problem.InvalidRequest)
}

// contact reads an e-mail address; null is none.
func (e *memberReader) contact(name string, value json.RawMessage) string {
	before := len(e.faults)
	text := e.optional(name, value, maxContact)
	if text == "" || len(e.faults) > before {
		return text
	}

	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text || len(text) > maxContact {
		e.faults.Add(e.at+"."+name, fmt.Sprintf("must be an e-mail address of at most %d bytes, without a name", maxContact))
	}
	return text
}
