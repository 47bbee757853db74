package main

import (
	"errors"
	"fmt"

	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/grant"
)

// portalFlags say whether there is a portal, and whose pages may frame it.
type portalFlags struct {
	Portal        string   `env:"OUTHOOK_PORTAL" default:"auto" enum:"auto,true,false" help:"Whether the portal is served at /portal, your customers' own pages, for whoever has a link that POST /api/portal-sessions makes. auto: not in serve, and in dev it is."`
	PortalAccent  string   `env:"OUTHOOK_PORTAL_ACCENT" help:"The colour of the portal's buttons and links, like #4f46d8. Where it is text it is made darker or lighter until it can be read."`
	PortalOrigins []string `env:"OUTHOOK_PORTAL_ORIGINS" help:"Whose pages may frame the portal, unless a link names others, with commas: https://app.example.com,https://admin.example.com. Without it, nobody's."`
}

// portal returns what the flags describe. Errors name the variable.
func (f portalFlags) portal(publicURL string) (p server.Portal, err error) {
	p = server.Portal{Served: f.Portal != "false", Accent: f.PortalAccent}
	if p.Accent != "" {
		if _, err := web.ParseAccent(p.Accent); err != nil {
			return p, fmt.Errorf("OUTHOOK_PORTAL_ACCENT %w", err)
		}
	}
	for _, text := range f.PortalOrigins {
		origin, err := grant.ParseOrigin(text)
		if err != nil {
			return p, fmt.Errorf("OUTHOOK_PORTAL_ORIGINS: each %w", err)
		}
		p.Origins = append(p.Origins, origin)
	}

	if !p.Served || publicURL == "" {
		return p, nil
	}
	if p.PublicURL, err = grant.ParseOrigin(publicURL); err != nil {
		return p, fmt.Errorf("OUTHOOK_PUBLIC_URL %w", err)
	}
	return p, nil
}

// errNoPublicURL says what serve needs: a request for a link comes from a server, which may reach this one by another
// name than browsers.
var errNoPublicURL = errors.New("OUTHOOK_PORTAL is true and OUTHOOK_PUBLIC_URL is not set: give the address of this " +
	"server as browsers see it, like https://webhooks.example.com, which links to the portal begin with")
