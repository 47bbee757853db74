package main

import (
	"fmt"
	"io"
	"time"

	"github.com/outhook/outhook/api/client"
)

type portalCmd struct {
	apiFlags

	Tenant string `arg:"" help:"Whose portal it is."`
	End    bool   `help:"End the tenant's sessions and links instead, at once."`

	Label         string        `help:"For whom the link is: it stands in the audit trail."`
	Can           []string      `help:"What the session may do, with commas: payloads, endpoints, secrets:read, secrets:rotate, test, replay. Absent: all; view: only look."`
	ExpiresIn     time.Duration `default:"1h" help:"For how long the session is good: 1m to 168h."`
	LinkExpiresIn time.Duration `default:"1m" help:"For how long the link can be opened, once: 1s to 12h."`
	Origins       []string      `help:"Whose pages may frame it, with commas, instead of OUTHOOK_PORTAL_ORIGINS."`
	ReturnURL     string        `name:"return-url" help:"Where it leads back to."`
	Locale        string        `help:"Its language: en or de. Absent: the browser's."`
	Theme         string        `enum:"auto,light,dark" default:"auto" help:"light, dark, or auto: as the browser has it."`
}

// Run prints a link, or ends sessions. What stands behind the link's # reaches no server, and so no log of one.
func (p *portalCmd) Run(c *command) error {
	if p.End {
		api, err := p.client()
		if err != nil {
			return err
		}
		return explained(c.ctx, api.EndPortalSessions(c.ctx, client.EndPortalSessionsParams{TenantID: p.Tenant}))
	}

	_, err := ask(c, p.apiFlags, func(api *client.Client, o client.CallOption) (*client.PortalSession, error) {
		return api.CreatePortalSession(c.ctx, p.order(), client.CreatePortalSessionParams{}, o)
	}, func(w io.Writer, v *client.PortalSession) {
		_, _ = fmt.Fprintln(w, v.URL)
	})
	return err
}

func (p *portalCmd) order() client.NewPortalLink {
	lasts, opens := int(p.ExpiresIn/time.Second), int(p.LinkExpiresIn/time.Second)
	return client.NewPortalLink{
		TenantID: p.Tenant, Label: textOrNil(p.Label), Capabilities: p.Can, ExpiresInS: &lasts, LinkExpiresInS: &opens,
		Origins: p.Origins, ReturnURL: textOrNil(p.ReturnURL), Locale: p.Locale, Theme: p.Theme,
	}
}
