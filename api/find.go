package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// maxFound is how many endpoints of one uid, and of one host, are found.
const maxFound = 10

// found is one thing that a text is a name of.
type found struct {
	Kind     string  `json:"kind" enum:"event,endpoint,operation,tenant"`
	By       string  `json:"by" enum:"id,uid,host,idempotency_key,tenant_id" doc:"What the text is of it."`
	ID       string  `json:"id" doc:"A tenant's is its label."`
	TenantID *string `json:"tenant_id" doc:"Whose it is. Null: an operation on those of all tenants."`
	Label    string  `json:"label" example:"invoice.paid" doc:"For people: an event's type, an endpoint's host and path, an operation's kind, a tenant's name, which may be empty."`
	Link     string  `json:"link" example:"/api/events/018f0d3e-5b1e-7cc2-9d3a-6a1b2c3d4e5f" doc:"Where the API has it. Of a tenant without an entry: its endpoints, or its events."`
}

// findings are all that a text is a name of.
type findings struct {
	Items []found `json:"items" nullable:"false"`
	More  bool    `json:"more" doc:"Whether more endpoints than these 10 have this uid, or this host: GET /api/endpoints lists them."`
}

type findInput struct {
	Q        string `query:"q" required:"true" minLength:"1" maxLength:"256" example:"hooks.acme.example" doc:"An event's id, which is the webhook-id that its receivers get; the id of an endpoint or of an operation; an endpoint's uid; a receiver's host, with or without its port, or its URL; an idempotency key; a tenant. Whole, not a part of one."`
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only what is this tenant's. An idempotency key is found with it only, or with a key that is bound to a tenant: each tenant has its own."`
}

type findOutput struct{ Body findings }

func (s *Server) addFind() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "find", Method: http.MethodGet, Path: "/api/find", Tags: []string{tagFind},
			Summary: "Find what a text is a name of",
			Description: "Each look is one by an index, whatever there is. Deleted endpoints are not found. A tenant is found " +
				"if it has an entry, endpoints, or events: of the last week, or counted in GET /api/usage.",
		},
		access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.find)
}

func (s *Server) find(ctx context.Context, in *findInput) (*findOutput, error) {
	f := newFilters(ctx)
	f.text("query.q", in.Q)
	l := &look{name: in.Q, tenantID: f.tenant(in.TenantID), found: findings{Items: []found{}}}
	if f.err != nil {
		return nil, f.err
	}

	err := s.read(ctx, func(tx pgx.Tx) error {
		// Whatever the statistics say, no table is read but by its keys.
		if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
			return err
		}
		for _, at := range []func(context.Context, pgx.Tx) error{l.atIDs, l.atKeys, l.atUIDs, l.atHosts, l.atTenants} {
			if err := at(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return &findOutput{Body: l.found}, err
}

// look is what is looked for, and what was found of it.
type look struct {
	name     string
	tenantID *string // only what is this one's; nil: anybody's
	found    findings
}

// add notes a thing, once: its kind and id say which.
func (l *look) add(f found) {
	for _, known := range l.found.Items {
		if known.Kind == f.Kind && known.ID == f.ID {
			return
		}
	}
	l.found.Items = append(l.found.Items, f)
}

func (l *look) addEndpoint(id uuid.UUID, tenantID, address, by string) {
	l.add(found{
		Kind: objectEndpoint, By: by, ID: id.String(), TenantID: &tenantID, Label: place(address),
		Link: "/api/endpoints/" + id.String(),
	})
}

// place returns the host and the path of an endpoint's URL. Its query may hold a credential.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
}

// atIDs looks for what has the id, as it stands in a log: perhaps with the header's name before it, or in quotes.
func (l *look) atIDs(ctx context.Context, tx pgx.Tx) error {
	text := strings.TrimSpace(l.name)
	const header = "webhook-id"
	if len(text) > len(header) && strings.EqualFold(text[:len(header)], header) {
		text = strings.TrimLeft(text[len(header):], `"':= `)
	}
	id, err := uuid.Parse(strings.Trim(text, `"'`))
	if err != nil {
		return nil //nolint:nilerr // it is none
	}
	return l.atID(ctx, tx, id, "id")
}

func (l *look) atID(ctx context.Context, tx pgx.Tx, id uuid.UUID, by string) error {
	rows, err := db.New().FindByID(ctx, tx, id, l.tenantID)
	for _, r := range rows {
		if r.Kind == objectEndpoint {
			l.addEndpoint(r.ID, r.TenantID, r.Label, by)
			continue
		}
		l.add(found{
			Kind: r.Kind, By: by, ID: r.ID.String(), TenantID: textOrNull(r.TenantID), Label: r.Label,
			Link: "/api/" + r.Kind + "s/" + r.ID.String(),
		})
	}
	return err
}

// atKeys looks for the event that has the idempotency key, which needs the tenant: their index begins with it, and
// another index would cost each event that has a key.
func (l *look) atKeys(ctx context.Context, tx pgx.Tx) error {
	if l.tenantID == nil {
		return nil
	}
	id, err := db.New().FindKeyedEvent(ctx, tx, *l.tenantID, l.name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.atID(ctx, tx, id, "idempotency_key")
}

func (l *look) atUIDs(ctx context.Context, tx pgx.Tx) error {
	if !isUID(l.name) {
		return nil
	}
	rows, err := db.New().FindByUID(ctx, tx, l.name, l.tenantID, maxFound+1)
	for i, r := range rows {
		if i == maxFound {
			l.found.More = true
			break
		}
		l.addEndpoint(r.ID, r.TenantID, r.URL, "uid")
	}
	return err
}

func (l *look) atHosts(ctx context.Context, tx pgx.Tx) error {
	host, port := hostOf(l.name)
	if host == "" {
		return nil
	}

	rows, err := db.New().FindByHost(ctx, tx, db.FindByHostParams{
		Host: host, Port: port, TenantID: l.tenantID, MaxRows: maxFound + 1,
	})
	for i, r := range rows {
		if i == maxFound {
			l.found.More = true
			break
		}
		l.addEndpoint(r.ID, r.TenantID, r.URL, "host")
	}
	return err
}

// hostOf returns the host that a text names, in lower case, and its port: of a URL, with or without its scheme. "": it
// names none.
func hostOf(text string) (host, port string) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", ""
	}

	port = u.Port()
	return strings.ToLower(strings.TrimSuffix(u.Host, ":"+port)), port
}

// atTenants looks for a tenant with this label.
func (l *look) atTenants(ctx context.Context, tx pgx.Tx) error {
	if l.tenantID != nil && *l.tenantID != l.name {
		return nil
	}
	today := pg.DayAt(time.Now())
	r, err := db.New().FindTenant(ctx, tx, (today - listDays).Floor(), (today + 2).Floor(), l.name)
	if err != nil {
		return err
	}

	path, query := url.PathEscape(l.name), url.Values{"tenant_id": {l.name}}.Encode()
	t := found{Kind: objectTenant, By: "tenant_id", ID: l.name, TenantID: &l.name, Label: r.Name}
	switch {
	case r.HasEntry:
		t.Link = "/api/tenants/" + path
	case r.HasEndpoints:
		t.Link = "/api/endpoints?" + query
	case r.HasEvents:
		t.Link = "/api/events?" + query
	default:
		return nil
	}
	l.add(t)
	return nil
}
