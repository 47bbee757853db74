package main

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/cmd/outhook/internal/svixapi"
)

// Statuses of endpoints.
const (
	statusEnabled  = "enabled"
	statusPaused   = "paused"
	statusDisabled = "disabled"
)

// copied is an endpoint that is being copied.
type copied struct {
	svixapi.Endpoint

	headers map[string]string
	secret  string // "": none that Outhook can sign with

	// paused tells that its deliveries are to wait until somebody has done what the notes say.
	paused bool
}

// endpoint makes an endpoint what one of Svix is. What only Outhook has of it stays: timeouts, schedules, secret
// headers.
func (i *importing) endpoint(
	ctx context.Context, app svixapi.Application, tenant string, e svixapi.Endpoint,
) (*imported, error) {
	done := &imported{
		Kind: importedEndpoint, SvixID: e.ID, TenantID: tenant, UID: uidOf(e), Result: applyUnchanged,
	}
	if e.UID != "" && e.UID != done.UID {
		done.note("its uid %s is a UUID, which none of Outhook's is: it is called %s", e.UID, done.UID)
	}
	want, err := i.read(ctx, app, e, done)
	if err != nil {
		return done, err
	}

	before, err := i.api.GetEndpoint(ctx, done.UID, client.GetEndpointParams{TenantID: tenant})
	switch {
	case isNothing(err):
		return done, i.create(ctx, want, done)
	case err != nil:
		return done, err
	}
	done.ID = before.ID
	return done, i.update(ctx, want, before, done)
}

// uidOf returns what an endpoint is called: as at Svix, so that it is found again there and here.
func uidOf(e svixapi.Endpoint) string {
	if _, err := uuid.Parse(e.UID); err == nil || e.UID == "" {
		return e.ID
	}
	return e.UID
}

// read reads what belongs to an endpoint, and notes what can't be copied.
func (i *importing) read(
	ctx context.Context, app svixapi.Application, e svixapi.Endpoint, done *imported,
) (*copied, error) {
	want := &copied{Endpoint: e}
	h, err := i.from.Headers(ctx, app.ID, e.ID)
	if err != nil {
		return nil, err
	}
	want.headers = h.Headers
	if len(h.Sensitive) > 0 {
		want.paused = true
		done.note("Svix does not show the values of its headers %s: give them by "+
			"`outhook endpoints update --secret-header`", strings.Join(h.Sensitive, ", "))
	}

	secret, err := i.from.Secret(ctx, app.ID, e.ID)
	if err != nil {
		return nil, err
	}
	if want.secret = secret; !strings.HasPrefix(secret, "whsec_") {
		want.secret, want.paused = "", true
		done.note("it is signed with a key pair, which Outhook does not do: give its receiver the new secret")
	}

	transformed, err := i.from.Transformed(ctx, app.ID, e.ID)
	if err != nil {
		return nil, err
	}
	if transformed {
		want.paused = true
		done.note("it has a transformation, which is not copied: its receiver would get what was published")
	}
	return want, nil
}

// types returns the event types that it is subscribed to.
func (w *copied) types() []string {
	if w.EventTypes != nil {
		return w.EventTypes
	}
	return w.FilterTypes
}

func (w *copied) rate() *client.RateLimit {
	if rate := max(w.Rate, w.OldRate); rate > 0 {
		return &client.RateLimit{Requests: rate, Per: "second", Burst: 1}
	}
	return nil
}

// status returns the status that a new one begins with.
func (w *copied) status() string {
	switch {
	case w.Disabled:
		return statusDisabled
	case w.paused:
		return statusPaused
	}
	return statusEnabled
}

// create makes an endpoint, or asks the API whether it would.
func (i *importing) create(ctx context.Context, want *copied, done *imported) error {
	done.Result = applyCreated
	body := client.NewEndpoint{
		TenantID: done.TenantID, UID: &done.UID, URL: want.URL, EventTypes: want.types(),
		Labels: want.Channels, RateLimit: want.rate(),
		Headers: want.headers, Metadata: want.Metadata, Description: &want.Description,
	}
	if want.secret != "" {
		body.Secret = &want.secret
	}
	made, err := i.api.PutEndpoint(ctx, done.UID, body, client.PutEndpointParams{DryRun: i.DryRun})
	if err != nil {
		return err
	}

	status := want.status()
	if status == statusPaused {
		done.note("it is paused: its deliveries wait until you enable it")
	}
	if i.DryRun || status == statusEnabled {
		return nil
	}
	done.ID = made.ID
	// Not even a stop leaves it enabled.
	_, err = i.api.UpdateEndpoint(context.WithoutCancel(ctx), made.ID,
		client.EndpointChange{Status: client.Set(status)}, client.UpdateEndpointParams{})
	return err
}

// update changes an endpoint to what Svix has. One that was disabled here, by whomever, stays so.
func (i *importing) update(ctx context.Context, want *copied, before *client.Endpoint, done *imported) error {
	change := map[string]any{}
	if before.URL != want.URL {
		change["url"] = want.URL
	}
	if before.Description != want.Description {
		change["description"] = want.Description
	}
	if !slices.Equal(before.EventTypes, want.types()) {
		change["event_types"] = want.types()
	}
	if !slices.Equal(before.Labels, want.Channels) {
		change["labels"] = want.Channels
	}
	if patch := patchOf(before.Headers, want.headers); len(patch) > 0 {
		change["headers"] = patch
	}
	if added := lacking(before.Metadata, want.Metadata); len(added) > 0 {
		change["metadata"] = added
	}
	if want.Disabled && before.Status != statusDisabled {
		change["status"] = statusDisabled
	}
	if rate := want.rate(); rate == nil && before.RateLimit.Requests > 0 {
		change["rate_limit"] = nil
	} else if rate != nil && *rate != before.RateLimit {
		change["rate_limit"] = rate
	}

	err := i.change(done, change, func(o client.CallOption) error {
		_, err := i.api.UpdateEndpoint(ctx, before.ID, client.EndpointChange{}, client.UpdateEndpointParams{}, o)
		return err
	})
	if err != nil {
		return err
	}
	if before.Status != statusEnabled && !want.Disabled {
		done.note("it is %s here, and not at Svix", before.Status)
	}
	return i.rotate(ctx, want, before, done)
}

// rotate gives an endpoint the secret that it has at Svix, if that is another one.
func (i *importing) rotate(ctx context.Context, want *copied, before *client.Endpoint, done *imported) error {
	if want.secret == "" {
		return nil
	}
	found, err := i.api.GetSecret(ctx, before.ID, client.GetSecretParams{})
	if err != nil {
		return err
	}
	if len(found.Secrets) > 0 && found.Secrets[0].Secret == want.secret {
		return nil
	}

	done.Result, done.Changed = applyChanged, append(done.Changed, "secret")
	if i.DryRun {
		return nil
	}
	_, err = i.api.RotateSecret(ctx, before.ID, &client.Rotation{Secret: &want.secret}, client.RotateSecretParams{})
	return err
}

// patchOf returns the merge patch that makes headers others. Their names' case has no meaning.
func patchOf(before, after map[string]string) map[string]*string {
	patch := map[string]*string{}
	small := func(headers map[string]string) map[string]string {
		out := map[string]string{}
		for name, value := range headers {
			out[strings.ToLower(name)] = value
		}
		return out
	}

	was, is := small(before), small(after)
	for name := range was {
		if _, ok := is[name]; !ok {
			patch[name] = nil
		}
	}
	for name, value := range is {
		if old, ok := was[name]; !ok || old != value {
			patch[name] = &value
		}
	}
	return patch
}
