package svix

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

const (
	portalSessions = "/api/portal-sessions"

	// portalLife is how long access to the portal lasts, in seconds, unless the call says otherwise: as long as Svix's.
	portalLife    = 7 * 24 * 60 * 60
	minPortalLife = 60 * 60
)

// portalAccess is what a session of the portal is to be for.
type portalAccess struct {
	Application  *applicationIn `json:"application"`
	Capabilities []string       `json:"capabilities"`
	Expiry       *int           `json:"expiry"`
	FeatureFlags []string       `json:"featureFlags"`
	ReadOnly     *bool          `json:"readOnly"` // of old SDKs
	SessionID    *string        `json:"sessionId"`
}

// capabilities returns what a session of the portal has of what Svix's would, as the documentation of its SDKs says
// (AppPortalAccessIn): who manages an endpoint reads and modifies all of it, "including secrets". Outhook has no
// transformations.
func (in *portalAccess) capabilities(f *problem.Faults) []string {
	ours := map[string][]string{
		"ViewBase": {"payloads"}, "ViewEndpointSecret": {"secrets:read"},
		"ManageEndpointSecret": {"secrets:read", "secrets:rotate"},
		"ManageEndpoint":       {"endpoints", "secrets:read", "secrets:rotate"},
		"CreateAttempts":       {"test", "replay"}, "ManageTransformations": {},
	}
	given := in.Capabilities
	switch {
	case in.ReadOnly != nil && *in.ReadOnly:
		given = []string{"ViewBase"}
	case given == nil:
		given = []string{"ViewBase", "ViewEndpointSecret", "ManageEndpointSecret", "ManageEndpoint", "CreateAttempts"}
	}

	all := []string{"view"}
	for _, name := range given {
		some, known := ours[name]
		if !known {
			f.Add("body.capabilities", "must be some of ViewBase, ViewEndpointSecret, ManageEndpointSecret, "+
				"ManageEndpoint, CreateAttempts, ManageTransformations")
			break
		}
		for _, c := range some {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// order returns the body that asks the API for the link.
func (in *portalAccess) order() (body map[string]any, err error) {
	var f problem.Faults
	lasts := portalLife
	if in.Expiry != nil {
		lasts = *in.Expiry
	}
	if lasts < minPortalLife || lasts > portalLife {
		f.Add("body.expiry", "must be 3600 to 604800")
	}
	if len(in.FeatureFlags) > 0 {
		f.Add("body.featureFlags", "is not supported by Outhook: the portal shows all event types")
	}

	body = map[string]any{"capabilities": in.capabilities(&f), "expires_in_s": lasts}
	if in.SessionID != nil {
		body["label"] = *in.SessionID
	}
	return body, f.Problem(problem.InvalidRequest)
}

// giveAccess makes a link to the portal. The token is the link's code: it opens the portal once, and is no key.
func giveAccess(v *visit) error {
	var in portalAccess
	if err := v.decode(&in); err != nil {
		return err
	}
	body, err := in.order()
	if err != nil {
		return err
	}
	t, err := v.accessed(&in)
	if err != nil {
		return err
	}

	body["tenant_id"] = t.TenantID
	key := v.key()
	if key != "" {
		key += ":link" // the application may have been made with the other
	}
	var made client.PortalSession
	o := order{method: http.MethodPost, path: portalSessions, body: body, key: key}
	if err := v.ask(o, &made); err != nil {
		return err
	}
	_, code, _ := strings.Cut(made.URL, "#")
	return v.reply(http.StatusOK, map[string]string{"url": made.URL, "token": code})
}

// accessed returns whose portal it is. An application that is given in the body is made if there is none.
func (v *visit) accessed(in *portalAccess) (client.Tenant, error) {
	t, err := v.application()
	if in.Application != nil && isNotFound(err) {
		return v.makeAlong(in.Application, v.PathValue("app"))
	}
	return t, err
}

// endAccess ends the sessions of the portal of an application: all, or those of some session ids.
func endAccess(v *visit) error {
	var in struct {
		Expiry     *int     `json:"expiry"`
		SessionIDs []string `json:"sessionIds"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	if in.Expiry != nil && *in.Expiry != 0 {
		return problem.Invalid("body.expiry", "is not supported by Outhook: sessions end at once. Leave it out")
	}
	t, err := v.application()
	if err != nil {
		return err
	}

	if len(in.SessionIDs) > 0 {
		err = v.endSessions(t, in.SessionIDs)
	} else {
		of := url.Values{"tenant_id": {t.TenantID}}
		err = v.ask(order{method: http.MethodDelete, path: portalSessions, query: of}, nil)
	}
	if err != nil {
		return err
	}
	return v.done()
}

// endSessions ends those sessions of the portal that were made with one of some session ids.
func (v *visit) endSessions(t client.Tenant, ids []string) error {
	query := url.Values{"tenant_id": {t.TenantID}, "order": {"asc"}, "limit": {"200"}}
	for {
		var page struct {
			Items      []client.PortalSession
			NextCursor string `json:"next_cursor"`
		}
		if err := v.get(portalSessions, query, &page); err != nil {
			return err
		}

		for i := range page.Items {
			if !slices.Contains(ids, page.Items[i].Label) {
				continue
			}
			err := v.ask(order{method: http.MethodDelete, path: portalSessions + "/" + page.Items[i].ID}, nil)
			if err != nil && !isNotFound(err) { // it may have ended meanwhile
				return err
			}
		}

		if page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.NextCursor)
	}
}
