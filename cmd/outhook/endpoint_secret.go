package main

import (
	"fmt"
	"io"
	"time"

	"github.com/outhook/outhook/api/client"
)

type endpointsSecretCmd struct{ endpointArg }

// Run prints the secrets that sign, the newest first.
func (e *endpointsSecretCmd) Run(c *command) error {
	_, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.SecretsOutputBody, error) {
		return api.GetSecret(c.ctx, e.ID, client.GetSecretParams{TenantID: e.Tenant}, o)
	}, func(w io.Writer, a *client.SecretsOutputBody) {
		for _, s := range a.Secrets {
			fmt.Fprintf(w, "%s  %s\n", s.Secret, until(s.ExpiresAt))
		}
	})
	return err
}

func until(at *time.Time) string {
	if at == nil {
		return "current"
	}
	return "signs until " + utc(*at)
}

type endpointsRotateCmd struct {
	endpointArg

	Overlap time.Duration `default:"24h" help:"How long the old secret goes on signing beside the new one; 0s for a secret that has leaked."`
	Secret  string        `secret:"" help:"The new secret, whsec_...; made by the server unless given."`
	Force   bool          `help:"With two live secrets, end the older one now."`
}

// Run replaces the secret.
func (e *endpointsRotateCmd) Run(c *command) error {
	overlap := int(e.Overlap / time.Second)
	body := &client.Rotation{OverlapSeconds: &overlap, Force: &e.Force, Secret: textOrNil(e.Secret)}

	_, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Rotated, error) {
		return api.RotateSecret(c.ctx, e.ID, body, client.RotateSecretParams{TenantID: e.Tenant}, o)
	}, func(w io.Writer, a *client.Rotated) {
		fmt.Fprintf(w, "secret    %s\n", a.Secret)
		if a.PreviousExpiresAt == nil {
			fmt.Fprintln(w, "previous  has ended")
			return
		}
		fmt.Fprintf(w, "previous  %s\n", until(a.PreviousExpiresAt))
	})
	return err
}
