package api

import (
	"context"
	"maps"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/pg"
)

// change makes a request's change in one transaction: that of its Idempotency-Key, if it has one.
func (s *Server) change(ctx context.Context, do func(pgx.Tx) error) error {
	if k := requestOf(ctx).keyed; k != nil {
		return k.Change(ctx, do)
	}
	return pgx.BeginTxFunc(ctx, s.cfg.Pool, pgx.TxOptions{BeginQuery: "BEGIN; " + pg.Planned}, do)
}

// changeFirst is change for a patient handler, which answers long after its change: only that takes a slot.
// What a repeated request goes on with is note, as [idempotency.Store.ChangeFirst] has it.
func (s *Server) changeFirst(ctx context.Context, note any, do func(pgx.Tx) error) error {
	r := requestOf(ctx)
	if r.keyed != nil {
		return s.answers.ChangeFirst(ctx, r.keyed, note, do)
	}

	free, err := r.own.Take(ctx, false)
	if err != nil {
		return err
	}
	defer free()
	return s.change(ctx, do)
}

// idempotent is the middleware of an operation that changes something: a request with an Idempotency-Key is carried out
// once, and whoever repeats it is given its answer.
func (s *Server) idempotent(timeout time.Duration, level pgx.TxIsoLevel) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		c := humaecho.Unwrap(hc)
		key, err := idempotency.Key(c.Request().Header)
		if err == nil && key == "" {
			next(hc)
			return
		}

		if err == nil {
			ctx, cancel := context.WithTimeout(hc.Context(), timeout)
			defer cancel()
			err = s.once(ctx, c, key, level, func() { next(hc) })
		}
		if err != nil {
			c.Error(err)
		}
	}
}

// once answers a request with a key.
func (s *Server) once(ctx context.Context, c echo.Context, key string, level pgx.TxIsoLevel, handle func()) error {
	r := requestOf(ctx)
	caller := idempotency.Caller{ID: r.key.id, Hash: r.key.hash, TenantID: r.key.tenantID}
	k := idempotency.NewRequest(caller, key, c.Request(), bodyOf(ctx))
	k.Isolation = level

	a, repeated, err := s.answers.Once(ctx, k, func(ctx context.Context) (func(), error) {
		return r.own.Take(ctx, false)
	}, func() *idempotency.Answer {
		r.keyed = k
		return record(c, handle)
	})
	if err != nil {
		return err
	}

	maps.Copy(c.Response().Header(), a.Fields)
	if repeated {
		c.Response().Header().Set(idempotency.ReplayedHeader, "true")
	}
	c.Response().WriteHeader(a.Status)
	_, _ = c.Response().Write(a.Body) // a client that is gone is no error
	return nil
}

// record calls a handler and returns what it has answered, which is not sent.
func record(c echo.Context, handle func()) *idempotency.Answer {
	a, sent := &idempotency.Answer{}, c.Response()
	c.SetResponse(echo.NewResponse(a, c.Echo()))
	defer c.SetResponse(sent)

	handle()
	return a
}

// keyParam documents the header.
func keyParam() *huma.Param {
	shortest, longest := 1, idempotency.MaxKeyBytes
	return &huma.Param{
		Name: idempotency.Header, In: "header",
		Schema: &huma.Schema{Type: "string", MinLength: &shortest, MaxLength: &longest},
		Description: "Makes the request repeatable: for 24 hours, the same API key gets the first answer to it again, with " +
			"the header " + idempotency.ReplayedHeader + ", and nothing is done twice. With another path, query or body " +
			"it is refused (409); so it is after 2 s if the first is under way. What was refused as invalid, 429 and 5xx " +
			"are not stored. At most 255 bytes: draw a UUID.",
	}
}

// replayedHeader documents the header of an answer that was given before.
func replayedHeader() *huma.Header {
	return &huma.Header{
		Schema:      &huma.Schema{Type: "string", Enum: []any{"true"}},
		Description: "Present if this is the answer to an earlier request with the same " + idempotency.Header + ".",
	}
}
