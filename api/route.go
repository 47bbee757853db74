package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

// route is an operation and what huma does not know of it.
type route struct {
	huma.Operation
	errors    codes            // of its own problems; those of all routes are known
	access    access           // whose keys are admitted; admins' if nothing is said
	portal    grant.Capability // what a session of the portal must have; "": none is admitted
	timeout   time.Duration    // of the handler
	body      reflect.Type     // the document's schema of the body; nil: no body
	limit     int64            // of the body in bytes
	optional  bool             // the body may be absent
	costly    bool             // it counts, or looks through the log
	patient   bool             // it waits for something else than the database, and takes no slot there
	ownKeys   bool             // a POST for whose handler Idempotency-Key is something of its own, or that changes nothing
	putKeys   bool             // a PUT that takes an Idempotency-Key, for one that is to make something and nothing else
	isolation pgx.TxIsoLevel   // of the transaction of an Idempotency-Key
	answer    reflect.Type     // the document's schema of the answer, if the handler writes bytes
}

// all returns what a route may answer with.
func (r *route) all() codes {
	all := append(slices.Clone(r.errors),
		problem.InvalidKey, problem.ScopeInsufficient, problem.OtherTenant, problem.URLTooLong, problem.InvalidRequest,
		problem.RateLimited, problem.TooManyGuesses, problem.TooManyRequests, problem.InternalError, problem.ServerBusy,
		problem.DatabaseUnavailable, problem.DatabaseTimeout, problem.LoopDetected)
	if r.body != nil {
		all = append(all, problem.InvalidBody, problem.BodyIncomplete, problem.BodyTooSlow, problem.BodyTooLarge,
			problem.UnsupportedMediaType)
	}
	if r.keyed() {
		all = append(all, problem.IdempotencyConflict, problem.IdempotencyKeyInUse, problem.AnswerTooLarge)
	}
	return all
}

// keyed tells whether the route's requests may have an Idempotency-Key.
func (r *route) keyed() bool { return r.putKeys || r.Method == http.MethodPost && !r.ownKeys }

// register adds an operation. A key that is not admitted is refused before anything of the request is read. The
// handler's context ends with the operation's timeout, and its error is answered as the table in problemOf says.
func register[I, O any](s *Server, r route, handle func(context.Context, *I) (*O, error)) {
	op := r.Operation
	op.Security = []map[string][]string{{securityScheme: scopeNames(r.access)}}
	all := r.all()
	op.Middlewares = huma.Middlewares{authorize(&r), checkQuery}

	if r.body != nil {
		op.Middlewares = append(op.Middlewares, s.withBody(r.limit, r.optional))
	}
	if r.keyed() {
		op.Parameters = append(op.Parameters, keyParam())
		op.Middlewares = append(op.Middlewares, s.idempotent(r.timeout, r.isolation))
	}

	if r.portal != "" {
		op.Extensions = map[string]any{"x-portal-capability": string(r.portal)}
	}
	op.Errors = all.statuses()
	op.Metadata = map[string]any{
		metaBody: r.body, metaOptional: r.optional, metaOK: r.answer, metaCodes: all, metaKeyed: r.keyed(),
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		out, err := inSlot(ctx, r, func() (*O, error) { return handle(ctx, in) })
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// inSlot calls a handler in one of its holder's slots. Publishing has turns of its own (package ingest), and the
// transaction of an Idempotency-Key has a slot already.
func inSlot[O any](ctx context.Context, r route, handle func() (*O, error)) (*O, error) {
	if k := requestOf(ctx).keyed; r.access == publishAccess || r.patient || k != nil && k.Open() {
		return handle()
	}

	free, err := requestOf(ctx).own.Take(ctx, r.costly)
	if err != nil {
		return nil, err
	}
	defer free()
	return handle()
}

// authorize is the middleware that admits the keys of a route.
func authorize(r *route) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		c := humaecho.Unwrap(hc)
		key := requestOf(c.Request().Context()).key
		switch {
		case key.mayCall(r.access, r.portal):
			next(hc)
		case key.kind == kindPortal:
			c.Error(errIncapable(r.portal))
		default:
			c.Error(errForbidden(r.access))
		}
	}
}

// checkQuery is the middleware that refuses what would be dropped in silence: a list whose filter is given twice
// would show more than was asked for. Parameters that an operation does not have are refused elsewhere.
func checkQuery(hc huma.Context, next func(huma.Context)) {
	c := humaecho.Unwrap(hc)
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	var faults problem.Faults
	if err != nil {
		faults.Add("query", "can't be read: write what is not a letter or digit as %XX")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			faults.Add("query."+name, "is given more than once")
		}
	}

	if err := faults.Problem(problem.InvalidRequest); err != nil {
		c.Error(err)
		return
	}
	next(hc)
}
