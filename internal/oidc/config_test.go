package oidc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/oidc"
)

func validConfig() oidc.Config {
	return oidc.Config{
		Issuer: "https://login.acme.example/realms/acme", ClientID: "outhook", PublicURL: "https://outhook.acme.example",
		Scopes: oidc.DefaultScopes(), GroupsClaim: oidc.DefaultGroupsClaim, NameClaim: oidc.DefaultNameClaim,
		Roles: []oidc.Role{{Group: "ops", Scope: "operate"}},
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oidc.Config){
		"as it is":      func(*oidc.Config) {},
		"this machine":  func(c *oidc.Config) { c.Issuer, c.PublicURL = "http://localhost:5556/dex", "http://127.0.0.1:8080/" },
		"over IPv6":     func(c *oidc.Config) { c.Issuer = "http://[::1]:5556" },
		"private names": func(c *oidc.Config) { c.Issuer, c.PublicURL = "https://10.0.0.7", "https://outhook.internal" },
	} {
		cfg := validConfig()
		change(&cfg)
		require.NoError(t, cfg.Validate(), name)
	}

	for want, changes := range map[string][]func(*oidc.Config){
		"Issuer": {
			func(c *oidc.Config) { c.Issuer = "" }, func(c *oidc.Config) { c.Issuer = "http://login.acme.example" },
			func(c *oidc.Config) { c.Issuer = "login.acme.example" }, func(c *oidc.Config) { c.Issuer = "https://a:b@login.acme.example" },
			func(c *oidc.Config) { c.Issuer = "javascript://localhost/%0aalert(1)" },
			func(c *oidc.Config) { c.Issuer = "http://localhost.acme.example" },
		},
		"PublicURL": {
			func(c *oidc.Config) { c.PublicURL = "" }, func(c *oidc.Config) { c.PublicURL = "https://acme.example/outhook" },
			func(c *oidc.Config) { c.PublicURL = "http://outhook.acme.example" },
		},
		"ClientID":    {func(c *oidc.Config) { c.ClientID = "" }},
		"Scopes":      {func(c *oidc.Config) { c.Scopes = []string{"email", "openid2"} }},
		"GroupsClaim": {func(c *oidc.Config) { c.GroupsClaim = "" }},
		"NameClaim":   {func(c *oidc.Config) { c.NameClaim = "" }},
		"Roles":       {func(c *oidc.Config) { c.Roles = nil }},
	} {
		for _, change := range changes {
			cfg := validConfig()
			change(&cfg)
			wrong, ok := errors.AsType[*oidc.FieldError](cfg.Validate())
			require.True(t, ok, want)
			require.Equal(t, want, wrong.Field, wrong.Problem)
			_, err := oidc.New(cfg)
			require.ErrorContains(t, err, want)
		}
	}
}

func TestParseRoles(t *testing.T) {
	t.Parallel()
	roles, err := oidc.ParseRoles("ops=operate, platform = admin,/acme/support=read:acme,cn=dev=tenant:eu:acme,,")
	require.NoError(t, err)
	require.Equal(t, []oidc.Role{
		{"ops", "operate", ""}, {"platform", "admin", ""}, {"/acme/support", "read", "acme"}, {"cn=dev", "tenant", "eu:acme"},
	}, roles)

	for text, fault := range map[string]string{
		"ops": "must look like", "=admin": "names no group", "ops=": "scope must be", "ops=root": "scope must be",
		"ops=publish": "publish is for programs", "ops=tenant": "tenant_id is required", "ops=admin:acme": "tenant_id must be absent",
		"ops=read:": "names no tenant", "ops=read:outhook.operator": "tenant_id", "ops=read,ops=admin": "is there already",
		strings.Repeat("x", 256) + "=read": "group must have", "a\x00=read": "group must be",
	} {
		_, err := oidc.ParseRoles(text)
		require.ErrorContains(t, err, fault, text)
	}
}

// What a login is tied to stays in the browser: what the provider sees tells nothing of it, and nothing else reads as one.
func TestLogin(t *testing.T) {
	t.Parallel()
	one, two := oidc.NewLogin(), oidc.NewLogin()
	require.NotEqual(t, one.String(), two.String())
	same, ok := oidc.ParseLogin(one.String())
	require.True(t, ok)
	require.Equal(t, one, same)

	for _, text := range []string{"", one.String()[1:], one.String() + "A", one.String() + "=", strings.Repeat("!", 43), strings.Repeat("A", 86)} {
		_, ok := oidc.ParseLogin(text)
		require.False(t, ok, text)
	}
}
