// Package finding finds what a text is a name of: events, endpoints, operations, tenants. Begin with [Look].
package finding

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/pg"
)

// maxFound is how many endpoints of one uid, and of one host, are found.
const maxFound = 10

// Kinds of what is found, beside those that the query names.
const (
	kindEndpoint = "endpoint"
	kindTenant   = "tenant"
)

// Found is one thing that a text is a name of.
type Found struct {
	Kind     string  `json:"kind" enum:"event,endpoint,operation,tenant"`
	By       string  `json:"by" enum:"id,uid,host,idempotency_key,tenant_id" doc:"What the text is of it."`
	ID       string  `json:"id" doc:"A tenant's is its label."`
	TenantID *string `json:"tenant_id" doc:"Whose it is. Null: an operation on those of all tenants."`
	Label    string  `json:"label" example:"invoice.paid" doc:"For people: an event's type, an endpoint's host and path, an operation's kind, a tenant's name, which may be empty."`
	Link     string  `json:"link" example:"/api/events/018f0d3e-5b1e-7cc2-9d3a-6a1b2c3d4e5f" doc:"Where the API has it. Of a tenant without an entry: its endpoints, or its events."`
}

// Findings are all that a text is a name of.
type Findings struct {
	Items []Found `json:"items" nullable:"false"`
	More  bool    `json:"more" doc:"Whether more endpoints than these 10 have this uid, or this host: GET /api/endpoints lists them."`
}

// Look is what is looked for, each look by an index, whatever there is.
type Look struct {
	Name     string
	TenantID *string // only what is this one's; nil: anybody's
	IsUID    bool    // whether the name can be an endpoint's uid
	Days     pg.Day  // how far back a tenant's events count

	found Findings
}

// Run returns what a transaction finds.
func (l *Look) Run(ctx context.Context, tx pgx.Tx) (Findings, error) {
	l.found = Findings{Items: []Found{}}
	// Whatever the statistics say, no table is read but by its keys.
	if _, err := tx.Exec(ctx, pg.ByKey); err != nil {
		return l.found, err
	}

	for _, at := range []func(context.Context, pgx.Tx) error{l.atIDs, l.atKeys, l.atUIDs, l.atHosts, l.atTenants} {
		if err := at(ctx, tx); err != nil {
			return l.found, err
		}
	}
	return l.found, nil
}

// add notes a thing, once: its kind and id say which.
func (l *Look) add(f Found) {
	for _, known := range l.found.Items {
		if known.Kind == f.Kind && known.ID == f.ID {
			return
		}
	}
	l.found.Items = append(l.found.Items, f)
}

func (l *Look) addEndpoint(id uuid.UUID, tenantID, address, by string) {
	l.add(Found{
		Kind: kindEndpoint, By: by, ID: id.String(), TenantID: &tenantID, Label: place(address),
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
func (l *Look) atIDs(ctx context.Context, tx pgx.Tx) error {
	text := strings.TrimSpace(l.Name)
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

func (l *Look) atID(ctx context.Context, tx pgx.Tx, id uuid.UUID, by string) error {
	rows, err := db.New().FindByID(ctx, tx, id, l.TenantID)
	for _, r := range rows {
		if r.Kind == kindEndpoint {
			l.addEndpoint(r.ID, r.TenantID, r.Label, by)
			continue
		}
		l.add(Found{
			Kind: r.Kind, By: by, ID: r.ID.String(), TenantID: tenantOf(r.TenantID), Label: r.Label,
			Link: "/api/" + r.Kind + "s/" + r.ID.String(),
		})
	}
	return err
}

// atKeys looks for the event that has the idempotency key, which needs the tenant: their index begins with it, and
// another index would cost each event that has a key.
func (l *Look) atKeys(ctx context.Context, tx pgx.Tx) error {
	if l.TenantID == nil {
		return nil
	}
	id, err := db.New().FindKeyedEvent(ctx, tx, *l.TenantID, l.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.atID(ctx, tx, id, "idempotency_key")
}

func (l *Look) atUIDs(ctx context.Context, tx pgx.Tx) error {
	if !l.IsUID {
		return nil
	}
	rows, err := db.New().FindByUID(ctx, tx, l.Name, l.TenantID, maxFound+1)
	for i, r := range rows {
		if i == maxFound {
			l.found.More = true
			break
		}
		l.addEndpoint(r.ID, r.TenantID, r.URL, "uid")
	}
	return err
}

func (l *Look) atHosts(ctx context.Context, tx pgx.Tx) error {
	host, port := hostOf(l.Name)
	if host == "" {
		return nil
	}

	rows, err := db.New().FindByHost(ctx, tx, db.FindByHostParams{
		Host: host, Port: port, TenantID: l.TenantID, MaxRows: maxFound + 1,
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
func (l *Look) atTenants(ctx context.Context, tx pgx.Tx) error {
	if l.TenantID != nil && *l.TenantID != l.Name {
		return nil
	}
	today := pg.DayAt(time.Now())
	r, err := db.New().FindTenant(ctx, tx, (today - l.Days).Floor(), (today + 2).Floor(), l.Name)
	if err != nil {
		return err
	}

	path, query := url.PathEscape(l.Name), url.Values{"tenant_id": {l.Name}}.Encode()
	t := Found{Kind: kindTenant, By: "tenant_id", ID: l.Name, TenantID: &l.Name, Label: r.Name}
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

// tenantOf returns whose a thing is; nil: it is on those of all.
func tenantOf(label string) *string {
	if label == "" {
		return nil
	}
	return &label
}
