package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

// portalName begins the name of a session of the portal.
const portalName = "portal: "

// portalSession is a session of the portal, or a link that becomes one.
type portalSession struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	TenantID  string    `json:"tenant_id" example:"acme"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at" doc:"When the session ends by itself."`
	Opened    bool      `json:"opened" doc:"Whether its link has been opened."`

	LinkExpiresAt *time.Time `json:"link_expires_at" doc:"Until when its link can be opened. Null: it has been."`

	grant.Grant

	URL string `json:"url,omitempty" example:"https://webhooks.example.com/portal/enter#ohc_…" doc:"Only in the answer that creates it. Opens the portal, once: send the customer's browser there. What stands behind the # is the code, which reaches no log."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (portalSession) SchemaName() string { return "PortalSession" }

type (
	portalSessionOutput struct{ Body portalSession }

	portalSessionInput struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"The session's id."`
	}

	endPortalSessionsInput struct {
		TenantID string `query:"tenant_id" maxLength:"255" doc:"Whose. Required, unless the key is bound to a tenant."`
	}

	listPortalSessionsInput struct {
		TenantID string `query:"tenant_id" maxLength:"255" doc:"Only those of this tenant."`
		Order    string `query:"order" enum:"asc,desc" default:"desc" doc:"By time: asc begins with the oldest."`
		Limit    int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
		Cursor   string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
	}
)

func (s *Server) addPortalSessions() {
	op := func(id, method, path, summary, description string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/api/portal-sessions" + path, Tags: []string{tagPortal},
			Summary: summary, Description: description, DefaultStatus: status,
		}
	}

	register(s, route{
		Operation: op("create-portal-session", http.MethodPost, "", "Make a link to the portal",
			"For a customer who is logged in to your application: send the browser to its url, or give that to a frame. "+
				"The link can be opened once, and the session is good for one tenant and what its capabilities say. It ends "+
				"by itself, with the key that has made it, and by DELETE.", http.StatusCreated),
		errors: codes{problem.PortalOff},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[grant.NewPortalLink](), limit: envelopeBytes,
	}, s.postPortalSession)

	register(s, route{
		Operation: op("list-portal-sessions", http.MethodGet, "", "List sessions of the portal",
			"Those that have not ended, and links that can be opened.", http.StatusOK),
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listPortalSessions)

	register(s, route{
		Operation: op("end-portal-session", http.MethodDelete, "/{id}", "End a session of the portal",
			"At once; a link that has not been opened can't be any more. 404 if it has ended.", http.StatusNoContent),
		errors: codes{problem.NotFound},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.endPortalSession)

	register(s, route{
		Operation: op("end-portal-sessions", http.MethodDelete, "", "End a tenant's sessions of the portal",
			"All at once, and its links.", http.StatusNoContent),
		access: tenantAccess, timeout: s.cfg.Timeouts.Query,
	}, s.endPortalSessions)
}

func newPortalSession(r db.APIKey) (p portalSession, err error) {
	p = portalSession{ID: r.ID, CreatedAt: r.CreatedAt.UTC(), Opened: r.Kind == kindPortal}
	if r.TenantID == nil || r.SessionUntil == nil || r.ExpiresAt == nil {
		return p, fmt.Errorf("the row %s is no session of the portal", r.ID)
	}

	p.TenantID, p.ExpiresAt = *r.TenantID, r.SessionUntil.UTC()
	if !p.Opened {
		at := r.ExpiresAt.UTC()
		p.LinkExpiresAt = &at
	}
	return p, json.Unmarshal(r.Portal, &p.Grant)
}

func (s *Server) postPortalSession(ctx context.Context, _ *struct{}) (*portalSessionOutput, error) {
	if s.cfg.Portal.Handler == nil {
		return nil, problem.New(problem.PortalOff, "this server has no portal: OUTHOOK_PORTAL=true turns it on")
	}
	by := requestOf(ctx).key
	order, err := grant.DecodeOrder(bodyOf(ctx), by.tenantID)
	if err != nil {
		return nil, err
	}
	if fault := tenantFault(order.TenantID); fault != "" {
		return nil, problem.Invalid("body.tenant_id", fault)
	}
	if err := checkOwn(ctx, order.TenantID, "body.tenant_id"); err != nil {
		return nil, err
	}

	stored, err := json.Marshal(order.Grant)
	if err != nil {
		return nil, err
	}
	code, hash := apikey.NewCode()
	p := db.InsertPortalCodeParams{
		Name: cutSessionName(portalName + order.Grant.Label), KeyHash: hash, TenantID: &order.TenantID,
		CodeS: order.CanBeOpened.Seconds(), SessionS: order.Lasts.Seconds(), Portal: stored,
	}
	if by.id != uuid.Nil {
		p.ParentID = &by.id
	} else {
		p.ParentSeal = s.sealBootstrapKey(code)
	}

	var row db.APIKey
	err = s.change(ctx, func(tx pgx.Tx) error {
		if err := db.New().DeleteOldSessions(ctx, tx); err != nil {
			return err
		}
		if row, err = db.New().InsertPortalCode(ctx, tx, p); err != nil {
			return err
		}
		detail := map[string]any{"label": order.Grant.Label, "capabilities": order.Grant.Capabilities}
		return s.audit(ctx, tx, done{
			"create-portal-session", order.TenantID, objectPortalSession, row.ID.String(), detail,
		})
	})
	if err != nil {
		return nil, err
	}

	made, err := newPortalSession(row)
	made.URL = s.portalURL(requestOf(ctx).http) + "/portal/enter#" + code
	return &portalSessionOutput{made}, err
}

// portalURL is where browsers reach this server: as it was told, or as the request that asks for a link has reached it.
func (s *Server) portalURL(r *http.Request) string {
	if base := s.cfg.Portal.PublicURL; base != "" {
		return strings.TrimSuffix(base, "/")
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

// OpenPortalSession makes a session of the code of a link, which is used up, and returns its key; "" if the code is
// none, or none any more. ctx is that of a request which the server serves.
func (s *Server) OpenPortalSession(ctx context.Context, code string) (key string, expiresAt time.Time, err error) {
	by, err := s.login(ctx, code)
	if err != nil || by.kind != kindPortalCode {
		return "", expiresAt, err
	}
	browser := requestOf(ctx)
	r := &request{id: browser.id, http: browser.http, key: by}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, requestKey{}, r), s.cfg.Timeouts.Query)
	defer cancel()

	key, hash := apikey.NewSession()
	seal := s.sealBootstrapKey(key)
	err = s.change(ctx, func(tx pgx.Tx) error {
		row, err := db.New().OpenPortalSession(ctx, tx, hash, seal, by.session)
		if err != nil {
			return err
		}
		expiresAt = *row.ExpiresAt
		return s.audit(ctx, tx, done{"open-portal-session", by.tenantID, objectPortalSession, row.ID.String(), nil})
	})
	if errors.Is(err, pgx.ErrNoRows) { // another one was faster
		return "", expiresAt, nil
	}
	return key, expiresAt, err
}

func (s *Server) listPortalSessions(ctx context.Context, in *listPortalSessionsInput,
) (*pageOutput[portalSession], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	after, tenantID := f.after(1)[0], f.tenant(in.TenantID)

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.APIKey, error) {
		return db.New().ListPortalSessions(ctx, tx, db.ListPortalSessionsParams{
			TenantID: tenantID, Cursor: after, Ascending: f.ascending, MaxRows: f.maxRows(),
		})
	}, newPortalSession, func(r db.APIKey) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) endPortalSession(ctx context.Context, in *portalSessionInput) (*struct{}, error) {
	return nil, s.change(ctx, func(tx pgx.Tx) error {
		row, err := db.New().GetPortalSession(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		if err := checkVisible(ctx, *row.TenantID); err != nil {
			return err
		}

		ended, err := db.New().RevokePortalSessions(ctx, tx, row.TenantID, &in.ID)
		if err != nil {
			return err
		}
		if ended == 0 {
			return pgx.ErrNoRows
		}
		return s.audit(ctx, tx, done{"end-portal-session", *row.TenantID, objectPortalSession, in.ID.String(), nil})
	})
}

func (s *Server) endPortalSessions(ctx context.Context, in *endPortalSessionsInput) (*struct{}, error) {
	tenantID := in.TenantID
	if own := requestOf(ctx).key.tenantID; tenantID == "" {
		tenantID = own
	}
	if tenantID == "" {
		return nil, problem.Invalid("query.tenant_id", "is required: the key is bound to no tenant")
	}
	if fault := tenantFault(tenantID); fault != "" {
		return nil, problem.Invalid("query.tenant_id", fault)
	}
	if err := checkOwn(ctx, tenantID, "query.tenant_id"); err != nil {
		return nil, err
	}

	return nil, s.change(ctx, func(tx pgx.Tx) error {
		ended, err := db.New().RevokePortalSessions(ctx, tx, &tenantID, nil)
		if err != nil {
			return err
		}
		d := done{"end-portal-sessions", tenantID, objectTenant, tenantID, map[string]any{"count": ended}}
		return s.audit(ctx, tx, d)
	})
}
