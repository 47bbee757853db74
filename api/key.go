package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// key is an API key without its text.
type key struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Name       string     `json:"name" example:"billing"`
	Scope      string     `json:"scope" enum:"admin,tenant,operate,publish,read"`
	TenantID   *string    `json:"tenant_id" doc:"The tenant that it is bound to. Null: all."`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at" doc:"Null: it does not expire."`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To the minute."`
	RevokedAt  *time.Time `json:"revoked_at"`
	Key        string     `json:"key,omitempty" doc:"Only in the answer that creates it: keep it, it is not shown again."`
}

// newKey documents the body that creates a key; decodeNewKey reads it.
type newKey struct {
	_ struct{} `additionalProperties:"false"`

	Name      string     `json:"name" minLength:"1" maxLength:"255" example:"billing" doc:"What the key is for: it stands in the audit trail. At most 255 bytes."`
	Scope     string     `json:"scope" enum:"admin,tenant,operate,publish,read" example:"publish" doc:"admin: everything. tenant: everything with the objects of its tenant. operate: replay, recover, pause, enable and test, and read. publish: only enqueue. read: only read, payloads too."`
	TenantID  *string    `json:"tenant_id,omitempty" nullable:"true" maxLength:"255" doc:"The tenant that it is bound to: required with the scope tenant, possible with operate, publish and read."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true" doc:"From when on it is refused. Absent: never."`
}

type postKeyOutput struct{ Body key }

type keyInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The key's id."`
}

type listKeysInput struct {
	TenantID string `query:"tenant_id" maxLength:"255" doc:"Only keys that are bound to this tenant."`
	Order    string `query:"order" enum:"asc,desc" default:"asc" doc:"By time: asc begins with the oldest."`
	Limit    int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor   string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addKeys() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "create-key", Method: http.MethodPost, Path: "/api/keys", Tags: []string{tagKeys},
			Summary: "Create an API key", DefaultStatus: http.StatusCreated,
			Description: "The key is in this answer and in no other: only its hash is stored.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[newKey](), limit: envelopeBytes,
	}, s.postKey)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-keys", Method: http.MethodGet, Path: "/api/keys", Tags: []string{tagKeys},
			Summary:     "List API keys",
			Description: "The revoked and expired ones too. OUTHOOK_API_KEY and sessions are not among them.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listKeys)
	register(s, route{
		Operation: huma.Operation{
			OperationID: "revoke-key", Method: http.MethodDelete, Path: "/api/keys/{id}", Tags: []string{tagKeys},
			Summary:     "Revoke an API key",
			Description: "It stops working at once, and stays in the list. 404 if it is revoked already.",
		},
		errors: codes{problem.NotFound},
		access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.revokeKey)
}

func newKeyAnswer(r db.APIKey) key {
	return key{
		ID: r.ID, Name: r.Name, Scope: string(r.Scope), TenantID: r.TenantID, CreatedAt: r.CreatedAt.UTC(),
		ExpiresAt: pg.UTC(r.ExpiresAt), LastUsedAt: pg.UTC(r.LastUsedAt), RevokedAt: pg.UTC(r.RevokedAt),
	}
}

func (s *Server) postKey(ctx context.Context, _ *struct{}) (*postKeyOutput, error) {
	k, err := decodeNewKey(bodyOf(ctx), time.Now())
	if err != nil {
		return nil, err
	}

	text, hash := apikey.New()
	var row db.APIKey
	err = s.change(ctx, func(tx pgx.Tx) error {
		if row, err = db.New().InsertAPIKey(ctx, tx, k.Params(hash)); err != nil {
			return err
		}
		return s.audit(ctx, tx, done{"create-key", k.TenantID, objectKey, row.ID.String(), k.Detail()})
	})
	if err != nil {
		return nil, err
	}

	out := &postKeyOutput{Body: newKeyAnswer(row)}
	out.Body.Key = text
	return out, nil
}

func (s *Server) listKeys(ctx context.Context, in *listKeysInput) (*pageOutput[key], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	after, tenantID := f.after(1)[0], f.tenant(in.TenantID)

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.APIKey, error) {
		return db.New().ListAPIKeys(ctx, tx, db.ListAPIKeysParams{
			TenantID: tenantID, Cursor: after, Ascending: f.ascending, MaxRows: f.maxRows(),
		})
	}, always(newKeyAnswer), func(r db.APIKey) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) revokeKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	return nil, s.change(ctx, func(tx pgx.Tx) error {
		row, err := db.New().RevokeAPIKey(ctx, tx, in.ID)
		if err != nil {
			return err
		}

		if err := db.New().DeleteAnswersOfKey(ctx, tx, in.ID); err != nil {
			return err
		}
		d := done{"revoke-key", "", objectKey, row.ID.String(), map[string]any{"name": row.Name}}
		if row.TenantID != nil {
			d.tenantID = *row.TenantID
		}
		return s.audit(ctx, tx, d)
	})
}

// decodeNewKey reads the body that creates a key.
func decodeNewKey(body []byte, now time.Time) (k apikey.Spec, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return k, err
	}

	var f problem.Faults
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch name {
		case "name":
			k.Name = strictjson.Text(value, "body.name", &f)
		case "scope":
			k.Scope = strictjson.Text(value, "body.scope", &f)
		case "tenant_id":
			if !strictjson.IsNull(value) {
				k.TenantID = tenantID(value, "body.tenant_id", &f)
			}
		case "expires_at":
			k.ExpiresAt = strictjson.TimeOrNull(value, "body.expires_at", &f)
		default:
			return false
		}
		return true
	})

	if len(f) == 0 {
		if field, fault := k.Validate(now); fault != "" {
			f.Add("body."+field, fault)
		}
	}
	return k, f.Problem(problem.InvalidRequest)
}
