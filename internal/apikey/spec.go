package apikey

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
)

// maxName bounds a key's name in bytes.
const maxName = 255

// Spec is what a key is to be. Validate it before it is stored.
type Spec struct {
	Name      string
	Scope     string     // admin, tenant, operate, publish or read
	TenantID  string     // the tenant that it is bound to; "": none
	ExpiresAt *time.Time // nil: never
}

// Validate returns the name of the field that is wrong (name, scope, tenant_id or expires_at), and what is wrong with
// it. Both are empty if nothing is.
func (k Spec) Validate(now time.Time) (field, fault string) {
	scope := db.KeyScope(k.Scope)
	switch scope {
	case db.KeyScopeAdmin, db.KeyScopeTenant, db.KeyScopeOperate, db.KeyScopePublish, db.KeyScopeRead:
	case db.KeyScopePortal: // of sessions alone
		fallthrough
	default:
		return "scope", "must be admin, tenant, operate, publish or read"
	}

	switch {
	case strings.TrimSpace(k.Name) == "" || len(k.Name) > maxName:
		return "name", fmt.Sprintf("must have 1 to %d bytes", maxName)
	case !utf8.ValidString(k.Name) || strings.ContainsFunc(k.Name, unicode.IsControl):
		return "name", "must be UTF-8 without control characters"
	case scope == db.KeyScopeTenant && k.TenantID == "":
		return "tenant_id", "is required with the scope tenant"
	case scope == db.KeyScopeAdmin && k.TenantID != "":
		return "tenant_id", "must be absent with the scope admin, which is for all tenants"
	case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
		return "expires_at", "must be in the future"
	case k.ExpiresAt != nil && k.ExpiresAt.Year() > 9999:
		return "expires_at", "must be before the year 10000"
	}

	if k.TenantID == "" {
		return "", ""
	}

	// A tenant is what an event's may be.
	e := outhook.Event{TenantID: k.TenantID, Type: "any", Payload: json.RawMessage("null")}
	var broken *outhook.InvalidEventError
	if err := e.Validate(); errors.As(err, &broken) {
		return "tenant_id", broken.Problem
	}
	return "", ""
}

// Params returns the row of a key with this hash.
func (k Spec) Params(hash []byte) db.InsertAPIKeyParams {
	p := db.InsertAPIKeyParams{Name: k.Name, KeyHash: hash, Scope: db.KeyScope(k.Scope), ExpiresAt: k.ExpiresAt}
	if k.TenantID != "" {
		p.TenantID = &k.TenantID
	}
	return p
}

// Detail returns what the audit trail keeps of the key.
func (k Spec) Detail() map[string]any {
	detail := map[string]any{"name": k.Name, "scope": k.Scope}
	if k.ExpiresAt != nil {
		detail["expires_at"] = k.ExpiresAt.UTC()
	}
	return detail
}
