package oidc

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Defaults of [Config].
const (
	DefaultGroupsClaim = "groups"
	DefaultNameClaim   = "email"
)

// DefaultScopes returns those that every provider knows. Some tell no groups without one more, often called groups.
func DefaultScopes() []string { return []string{"openid", "email", "profile"} }

// Config says who the provider is, and what its people may do.
type Config struct {
	// Issuer is the provider's name for itself, a URL, byte for byte as its discovery document has it: https://, or
	// http:// on this machine. Required.
	Issuer string

	// ClientID is what the provider calls us. Required.
	ClientID string

	// ClientSecret is what we show the provider.
	//
	// Defaults to "": we are a public client, which has PKCE alone.
	ClientSecret string

	// PublicURL is the address of this server as browsers see it, without a path: https://, or http:// on this machine.
	// The provider sends people back to its /console/oidc/callback. Required.
	PublicURL string

	// Scopes are what is asked for. One must be openid.
	Scopes []string

	// GroupsClaim is the claim that has a person's groups, a list of texts or one text. Required.
	GroupsClaim string

	// NameClaim is the claim that says who a person is, for the audit trail. Who has none is called by the subject, which
	// the provider never changes. Required.
	NameClaim string

	// Roles say what groups may do. Of those whose group a person is in, the first counts. Required.
	Roles []Role

	// RootCAs are the authorities that the provider's certificate may be of.
	//
	// Defaults to nil: the system's.
	RootCAs *x509.CertPool
}

// FieldError says what is wrong with a field of a [Config].
type FieldError struct{ Field, Problem string }

// Error names the field.
func (e *FieldError) Error() string { return "field " + e.Field + " " + e.Problem }

// Validate returns a [*FieldError] of the first field that is wrong.
func (c Config) Validate() error {
	wrong := func(field, problem string) error { return &FieldError{field, problem} }
	if err := checkURL(c.Issuer); err != nil {
		return wrong("Issuer", err.Error())
	}
	if err := checkURL(c.PublicURL); err != nil {
		return wrong("PublicURL", err.Error())
	}

	public, _ := url.Parse(c.PublicURL)
	switch {
	case strings.Trim(public.Path, "/") != "" || public.RawQuery != "":
		return wrong("PublicURL", "must have no path: the console is at /console")
	case c.ClientID == "":
		return wrong("ClientID", "is missing")
	case !strings.Contains(" "+strings.Join(c.Scopes, " ")+" ", " openid "):
		return wrong("Scopes", "must have openid")
	case c.GroupsClaim == "":
		return wrong("GroupsClaim", "is missing")
	case c.NameClaim == "":
		return wrong("NameClaim", "is missing")
	case len(c.Roles) == 0:
		return wrong("Roles", "is missing: nobody could log in")
	}
	return nil
}

// Fingerprint tells this provider, and what its people may do, from any other: a session is good as long as this stays.
// A secret that is replaced changes nothing.
func (c Config) Fingerprint() []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %+q", c.Issuer, c.ClientID, c.GroupsClaim, c.Roles))
	return sum[:]
}

// checkURL refuses an address over which a stranger could read along, or one that a browser should not be led to.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("is missing")
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("must be a URL like https://login.example.com, without a user")
	case u.Scheme == "https", u.Scheme == "http" && isLocal(u.Hostname()):
		return nil
	}
	return errors.New("must begin with https://, or with http:// on this machine (localhost)")
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
