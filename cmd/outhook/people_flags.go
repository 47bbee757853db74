package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/outhook/outhook/internal/oidc"
)

// peopleFlags say how people log in to the console with OpenID Connect.
type peopleFlags struct {
	PublicURL        string   `name:"public-url" env:"OUTHOOK_PUBLIC_URL" help:"The address of this server as browsers see it, like https://outhook.example.com: an identity provider sends people back to it, and links to the portal begin with it. Required with OUTHOOK_OIDC_ISSUER, and by serve with OUTHOOK_PORTAL."`
	OIDCIssuer       string   `name:"oidc-issuer" env:"OUTHOOK_OIDC_ISSUER" help:"The identity provider that lets people into the console with OpenID Connect: its issuer, a URL, exactly as its discovery document has it."`
	OIDCClientID     string   `name:"oidc-client-id" env:"OUTHOOK_OIDC_CLIENT_ID" help:"What the identity provider calls Outhook. Its redirect URI is OUTHOOK_PUBLIC_URL with /console/oidc/callback behind it."`
	OIDCClientSecret string   `name:"oidc-client-secret" env:"OUTHOOK_OIDC_CLIENT_SECRET" secret:"" help:"What Outhook shows the identity provider. Without it, it is a public client, with PKCE alone."`
	OIDCRoles        string   `name:"oidc-roles" env:"OUTHOOK_OIDC_ROLES" help:"What the people of a group may do, as the scope of an API key, and of which tenant: ops=operate,platform=admin,acme-support=read:acme. The first entry counts whose group a person is in; who is in none gets no session."`
	OIDCGroupsClaim  string   `name:"oidc-groups-claim" env:"OUTHOOK_OIDC_GROUPS_CLAIM" default:"${oidc_groups_claim}" help:"The claim that has a person's groups."`
	OIDCNameClaim    string   `name:"oidc-name-claim" env:"OUTHOOK_OIDC_NAME_CLAIM" default:"${oidc_name_claim}" help:"The claim that names a person in the audit trail. Who has none there, or an email that is not verified, is called by the subject."`
	OIDCScopes       []string `name:"oidc-scopes" env:"OUTHOOK_OIDC_SCOPES" default:"${oidc_scopes}" help:"What the identity provider is asked for, with commas. Some tell groups only to who asks for groups."`
}

// people returns the identity provider that the flags describe, nil if none. Errors name the variable.
func (f peopleFlags) people(cas *x509.CertPool) (*oidc.Config, error) {
	if f.OIDCIssuer == "" {
		if cmp.Or(f.OIDCClientID, f.OIDCClientSecret, f.OIDCRoles) != "" {
			return nil, errors.New("OUTHOOK_OIDC_ISSUER is missing: the other OUTHOOK_OIDC_ variables need it")
		}
		return nil, nil
	}

	roles, err := oidc.ParseRoles(f.OIDCRoles)
	if err != nil {
		return nil, fmt.Errorf("OUTHOOK_OIDC_ROLES: %w", err)
	}
	cfg := &oidc.Config{
		Issuer: f.OIDCIssuer, ClientID: f.OIDCClientID, ClientSecret: f.OIDCClientSecret, PublicURL: f.PublicURL,
		Scopes: f.OIDCScopes, GroupsClaim: f.OIDCGroupsClaim, NameClaim: f.OIDCNameClaim, Roles: roles, RootCAs: cas,
	}

	if wrong, ok := errors.AsType[*oidc.FieldError](cfg.Validate()); ok {
		return nil, fmt.Errorf("%s %s", variableOf(wrong.Field), wrong.Problem)
	}
	return cfg, nil
}

// variableOf returns the variable of a field of [oidc.Config].
func variableOf(field string) string {
	return map[string]string{
		"Issuer": "OUTHOOK_OIDC_ISSUER", "PublicURL": "OUTHOOK_PUBLIC_URL", "ClientID": "OUTHOOK_OIDC_CLIENT_ID",
		"Scopes": "OUTHOOK_OIDC_SCOPES", "GroupsClaim": "OUTHOOK_OIDC_GROUPS_CLAIM", "NameClaim": "OUTHOOK_OIDC_NAME_CLAIM",
		"Roles": "OUTHOOK_OIDC_ROLES",
	}[field]
}
