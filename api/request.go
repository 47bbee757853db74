package api

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/share"
)

// request is what is known of a request beside its HTTP: one value in its context, which the middlewares fill.
type request struct {
	id   string
	http *http.Request // as it came
	key  principal
	own  *share.Share // of the key

	inner bool // it is made for another one in this process, and is that one's key's, which has been let in already

	keyed *idempotency.Request // nil: without an Idempotency-Key
}

type requestKey struct{}

// requestOf returns what is known of the request that ctx belongs to. Outside of a request all is empty, which no route
// admits.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// checkVisible returns pgx.ErrNoRows, as for an object that does not exist, if it is a tenant's that the request's
// key is not bound to.
func checkVisible(ctx context.Context, tenantID string) error {
	if requestOf(ctx).key.sees(tenantID) {
		return nil
	}
	return pgx.ErrNoRows
}

// checkOwn refuses to make an object for a tenant that the request's key is not bound to. A tenant is a label, so this
// tells nothing.
func checkOwn(ctx context.Context, tenantID, at string) error {
	if requestOf(ctx).key.sees(tenantID) {
		return nil
	}
	return problem.New(problem.OtherTenant, "this key is bound to another tenant",
		problem.Detail{Location: at, Message: "must be the tenant that the key is bound to"})
}
