package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/oidc"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	// sessionLife is how long a session lives: a day's work.
	sessionLife = 12 * time.Hour

	// codeLife is how long a code is good, unless its maker says otherwise, and maxCodeLife at most.
	codeLife    = time.Minute
	maxCodeLife = 12 * time.Hour

	// sessionName begins the name of a session, before that of its key, and personName before a person's.
	sessionName    = "console: "
	personName     = "oidc: "
	maxSessionName = 255
)

// session is who a request's key is.
type session struct {
	Name      string       `json:"name" example:"console: ops" doc:"The key's name, of a session with console: before it; or oidc: and who has logged in with OpenID Connect."`
	Kind      string       `json:"kind" enum:"key,session,portal" doc:"session: it was made by POST /api/sessions, or by a login with OpenID Connect. portal: by a link to the portal."`
	Scope     string       `json:"scope" enum:"admin,tenant,operate,read,portal"`
	TenantID  *string      `json:"tenant_id" doc:"The tenant that it is bound to. Null: all."`
	ExpiresAt *time.Time   `json:"expires_at" doc:"Null: it does not expire."`
	Portal    *grant.Grant `json:"portal,omitempty" doc:"What a session of the portal is for. Absent: it is none."`
	Key       string       `json:"key,omitempty" doc:"Only in the answer that creates a session: it stands where an API key does."`
}

// sessionCode is what a browser makes a session of.
type sessionCode struct {
	Code      string    `json:"code" doc:"Good once, as the key of POST /api/sessions, and at /console/enter# in a browser."`
	ExpiresAt time.Time `json:"expires_at"`
}

// newCode documents the body that makes a code; decodeNewCode reads it.
type newCode struct {
	_ struct{} `additionalProperties:"false"`

	ExpiresInS int `json:"expires_in_s,omitempty" minimum:"1" maximum:"43200" default:"60" doc:"For how many seconds it is good."`
}

type (
	sessionOutput struct{ Body session }
	codeOutput    struct{ Body sessionCode }
)

func (s *Server) addSessions() {
	op := func(id, method, path, summary, description string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: "/api/sessions" + path, Tags: []string{tagKeys}, Summary: summary,
			Description: description, DefaultStatus: status,
		}
	}

	register(s, route{
		Operation: op("create-session", http.MethodPost, "", "Make a session of a key",
			"For a browser, so that it need not keep the key: the session may do what its key may, for 12 hours, and ends "+
				"with it. The bearer is an API key, or a code of POST /api/sessions/codes, which is used up. "+
				"A session makes no other.", http.StatusCreated),
		access: sessionAccess, timeout: s.cfg.Timeouts.Query,
	}, s.postSession)

	register(s, route{
		Operation: op("create-session-code", http.MethodPost, "/codes", "Make a code for a session",
			"A link with it opens the console once, logged in as the key that asked for it.", http.StatusCreated),
		access: readAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newCode](), limit: envelopeBytes, optional: true,
	}, s.postSessionCode)

	register(s, route{
		Operation: op("get-session", http.MethodGet, "/current", "Get who the key is",
			"Of a session, and of an API key too.", http.StatusOK),
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getSession)

	register(s, route{
		Operation: op("delete-sessions", http.MethodDelete, "", "End sessions",
			"Of a session: that one. Of an API key: all that were made with it, and its codes. Of OUTHOOK_API_KEY: also "+
				"those of people who have logged in with OpenID Connect. Those of the portal have calls of their own.",
			http.StatusNoContent),
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.deleteSessions)
}

func (s *Server) postSession(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
	key, hash := apikey.NewSession()
	row, err := s.insertSession(ctx, kindSession, key, hash, sessionLife)
	if err != nil {
		return nil, err
	}
	return &sessionOutput{Body: session{
		Name: row.Name, Kind: row.Kind, Scope: string(row.Scope), TenantID: row.TenantID, ExpiresAt: pg.UTC(row.ExpiresAt),
		Key: key,
	}}, nil
}

func (s *Server) postSessionCode(ctx context.Context, _ *struct{}) (*codeOutput, error) {
	life, err := decodeNewCode(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	code, hash := apikey.NewCode()
	row, err := s.insertSession(ctx, kindCode, code, hash, life)
	if err != nil {
		return nil, err
	}
	return &codeOutput{Body: sessionCode{Code: code, ExpiresAt: row.ExpiresAt.UTC()}}, nil
}

// insertSession makes a session or a code with the request's key. A code that makes a session is used up: of two
// requests with it, the second waits for the first, and is then refused.
func (s *Server) insertSession(ctx context.Context, kind, text string, hash []byte, life time.Duration,
) (row db.APIKey, err error) {
	by := requestOf(ctx).key
	if by.kind == kindSession {
		return row, problem.New(problem.ScopeInsufficient, "a session makes no other: use the API key")
	}

	p := db.InsertSessionParams{
		Name: nameOfSession(by), KeyHash: hash, Scope: by.scope, TenantID: by.tenant(), LifetimeS: life.Seconds(), Kind: kind,
	}
	if by.id != uuid.Nil {
		p.ParentID = &by.id
	} else {
		p.ParentSeal = s.sealBootstrapKey(text)
	}

	err = s.change(ctx, func(tx pgx.Tx) error {
		if err := db.New().DeleteOldSessions(ctx, tx); err != nil {
			return err
		}
		if by.kind == kindCode {
			if used, err := db.New().RevokeSessions(ctx, tx, &by.session, nil); err != nil {
				return err
			} else if used == 0 {
				return problem.New(problem.InvalidKey, "this code is used up: make another one")
			}
		}

		if row, err = db.New().InsertSession(ctx, tx, p); err != nil {
			return err
		}
		action := "create-session"
		if kind == kindCode {
			action = "create-session-code"
		}
		return s.audit(ctx, tx, done{action, by.tenantID, objectSession, row.ID.String(), nil})
	})
	return row, err
}

// OpenSession makes a session of a person whom the provider of Config.Access.Provider vouches for, and returns its
// key. ctx is that of a request which the server serves.
func (s *Server) OpenSession(ctx context.Context, who oidc.Person) (key string, expiresAt time.Time, err error) {
	if len(s.cfg.Access.Provider) == 0 {
		return "", expiresAt, errors.New("field Access.Provider of api.Config is empty")
	}

	key, hash := apikey.NewSession()
	p := db.InsertSessionParams{
		Name: cutSessionName(personName + who.Name), KeyHash: hash, Scope: db.KeyScope(who.Role.Scope),
		TenantID: textOrNull(who.Role.TenantID), LifetimeS: sessionLife.Seconds(), Kind: kindSession,
		ParentSeal: sealOf(key, personSeal(s.cfg.Access.Provider)),
	}

	// What is done is done by the person, from the browser.
	browser := requestOf(ctx)
	by := &request{id: browser.id, http: browser.http, key: principal{
		name: p.Name, scope: p.Scope, tenantID: who.Role.TenantID, kind: kindSession,
	}}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, requestKey{}, by), s.cfg.Timeouts.Query)
	defer cancel()

	err = s.change(ctx, func(tx pgx.Tx) error {
		if err := db.New().DeleteOldSessions(ctx, tx); err != nil {
			return err
		}
		row, err := db.New().InsertSession(ctx, tx, p)
		if err != nil {
			return err
		}

		by.key.id, expiresAt = row.ID, *row.ExpiresAt
		detail := map[string]any{"subject": who.Subject, "group": who.Role.Group, "scope": who.Role.Scope}
		return s.audit(ctx, tx, done{"create-session", who.Role.TenantID, objectSession, row.ID.String(), detail})
	})
	return key, expiresAt, err
}

func (s *Server) getSession(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
	by := requestOf(ctx).key
	return &sessionOutput{Body: session{
		Name: by.name, Kind: by.kind, Scope: string(by.scope), TenantID: by.tenant(), ExpiresAt: pg.UTC(by.expiresAt),
		Portal: by.portal,
	}}, nil
}

func (s *Server) deleteSessions(ctx context.Context, _ *struct{}) (*struct{}, error) {
	by := requestOf(ctx).key
	var one, madeWith *uuid.UUID
	if by.kind == kindSession || by.kind == kindPortal {
		one = &by.session
	} else if by.id != uuid.Nil {
		madeWith = &by.id
	}

	return nil, s.change(ctx, func(tx pgx.Tx) error {
		ended, err := db.New().RevokeSessions(ctx, tx, one, madeWith)
		if err != nil {
			return err
		}
		d := done{"delete-sessions", by.tenantID, objectSession, by.session.String(), map[string]any{"count": ended}}
		return s.audit(ctx, tx, d)
	})
}

// nameOfSession returns what stands in the audit trail.
func nameOfSession(by principal) string {
	name := by.name
	if by.kind == kindKey {
		name = sessionName + name
	}
	return cutSessionName(name)
}

func cutSessionName(name string) string {
	for len(name) > maxSessionName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// sealBootstrapKey ties a session to the bootstrap key of this moment.
func (s *Server) sealBootstrapKey(session string) []byte {
	if own := s.bootstrap.Load(); own != nil {
		return sealOf(session, own[:])
	}
	return sealOf(session, nil)
}

// sealOf ties a session to what is in no table. The session's text, which is stored nowhere, is the key of it: the seal
// tells nothing of what was sealed.
func sealOf(session string, sealed []byte) []byte {
	seal := hmac.New(sha256.New, []byte(session))
	seal.Write(sealed)
	return seal.Sum(nil)
}

// personSeal is what sessions of a provider's people are tied to. It is longer than the hash of a bootstrap key.
func personSeal(provider []byte) []byte { return append([]byte(personName), provider...) }

// unseal returns the principal of a session or a code that was made with what is in no table, or the zero value if
// that is another one since. A person of a provider has no key, so the session is who has the limits and whom the
// audit trail names.
func (s *Server) unseal(session string, p principal) principal {
	switch provider := s.cfg.Access.Provider; {
	case s.bootstrap.Load() != nil && hmac.Equal(p.seal, s.sealBootstrapKey(session)):
		return p
	case len(provider) > 0 && hmac.Equal(p.seal, sealOf(session, personSeal(provider))):
		p.id = p.session
		return p
	}
	return principal{}
}

// sessionKey returns the key of the session that a browser has.
func sessionKey(r *http.Request) string {
	cookie, err := r.Cookie(apikey.SessionCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// decodeNewCode reads the body that makes a code, which may be absent.
func decodeNewCode(body []byte) (life time.Duration, err error) {
	if len(body) == 0 {
		return codeLife, nil
	}
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return 0, err
	}

	var f problem.Faults
	life = codeLife
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		if name != "expires_in_s" {
			return false
		}
		life = time.Duration(strictjson.Integer(value, "body.expires_in_s", &f)) * time.Second
		if len(f) == 0 && (life < time.Second || life > maxCodeLife) {
			f.Add("body.expires_in_s", fmt.Sprintf("must be 1 to %d", int(maxCodeLife.Seconds())))
		}
		return true
	})
	return life, f.Problem(problem.InvalidRequest)
}
