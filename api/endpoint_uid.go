package api

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// maxUID is the longest uid in bytes, which is Svix's rule, as its characters are.
const maxUID = 256

// uidPattern is what a uid consists of. It stands in paths, so it has nothing that must be encoded there.
var uidPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// Faults of a uid, and of an endpoint that is named.
const (
	uidRule       = "must be 1 to 256 letters, digits and - _ . that are no UUID, and not . or .. alone"
	endpointRule  = "must be an endpoint's id, which is a UUID, or its uid"
	tenantWithUID = "is required with an endpoint's uid, which is unique in its tenant only: or use the endpoint's id, " +
		"or a key that is bound to the tenant"
)

// isUID tells whether a text can be a uid. What reads as a UUID, in any form, is an id; . and .. are steps of a path.
func isUID(text string) bool {
	return len(text) <= maxUID && uidPattern.MatchString(text) && text != "." && text != ".." && uuid.Validate(text) != nil
}

// TenantInput says in a query whose endpoint a path names. Like all that is embedded in an input, it has an exported
// name for huma, which sees no other.
type TenantInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Whose endpoint it is: required with a uid, unless the key is bound to a tenant."`
}

// EndpointInput names an endpoint in a path.
type EndpointInput struct {
	TenantInput

	ID string `path:"id" maxLength:"256" doc:"The endpoint's id or uid."`
}

// endpointID returns the id of the endpoint that a path names.
func endpointID(ctx context.Context, conn db.DBTX, name, at string, in TenantInput) (uuid.UUID, error) {
	f := newFilters(ctx)
	tenantID := f.tenant(in.TenantID)
	if f.err != nil {
		return uuid.Nil, f.err
	}
	return findEndpoint(ctx, conn, name, tenantID, at, "query.tenant_id")
}

// findEndpoint returns the id of the endpoint that a request names at a place, by its id or its uid; of a tenant, nil
// for any. A uid needs the tenant: what is unique today would be somebody else's tomorrow, and a request that is
// repeated must not hit another endpoint. Whether an id without a tenant is anybody's is not looked at.
func findEndpoint(
	ctx context.Context, conn db.DBTX, name string, tenantID *string, at, tenantAt string,
) (uuid.UUID, error) {
	id, err := uuid.Parse(name)

	switch {
	case err == nil && tenantID == nil:
		return id, nil
	case err == nil:
		return db.New().FindEndpointOf(ctx, conn, id, *tenantID)
	case !isUID(name):
		return uuid.Nil, problem.Invalid(at, endpointRule)
	case tenantID == nil:
		return uuid.Nil, problem.Invalid(tenantAt, tenantWithUID)
	}
	return db.New().FindEndpoint(ctx, conn, *tenantID, name)
}

// endpoint returns the id of the endpoint that a list is filtered by, nil for none. One that is not there has nothing
// in any list.
func (f *filters) endpoint(ctx context.Context, conn db.DBTX, name string, tenantID *string) *uuid.UUID {
	if name == "" || f.err != nil {
		return nil
	}
	if id, err := uuid.Parse(name); err == nil {
		return &id // its tenant is a filter of its own
	}

	id, err := findEndpoint(ctx, conn, name, tenantID, "query.endpoint_id", "query.tenant_id")
	if errors.Is(err, pgx.ErrNoRows) {
		id, err = uuid.Nil, nil
	}
	if err != nil {
		f.fail(err)
	}
	return &id
}

// setUID reads a uid; null is none.
func (e *endpointEdit) setUID(value json.RawMessage) {
	e.row.UID = nil
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	uid := strictjson.Text(value, e.at+".uid", &e.faults)
	if len(e.faults) == before && !isUID(uid) {
		e.faults.Add(e.at+".uid", uidRule)
	}
	e.row.UID = &uid
}

// checkUnique refuses what another endpoint of the tenant has: the uid, and the URL if the server wants it so. Of two
// requests at the same time the database lets one commit, and the other comes here again.
func (s *Server) checkUnique(ctx context.Context, tx pgx.Tx, before, row db.Endpoint, at string) error {
	if row.UID != nil && (before.UID == nil || *before.UID != *row.UID) {
		other, err := db.New().FindEndpoint(ctx, tx, row.TenantID, *row.UID)
		if err == nil {
			return problem.New(problem.UIDTaken, "the endpoint "+other.String()+" has this uid",
				problem.Detail{Location: at + ".uid", Message: "must be unique in the tenant"})
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
	}

	if s.cfg.Limits.UniqueURLs && before.URL != row.URL {
		other, err := db.New().FindEndpointOfURL(ctx, tx, row.TenantID, row.URL, row.ID)
		if err == nil {
			return problem.New(problem.URLTaken, "the endpoint "+other.String()+" has this url",
				problem.Detail{Location: at + ".url", Message: "must be unique in the tenant"})
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
	}
	return nil
}
