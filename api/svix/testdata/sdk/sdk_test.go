// Package sdk_test calls what Outhook answers of Svix's API by Svix's own SDK for Go, as it is published. It is a module of
// its own, so that the SDK is in nobody's module graph; TestSvixGo of the server runs it, and says where the server is.
package sdk_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
)

func to[T any](v T) *T { return &v }

// setup returns a client with an application of its own, and the address of a receiver.
func setup(t *testing.T) (*svix.Svix, *models.ApplicationOut, string) {
	t.Helper()
	base, err := url.Parse(os.Getenv("SVIX_TEST_URL"))
	require.NoError(t, err)
	if base.Host == "" {
		t.Skip("go test ./cmd/outhook/internal/server -run TestSvixGo says where the server is")
	}
	c, err := svix.New(os.Getenv("SVIX_TEST_KEY"), &svix.SvixOptions{ServerUrl: base})
	require.NoError(t, err)
	app, err := c.Application.Create(t.Context(), models.ApplicationIn{Name: t.Name(), Uid: to(uid(t))}, nil)
	require.NoError(t, err)
	return c, app, os.Getenv("SVIX_TEST_RECEIVER")
}

func uid(t *testing.T) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
}

func requireRefused(t *testing.T, status int, err error, text string) {
	t.Helper()
	var refused *svix.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	require.Equal(t, status, refused.Status(), "%s", refused.Body())
	require.Contains(t, string(refused.Body()), text)
}

func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	require.Eventually(t, look, 2*time.Minute, 20*time.Millisecond, what)
}

// page is what all lists are.
type page[T any] struct {
	data     []T
	iterator *string
	prev     *string
	done     bool
}

// requirePages reads a list by two to its end, and back.
func requirePages[T any](t *testing.T, id func(T) string, list func(limit *uint64, iterator *string) page[T]) []string {
	t.Helper()
	ids := func(items []T) (all []string) {
		for _, item := range items {
			all = append(all, id(item))
		}
		return all
	}
	p := list(to(uint64(2)), nil)
	all := ids(p.data)
	for !p.done {
		p = list(to(uint64(2)), p.iterator)
		require.LessOrEqual(t, len(p.data), 2)
		all = append(all, ids(p.data)...)
	}
	back := ids(p.data)
	for p.done = len(all) <= len(back); !p.done; {
		p = list(to(uint64(2)), p.prev)
		back = append(ids(p.data), back...)
	}
	require.Equal(t, all, back)
	return all
}

func TestApplications(t *testing.T) {
	c, app, _ := setup(t)
	ctx := t.Context()
	got, err := c.Application.Get(ctx, *app.Uid)
	require.NoError(t, err)
	require.Equal(t, app, got)
	_, err = c.Application.Create(ctx, models.ApplicationIn{Name: "Again", Uid: app.Uid}, nil)
	requireRefused(t, http.StatusConflict, err, "conflict")
	got, err = c.Application.GetOrCreate(ctx, models.ApplicationIn{Name: "Again", Uid: app.Uid}, &svix.ApplicationCreateOptions{})
	require.NoError(t, err)
	require.Equal(t, app, got)

	changed, err := c.Application.Update(ctx, app.Id, models.ApplicationIn{Name: "Other", Uid: app.Uid, Metadata: &map[string]string{"a": "b"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, changed.Metadata)
	changed, err = c.Application.Patch(ctx, app.Id, models.ApplicationPatch{Name: to("Third")})
	require.NoError(t, err)
	require.Equal(t, "Third", changed.Name)
	_, err = c.Application.Create(ctx, models.ApplicationIn{Name: ""}, nil)
	requireRefused(t, http.StatusUnprocessableEntity, err, `"loc":["body","name"]`)

	for range 4 {
		_, err := c.Application.Create(ctx, models.ApplicationIn{Name: "One of some"}, nil)
		require.NoError(t, err)
	}
	all := requirePages(t, func(a models.ApplicationOut) string { return a.Id }, func(limit *uint64, iterator *string) page[models.ApplicationOut] {
		p, err := c.Application.List(ctx, &svix.ApplicationListOptions{Limit: limit, Iterator: iterator, Order: to(models.ORDERING_ASCENDING)})
		require.NoError(t, err)
		return page[models.ApplicationOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Contains(t, all, app.Id)

	require.NoError(t, c.Application.Delete(ctx, app.Id))
	_, err = c.Application.Get(ctx, app.Id)
	requireRefused(t, http.StatusNotFound, err, "not_found")
}

func TestEndpoints(t *testing.T) {
	c, app, receiver := setup(t)
	ctx := t.Context()
	first, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{
		Url: receiver + "/a", Uid: to("main"), FilterTypes: []string{"a.b"}, RateLimit: to(uint16(9)),
		Headers: &map[string]string{"X-Own": "1", "Authorization": "s3cret"}, Metadata: &map[string]string{"a": "b"},
	}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a.b"}, first.FilterTypes)
	require.EqualValues(t, 9, *first.RateLimit)
	got, err := c.Endpoint.Get(ctx, *app.Uid, "main")
	require.NoError(t, err)
	require.Equal(t, first, got)

	h, err := c.Endpoint.GetHeaders(ctx, app.Id, first.Id)
	require.NoError(t, err)
	require.Equal(t, []string{"authorization"}, lower(h.Sensitive))
	require.NoError(t, c.Endpoint.PatchHeaders(ctx, app.Id, first.Id, models.EndpointHeadersPatchIn{Headers: map[string]string{"x-two": "2"}, DeleteHeaders: []string{"authorization"}}))
	require.NoError(t, c.Endpoint.UpdateHeaders(ctx, app.Id, first.Id, models.EndpointHeadersIn{Headers: map[string]string{"x-three": "3"}}))
	h, err = c.Endpoint.GetHeaders(ctx, app.Id, first.Id)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x-three": "3"}, h.Headers)
	require.Empty(t, h.Sensitive)

	put, err := c.Endpoint.Update(ctx, app.Id, "main", models.EndpointUpdate{Url: receiver + "/b"})
	require.NoError(t, err)
	require.Equal(t, first.Id, put.Id)
	require.Empty(t, put.FilterTypes)
	patched, err := c.Endpoint.Patch(ctx, app.Id, first.Id, models.EndpointPatch{Disabled: to(true)})
	require.NoError(t, err)
	require.True(t, *patched.Disabled)

	key, err := c.Endpoint.GetSecret(ctx, app.Id, first.Id)
	require.NoError(t, err)
	require.NoError(t, c.Endpoint.RotateSecret(ctx, app.Id, first.Id, models.EndpointSecretRotateIn{}, nil))
	other, err := c.Endpoint.GetSecret(ctx, app.Id, first.Id)
	require.NoError(t, err)
	require.NotEqual(t, key.Key, other.Key)

	for range 4 {
		_, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: receiver}, nil)
		require.NoError(t, err)
	}
	all := requirePages(t, func(e models.EndpointOut) string { return e.Id }, func(limit *uint64, iterator *string) page[models.EndpointOut] {
		p, err := c.Endpoint.List(ctx, app.Id, &svix.EndpointListOptions{Limit: limit, Iterator: iterator})
		require.NoError(t, err)
		return page[models.EndpointOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Len(t, all, 5)
	require.Equal(t, first.Id, all[4])
	_, err = c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: "nowhere"}, nil)
	requireRefused(t, http.StatusUnprocessableEntity, err, `"loc":["body","url"]`)
	require.NoError(t, c.Endpoint.Delete(ctx, app.Id, first.Id))
	_, err = c.Endpoint.Get(ctx, app.Id, first.Id)
	requireRefused(t, http.StatusNotFound, err, "not_found")
}

func lower(names []string) []string {
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	return names
}

func TestMessages(t *testing.T) {
	c, app, receiver := setup(t)
	ctx := t.Context()
	in := models.MessageIn{EventType: "invoice.paid", EventId: to("e-1"), Payload: map[string]any{"n": 1.0}}
	m, err := c.Message.Create(ctx, app.Id, in, &svix.MessageCreateOptions{WithContent: to(true)})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": 1.0}, m.Payload)
	_, err = c.Message.Create(ctx, app.Id, in, nil)
	requireRefused(t, http.StatusConflict, err, "conflict")
	_, err = c.Message.Create(ctx, "nobody", in, nil)
	requireRefused(t, http.StatusNotFound, err, "not_found")
	got, err := c.Message.Get(ctx, app.Id, "e-1", &svix.MessageGetOptions{WithContent: to(true)})
	require.NoError(t, err)
	require.Equal(t, m.Id, got.Id)

	const raw = "{\"z\":1.0,\n\"a\":\"\\u00e9\"}"
	end, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: receiver + "/ok"}, nil)
	require.NoError(t, err)
	sent, err := c.Message.Create(ctx, app.Id, *svix.NewMessageInRaw("raw", raw, to("application/json")), nil)
	require.NoError(t, err)
	eventually(t, "the attempt", func() bool {
		p, err := c.MessageAttempt.ListByMsg(ctx, app.Id, sent.Id, &svix.MessageAttemptListByMsgOptions{WithContent: to(true), EndpointId: &end.Id})
		require.NoError(t, err)
		return len(p.Data) == 1 && p.Data[0].Response == raw
	})

	for i := range 3 {
		_, err := c.Message.Create(ctx, app.Id, models.MessageIn{EventType: "other", Payload: map[string]any{"n": i}}, nil)
		require.NoError(t, err)
	}
	all := requirePages(t, func(m models.MessageOut) string { return m.Id }, func(limit *uint64, iterator *string) page[models.MessageOut] {
		p, err := c.Message.List(ctx, app.Id, &svix.MessageListOptions{Limit: limit, Iterator: iterator, WithContent: to(true)})
		require.NoError(t, err)
		return page[models.MessageOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Len(t, all, 5)
	require.Equal(t, m.Id, all[4])

	active, err := c.Message.Precheck(ctx, app.Id, models.MessagePrecheckIn{EventType: "a"}, nil)
	require.NoError(t, err)
	require.True(t, active.Active)
	require.NoError(t, c.Message.ExpungeContent(ctx, app.Id, m.Id))
	got, err = c.Message.Get(ctx, app.Id, m.Id, &svix.MessageGetOptions{WithContent: to(true)})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"expired": true}, got.Payload)
}

func TestAttempts(t *testing.T) {
	c, app, receiver := setup(t)
	ctx := t.Context()
	good, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: receiver + "/ok"}, nil)
	require.NoError(t, err)
	bad, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: receiver + "/fail"}, nil)
	require.NoError(t, err)
	var sent []*models.MessageOut
	for range 3 {
		m, err := c.Message.Create(ctx, app.Id, models.MessageIn{EventType: "a", Payload: map[string]any{}}, nil)
		require.NoError(t, err)
		sent = append(sent, m)
	}

	byEndpoint := func(id string, o svix.MessageAttemptListByEndpointOptions) page[models.MessageAttemptOut] {
		p, err := c.MessageAttempt.ListByEndpoint(ctx, app.Id, id, &o)
		require.NoError(t, err)
		return page[models.MessageAttemptOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	}
	for _, id := range []string{good.Id, bad.Id} {
		eventually(t, "the attempts", func() bool { return len(byEndpoint(id, svix.MessageAttemptListByEndpointOptions{}).data) == 3 })
	}
	attemptID := func(a models.MessageAttemptOut) string { return a.Id }
	all := requirePages(t, attemptID, func(limit *uint64, iterator *string) page[models.MessageAttemptOut] {
		return byEndpoint(bad.Id, svix.MessageAttemptListByEndpointOptions{Limit: limit, Iterator: iterator})
	})
	require.Len(t, all, 3)

	a := byEndpoint(bad.Id, svix.MessageAttemptListByEndpointOptions{WithMsg: to(true)}).data[0]
	require.Equal(t, models.MESSAGESTATUSTEXT_SENDING, a.StatusText)
	require.Equal(t, models.MESSAGEATTEMPTTRIGGERTYPE_SCHEDULED, a.TriggerType)
	require.Equal(t, a.MsgId, a.Msg.Id)
	one, err := c.MessageAttempt.Get(ctx, app.Id, a.MsgId, a.Id, nil)
	require.NoError(t, err)
	require.EqualValues(t, 500, one.ResponseStatusCode)

	byMsg := requirePages(t, attemptID, func(limit *uint64, iterator *string) page[models.MessageAttemptOut] {
		p, err := c.MessageAttempt.ListByMsg(ctx, app.Id, sent[0].Id, &svix.MessageAttemptListByMsgOptions{Limit: limit, Iterator: iterator})
		require.NoError(t, err)
		return page[models.MessageAttemptOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Len(t, byMsg, 2)
	messages, err := c.MessageAttempt.ListAttemptedMessages(ctx, app.Id, bad.Id, nil)
	require.NoError(t, err)
	require.Len(t, messages.Data, 3)
	require.NotNil(t, messages.Data[0].NextAttempt)
	ends, err := c.MessageAttempt.ListAttemptedDestinations(ctx, app.Id, sent[0].Id, nil)
	require.NoError(t, err)
	require.Len(t, ends.Data, 2)

	_, err = c.MessageAttempt.Resend(ctx, app.Id, sent[0].Id, good.Id, nil)
	require.NoError(t, err)
	eventually(t, "the attempt that was ordered", func() bool {
		return slices.ContainsFunc(byEndpoint(good.Id, svix.MessageAttemptListByEndpointOptions{}).data, func(a models.MessageAttemptOut) bool {
			return a.TriggerType == models.MESSAGEATTEMPTTRIGGERTYPE_MANUAL
		})
	})
	require.Eventually(t, func() bool { // what has ended is counted within a minute
		s, err := c.Endpoint.GetStats(ctx, app.Id, good.Id, nil)
		require.NoError(t, err)
		return s.Success == 4
	}, 2*time.Minute, time.Second)
}

func TestTasks(t *testing.T) {
	c, app, receiver := setup(t)
	ctx := t.Context()
	end, err := c.Endpoint.Create(ctx, app.Id, models.EndpointIn{Url: receiver + "/ok"}, nil)
	require.NoError(t, err)
	since := time.Now().Add(-time.Hour)
	finished := func(id string) {
		eventually(t, id, func() bool {
			task, err := c.BackgroundTask.Get(ctx, id)
			require.NoError(t, err)
			return task.Status == models.BACKGROUNDTASKSTATUS_FINISHED
		})
	}
	recovered, err := c.Endpoint.Recover(ctx, app.Id, end.Id, models.RecoverIn{Since: since}, nil)
	require.NoError(t, err)
	finished(recovered.Id)
	missing, err := c.Endpoint.ReplayMissing(ctx, app.Id, end.Id, models.ReplayIn{Since: since}, nil)
	require.NoError(t, err)
	finished(missing.Id)
	bulk, err := c.Endpoint.BulkReplay(ctx, app.Id, end.Id, models.BulkReplayIn{Since: since}, nil)
	require.NoError(t, err)
	finished(bulk.Id)

	all := requirePages(t, func(b models.BackgroundTaskOut) string { return b.Id }, func(limit *uint64, iterator *string) page[models.BackgroundTaskOut] {
		p, err := c.BackgroundTask.List(ctx, &svix.BackgroundTaskListOptions{Limit: limit, Iterator: iterator})
		require.NoError(t, err)
		return page[models.BackgroundTaskOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Subset(t, all, []string{recovered.Id, missing.Id, bulk.Id})
	_, err = c.Endpoint.Recover(ctx, app.Id, end.Id, models.RecoverIn{Since: time.Now().Add(time.Hour)}, nil)
	requireRefused(t, http.StatusUnprocessableEntity, err, `"loc":["body","since"]`)
}

func TestOperationalWebhooks(t *testing.T) {
	c, _, receiver := setup(t)
	ctx, ops := t.Context(), c.OperationalWebhookEndpoint
	types := []string{"endpoint.disabled", "message.attempt.exhausted"}
	e, err := ops.Create(ctx, models.OperationalWebhookEndpointIn{Url: receiver + "/ok", Uid: to(uid(t)), FilterTypes: types}, nil)
	require.NoError(t, err)
	require.Equal(t, types, e.FilterTypes)
	got, err := ops.Get(ctx, *e.Uid)
	require.NoError(t, err)
	require.Equal(t, e, got)
	put, err := ops.Update(ctx, e.Id, models.OperationalWebhookEndpointUpdate{Url: receiver + "/other"})
	require.NoError(t, err)
	require.Empty(t, put.FilterTypes)

	require.NoError(t, ops.UpdateHeaders(ctx, e.Id, models.OperationalWebhookEndpointHeadersIn{Headers: map[string]string{"x-one": "1"}}))
	h, err := ops.GetHeaders(ctx, e.Id)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x-one": "1"}, h.Headers)
	key, err := ops.GetSecret(ctx, e.Id)
	require.NoError(t, err)
	require.NoError(t, ops.RotateSecret(ctx, e.Id, models.OperationalWebhookEndpointSecretIn{}, nil))
	other, err := ops.GetSecret(ctx, e.Id)
	require.NoError(t, err)
	require.NotEqual(t, key.Key, other.Key)

	all := requirePages(t, func(e models.OperationalWebhookEndpointOut) string { return e.Id }, func(limit *uint64, iterator *string) page[models.OperationalWebhookEndpointOut] {
		p, err := ops.List(ctx, &svix.OperationalWebhookEndpointListOptions{Limit: limit, Iterator: iterator})
		require.NoError(t, err)
		return page[models.OperationalWebhookEndpointOut]{p.Data, p.Iterator, p.PrevIterator, p.Done}
	})
	require.Contains(t, all, e.Id)
	_, err = ops.Create(ctx, models.OperationalWebhookEndpointIn{Url: receiver, FilterTypes: []string{"endpoint.created"}}, nil)
	requireRefused(t, http.StatusUnprocessableEntity, err, `"loc":["body","filterTypes"]`)
	require.NoError(t, ops.Delete(ctx, e.Id))
}

func TestOthers(t *testing.T) {
	c, app, _ := setup(t)
	require.NoError(t, c.Health.Get(t.Context()))
	_, err := c.Integration.List(t.Context(), app.Id, nil)
	requireRefused(t, http.StatusNotFound, err, "not_found")

	base, err := url.Parse(os.Getenv("SVIX_TEST_URL"))
	require.NoError(t, err)
	wrong, err := svix.New("outhook_wrong", &svix.SvixOptions{ServerUrl: base})
	require.NoError(t, err)
	_, err = wrong.Application.List(t.Context(), nil)
	requireRefused(t, http.StatusUnauthorized, err, "authentication_failed")
}
