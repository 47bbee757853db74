package api

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/share"
)

// access says whose keys a route admits. The zero value is the strictest.
type access int

const (
	adminAccess   access = iota // admin
	tenantAccess                // admin, and a tenant for its own objects
	operateAccess               // the same, and keys that operate what others made
	readAccess                  // the same, and keys that only read
	sessionAccess               // the same as readAccess, and codes
	publishAccess               // the same as tenantAccess, and keys that only enqueue
)

// scopes returns the scopes that are admitted.
func (a access) scopes() []db.KeyScope {
	switch a {
	case tenantAccess:
		return []db.KeyScope{db.KeyScopeAdmin, db.KeyScopeTenant}
	case operateAccess:
		return []db.KeyScope{db.KeyScopeAdmin, db.KeyScopeTenant, db.KeyScopeOperate}
	case readAccess, sessionAccess:
		return []db.KeyScope{db.KeyScopeAdmin, db.KeyScopeTenant, db.KeyScopeOperate, db.KeyScopeRead}
	case publishAccess:
		return []db.KeyScope{db.KeyScopeAdmin, db.KeyScopeTenant, db.KeyScopePublish}
	case adminAccess:
	}
	return []db.KeyScope{db.KeyScopeAdmin}
}

// bootstrapName is the actor of what is done with the bootstrap key.
const bootstrapName = "OUTHOOK_API_KEY"

// principal is the API key of a request. The zero value may do nothing.
type principal struct {
	id        uuid.UUID // of a session, the key's that it was made with, or its own: a person's; zero: the bootstrap key
	hash      [sha256.Size]byte
	name      string
	scope     db.KeyScope
	tenantID  string       // the tenant that it is bound to; "": all
	expiresAt *time.Time   // nil: never
	kind      string       // one of those below
	session   uuid.UUID    // the row of a session or a code; zero: it is a key
	seal      []byte       // of a session or a code of the bootstrap key, and of a session of a person
	portal    *grant.Grant // of a session of the portal, and of the code of its link
}

// What a row of api_keys is. A session is as good as the key that it was made with, and a code makes one, once.
const (
	kindKey     = "key"
	kindSession = "session"
	kindCode    = "code"

	// A code of a link to the portal becomes the session: its row is the same.
	kindPortal     = "portal"
	kindPortalCode = "portal-code"
)

// mayCall tells whether a route admits the key: by its access, or a session of the portal by what it can do alone.
func (p principal) mayCall(a access, c grant.Capability) bool {
	if p.kind == kindPortal {
		return p.portal.Can(c)
	}
	return p.may(a)
}

// seesPayloads tells whether the key may see payloads, and what receivers have answered.
func (p principal) seesPayloads() bool {
	return p.kind != kindPortal || p.portal.Can(grant.SeePayloads)
}

// may tells whether an access admits the key.
func (p principal) may(a access) bool {
	switch p.kind {
	case kindCode:
		return a == sessionAccess
	case kindPortal, kindPortalCode:
		return false
	}

	// The two that admit most requests, without a list.
	if p.scope == db.KeyScopeAdmin || p.scope == db.KeyScopeTenant && a != adminAccess {
		return true
	}
	return slices.Contains(a.scopes(), p.scope)
}

// holder is who has the key's share of what all share.
func (p principal) holder() share.Holder {
	if p.tenantID != "" {
		return share.Holder{TenantID: p.tenantID}
	}
	return share.Holder{Key: p.id}
}

// sees tells whether a tenant's objects exist for the key.
func (p principal) sees(tenantID string) bool {
	return p.scope != "" && (p.tenantID == "" || p.tenantID == tenantID)
}

// tenant returns the tenant that the key is bound to, nil for all.
func (p principal) tenant() *string {
	return textOrNull(p.tenantID)
}

// errForbidden is the answer for a key whose scope a route does not admit, whatever the request asks for.
func errForbidden(a access) error {
	return problem.New(problem.ScopeInsufficient,
		"this key's scope does not allow this: it takes a key with the scope "+strings.Join(scopeNames(a), " or "))
}

// errIncapable is the answer for a session of the portal that can't do what a route does.
func errIncapable(c grant.Capability) error {
	if c == "" {
		return problem.New(problem.ScopeInsufficient, "a session of the portal can't do this")
	}
	return problem.New(problem.ScopeInsufficient, "this session of the portal lacks the capability "+string(c))
}

func scopeNames(a access) []string {
	var names []string
	for _, scope := range a.scopes() {
		names = append(names, string(scope))
	}
	return names
}
