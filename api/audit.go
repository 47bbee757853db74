package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
)

// Types of the objects in the audit trail.
const (
	objectCatalog       = "catalog"
	objectDelivery      = "delivery"
	objectEndpoint      = "endpoint"
	objectEvent         = "event"
	objectEventType     = "event_type"
	objectKey           = "key"
	objectOperation     = "operation"
	objectPortalSession = "portal_session"
	objectRiverUI       = "river_ui"
	objectSession       = "session"
	objectTenant        = "tenant"
)

// operator is what a tenant is shown of a key that is not its own.
const operator = "operator"

// done is an order that was carried out, as it enters the audit trail.
type done struct {
	action     string // the operation's id
	tenantID   string // "": nobody's
	objectType string
	objectID   string
	detail     map[string]any // names, and values that are no secret
}

// audit writes what the request's key has done, in the transaction of the change: both are there or none.
func (s *Server) audit(ctx context.Context, tx db.DBTX, d done) error {
	p, err := s.newAuditEntry(ctx, d)
	if err != nil {
		return err
	}
	if err := db.New().InsertAuditEntry(ctx, tx, p); err != nil {
		return fmt.Errorf("writing the audit trail: %w", err)
	}
	return nil
}

// auditMany is audit of one order for many objects: d without what tells them apart.
func (s *Server) auditMany(ctx context.Context, tx db.DBTX, d done, tenantIDs, objectIDs []string) error {
	p, err := s.newAuditEntry(ctx, d)
	if err != nil {
		return err
	}
	if k := requestOf(ctx).keyed; k != nil {
		for _, tenantID := range tenantIDs {
			k.About(tenantID)
		}
	}

	if err := db.New().InsertAuditEntries(ctx, tx, db.InsertAuditEntriesParams{
		KeyID: p.KeyID, Actor: p.Actor, KeyTenantID: p.KeyTenantID, Action: p.Action, ObjectType: p.ObjectType,
		Detail: p.Detail, SourceAddress: p.SourceAddress, RequestID: p.RequestID,
		TenantIds: tenantIDs, ObjectIds: objectIDs,
	}); err != nil {
		return fmt.Errorf("writing the audit trail: %w", err)
	}
	return nil
}

func (s *Server) newAuditEntry(ctx context.Context, d done) (p db.InsertAuditEntryParams, err error) {
	r := requestOf(ctx)
	if r.keyed != nil {
		r.keyed.About(d.tenantID)
	}
	p = db.InsertAuditEntryParams{
		Actor: r.key.name, KeyTenantID: r.key.tenant(), Action: d.action, ObjectType: d.objectType, ObjectID: d.objectID,
		Detail: json.RawMessage(emptyJSONObject), RequestID: r.id,
	}

	if r.key.id != uuid.Nil {
		p.KeyID = &r.key.id
	}
	if d.tenantID != "" {
		p.TenantID = &d.tenantID
	}
	if r.http != nil {
		if addr := s.clientAddress(r.http); addr.IsValid() {
			p.SourceAddress = addr.String()
		}
	}

	if len(d.detail) > 0 {
		if p.Detail, err = json.Marshal(d.detail); err != nil {
			return p, fmt.Errorf("encoding the detail of %s: %w", d.action, err)
		}
	}
	return p, nil
}

// auditEntry is an order that was carried out.
type auditEntry struct {
	ID            uuid.UUID      `json:"id" format:"uuid"`
	At            time.Time      `json:"at" doc:"On the database's clock."`
	Actor         string         `json:"actor" example:"billing" doc:"The key's name, OUTHOOK_API_KEY, the command line and its user, or oidc: and who has logged in with OpenID Connect. A tenant is shown operator for a key that is not its own."`
	KeyID         *uuid.UUID     `json:"key_id" format:"uuid" nullable:"true" doc:"Null: OUTHOOK_API_KEY or the command line. Of a person of OpenID Connect, the session's. A tenant is shown its own keys only."`
	Action        string         `json:"action" example:"replay-delivery" doc:"The id of the operation in this document."`
	TenantID      *string        `json:"tenant_id" doc:"Whose object it is. Null: nobody's in particular."`
	ObjectType    string         `json:"object_type" example:"delivery"`
	ObjectID      string         `json:"object_id" doc:"The object's id; of a delivery the event's and the endpoint's with a slash."`
	Detail        map[string]any `json:"detail" doc:"What was changed: names, and values that are no secret."`
	SourceAddress *string        `json:"source_address" doc:"The client's address. A tenant is shown that of its own keys only."`
	RequestID     *string        `json:"request_id" doc:"As in the answer's header X-Request-Id."`
}

type listAuditInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only what was done with objects of this tenant."`
	ObjectID string `query:"object_id" maxLength:"255" doc:"Only what was done with this object."`
	Action   string `query:"action" maxLength:"255" doc:"Only this action."`
	KeyID    string `query:"key_id" format:"uuid" doc:"Only what was done with this key."`
	Since    moment `query:"since" doc:"Only entries of this time or later."`
	Until    moment `query:"until" doc:"Only entries before this time."`
	Order    string `query:"order" enum:"asc,desc" default:"desc" doc:"By time: asc begins with the oldest."`
	Limit    int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor   string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addAudit() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-audit", Method: http.MethodGet, Path: "/api/audit", Tags: []string{tagAudit},
			Summary:     "List what was done",
			Description: "A tenant's key is shown what was done with the tenant's objects.",
		},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listAudit)
}

func (s *Server) listAudit(ctx context.Context, in *listAuditInput) (*pageOutput[auditEntry], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListAuditEntriesParams{
		Cursor: f.after(1)[0], Ascending: f.ascending, MaxRows: f.maxRows(), Since: bound(in.Since), Until: bound(in.Until),
		TenantID: f.tenant(in.TenantID), ObjectID: f.text("query.object_id", in.ObjectID),
		Action: f.text("query.action", in.Action), KeyID: f.id("query.key_id", in.KeyID),
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.ListAuditEntriesRow, error) {
		return db.New().ListAuditEntries(ctx, tx, p)
	}, func(r db.ListAuditEntriesRow) (auditEntry, error) {
		return newAuditAnswer(r, f.key)
	}, func(r db.ListAuditEntriesRow) []uuid.UUID { return []uuid.UUID{r.ID} })
}

// newAuditAnswer hides from a tenant which person or program of the operator did something, and from where.
func newAuditAnswer(r db.ListAuditEntriesRow, key principal) (auditEntry, error) {
	e := auditEntry{
		ID: r.ID, At: r.At.UTC(), Actor: r.Actor, KeyID: r.KeyID, Action: r.Action, TenantID: r.TenantID,
		ObjectType: r.ObjectType, ObjectID: r.ObjectID,
		SourceAddress: textOrNull(r.SourceAddress), RequestID: textOrNull(r.RequestID),
	}

	if own := r.KeyTenantID != nil && *r.KeyTenantID == key.tenantID; key.tenantID != "" && !own {
		e.Actor, e.KeyID, e.SourceAddress, e.RequestID = operator, nil, nil, nil
	}

	if err := json.Unmarshal(r.Detail, &e.Detail); err != nil {
		return e, fmt.Errorf("reading audit entry %s: %w", r.ID, err)
	}
	return e, nil
}
