package egress

import (
	"context"
	"net"
)

// requestKey is the key under which a request's context holds itself.
type requestKey struct{}

// withRequest lets a dial find the context of the request that caused it: net/http hands a dial the values of that
// context, and not its end, since another request could use the connection.
func withRequest(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestKey{}, ctx)
}

// dialContext ends a look-up or a connect with the request that caused it, so that a host that never answers holds a
// goroutine and a file descriptor no longer than the request's timeout.
func dialContext(dialer *net.Dialer, g guard) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx = g.judge(ctx, address)
		request, found := ctx.Value(requestKey{}).(context.Context)
		if !found {
			return dialer.DialContext(ctx, network, address)
		}

		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(request, cancel)() //nolint:contextcheck // the request ends the dial
		return dialer.DialContext(ctx, network, address)
	}
}
