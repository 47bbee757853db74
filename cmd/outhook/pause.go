package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/outhook/outhook/api/client"
)

// pauseFlags say what is to be paused or resumed.
type pauseFlags struct {
	All    bool   `xor:"what" required:"" help:"All deliveries."`
	Tenant string `xor:"what" required:"" help:"Only this tenant's."`
}

// what returns the flags as the API's body has them.
func (f pauseFlags) what() (all *bool, tenantID *string) {
	if f.All {
		return &f.All, nil
	}
	return nil, &f.Tenant
}

// check refuses an empty tenant, as of a variable that is not set: it would stand for nobody.
func (f pauseFlags) check() error {
	if !f.All && f.Tenant == "" {
		return usageError{errors.New("--tenant is empty: name a tenant, or say --all")}
	}
	return nil
}

type pauseCmd struct {
	apiFlags
	pauseFlags

	Reason string `required:"" help:"Why, for people: it is in the audit trail, and in what outhook why says."`
}

// Run pauses.
func (p *pauseCmd) Run(c *command) error {
	if err := p.check(); err != nil {
		return err
	}

	all, tenantID := p.what()
	_, err := ask(c, p.apiFlags, func(api *client.Client, o client.CallOption) (*client.Pause, error) {
		body := client.NewPause{All: all, TenantID: tenantID, Reason: p.Reason}
		return api.PauseDeliveries(c.ctx, body, client.PauseDeliveriesParams{}, o)
	}, showPause)
	return err
}

type resumeCmd struct {
	apiFlags
	pauseFlags
}

// Run resumes.
func (r *resumeCmd) Run(c *command) error {
	if err := r.check(); err != nil {
		return err
	}

	all, tenantID := r.what()
	_, err := ask(c, r.apiFlags, func(api *client.Client, o client.CallOption) (*client.Resumption, error) {
		body := client.NewResumption{All: all, TenantID: tenantID}
		return api.ResumeDeliveries(c.ctx, body, client.ResumeDeliveriesParams{}, o)
	}, func(w io.Writer, v *client.Resumption) {
		if v.Ended == nil {
			fmt.Fprint(w, "nothing was paused: see `outhook paused`\n")
			return
		}
		fmt.Fprint(w, "resumed:\n")
		showPause(w, v.Ended)
	})
	return err
}

type pausedCmd struct{ apiFlags }

// Run lists what is paused.
func (p *pausedCmd) Run(c *command) error {
	_, err := ask(c, p.apiFlags, func(api *client.Client, o client.CallOption) (*client.Pauses, error) {
		return api.ListPauses(c.ctx, o)
	}, func(w io.Writer, v *client.Pauses) {
		if len(v.Pauses) == 0 {
			fmt.Fprint(w, "nothing is paused\n")
			return
		}

		list := newTable(w, []string{"WHAT", "SINCE", "BY", "REASON"})
		for _, p := range v.Pauses {
			list.row(paused(p), utc(p.PausedAt), p.PausedBy, p.Reason)
		}
		list.flush()
	})
	return err
}

func showPause(w io.Writer, p *client.Pause) {
	fields(w, "paused", paused(*p), "since", utc(p.PausedAt), "by", p.PausedBy, "reason", p.Reason)
}

// paused says what is.
func paused(p client.Pause) string {
	if p.TenantID == nil {
		return "all deliveries"
	}
	return "tenant " + *p.TenantID
}
