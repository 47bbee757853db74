package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

type erasuresCmd struct {
	Start erasuresStartCmd `cmd:"" help:"Erase everything that a tenant has until now, in the background."`
	Show  erasuresShowCmd  `cmd:"" help:"Show how far an erasure is."`
}

type erasuresStartCmd struct {
	apiFlags

	Tenant string `arg:"" help:"The tenant."`
	Yes    bool   `help:"Really do it: payloads, endpoints, secrets and what receivers answered are gone for good."`
}

// Run orders an erasure.
func (e *erasuresStartCmd) Run(c *command) error {
	if !e.Yes {
		return usageError{errors.New("what is erased can't be brought back: say --yes if that is what you want")}
	}
	_, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Erasure, error) {
		return api.EraseTenant(c.ctx, e.Tenant, o)
	}, showErasure)
	return err
}

type erasuresShowCmd struct {
	apiFlags

	ID uuid.UUID `arg:"" help:"The erasure's id."`
}

// Run shows an erasure.
func (e *erasuresShowCmd) Run(c *command) error {
	_, err := ask(c, e.apiFlags, func(api *client.Client, o client.CallOption) (*client.Erasure, error) {
		return api.GetErasure(c.ctx, e.ID.String(), o)
	}, showErasure)
	return err
}

func showErasure(w io.Writer, e *client.Erasure) {
	fields(w, "id", e.ID, "tenant", e.TenantID, "state", e.State, "ordered", utc(e.RequestedAt),
		"completed", timeOrDash(e.CompletedAt), "endpoints deleted", fmt.Sprint(e.EndpointCount),
		"deliveries cancelled", fmt.Sprint(e.DeliveryCount), "payloads erased", fmt.Sprint(e.PayloadCount),
		"attempts erased", fmt.Sprint(e.AttemptCount), "keys deleted", fmt.Sprint(e.KeyCount))
}
