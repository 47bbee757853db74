package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// secretAnswer is a secret that signs.
type secretAnswer struct {
	Secret    string     `json:"secret"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

type secretsAnswer struct {
	Secrets []secretAnswer `json:"secrets"`
}

type endpointsSecretCmd struct{ endpointArg }

// Run prints the secrets that sign, the newest first.
func (e *endpointsSecretCmd) Run(c *command) error {
	api, err := e.client()
	if err != nil {
		return err
	}

	raw, err := api.call(c.ctx, http.MethodGet, e.path("/secret"), e.query(), nil)
	if err != nil {
		return err
	}

	return show(c, e.apiFlags, raw, func(w io.Writer, a secretsAnswer) {
		for _, s := range a.Secrets {
			fmt.Fprintf(w, "%s  %s\n", s.Secret, until(s.ExpiresAt))
		}
	})
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
	body := map[string]any{"overlap_seconds": int64(e.Overlap / time.Second), "force": e.Force}
	if e.Secret != "" {
		body["secret"] = e.Secret
	}

	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the rotation: %w", err)
	}

	api, err := e.client()
	if err != nil {
		return err
	}

	raw, err := api.call(c.ctx, http.MethodPost, e.path("/rotate-secret"), e.query(), data)
	if err != nil {
		return err
	}

	return show(c, e.apiFlags, raw, func(w io.Writer, a struct {
		Secret            string     `json:"secret"`
		PreviousExpiresAt *time.Time `json:"previous_expires_at"`
	},
	) {
		fmt.Fprintf(w, "secret    %s\n", a.Secret)
		if a.PreviousExpiresAt == nil {
			fmt.Fprintln(w, "previous  has ended")
			return
		}
		fmt.Fprintf(w, "previous  %s\n", until(a.PreviousExpiresAt))
	})
}
