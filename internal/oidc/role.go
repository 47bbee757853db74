package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook/internal/apikey"
)

// Role says what the people of a group may do: what an API key with this scope may.
type Role struct {
	Group    string
	Scope    string
	TenantID string // the tenant that they are bound to; "": none
}

// scopeOfPrograms is of keys that only enqueue: a person could do nothing with it here.
const scopeOfPrograms = "publish"

// ParseRoles reads roles as people write them: group=scope or group=scope:tenant, with commas between them. A group may
// hold = and a tenant : signs.
func ParseRoles(text string) (roles []Role, err error) {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}

		r, err := parseRole(entry)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		if slices.ContainsFunc(roles, func(o Role) bool { return o.Group == r.Group }) {
			return nil, fmt.Errorf("%q: the group is there already, and the first entry would count", entry)
		}
		roles = append(roles, r)
	}
	return roles, nil
}

func parseRole(entry string) (r Role, err error) {
	i := strings.LastIndex(entry, "=")
	if i < 0 {
		return r, errors.New("must look like group=scope or group=scope:tenant")
	}

	r.Group = strings.TrimSpace(entry[:i])
	scope, tenant, bound := strings.Cut(entry[i+1:], ":")
	r.Scope, r.TenantID = strings.TrimSpace(scope), strings.TrimSpace(tenant)
	switch {
	case r.Group == "":
		return r, errors.New("names no group")
	case bound && r.TenantID == "":
		return r, errors.New("names no tenant behind the colon")
	case r.Scope == scopeOfPrograms:
		return r, errors.New("publish is for programs: a person may be admin, tenant, operate or read")
	}

	// What is no key is no role either.
	spec := apikey.Spec{Name: r.Group, Scope: r.Scope, TenantID: r.TenantID}
	if field, fault := spec.Validate(time.Time{}); fault != "" {
		return r, fmt.Errorf("%s %s", strings.Replace(field, "name", "group", 1), fault)
	}
	return r, nil
}

// roleOf returns the first role whose group is among those.
func roleOf(roles []Role, groups []string) (Role, bool) {
	for _, r := range roles {
		if slices.Contains(groups, r.Group) {
			return r, true
		}
	}
	return Role{}, false
}
