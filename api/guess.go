package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/problem"
)

// clientBits6 is the prefix of an IPv6 client: one subscriber has at least a /64, so its addresses count together.
const clientBits6 = 64

// guesses limits how many wrong keys an address may try. A wrong key that is sent again and again is a client with an
// old key and no guess: it counts once, so that it does not shut out the others behind its address.
type guesses struct {
	buckets       *limit.Buckets[netip.Prefix]
	clientAddress func(*http.Request) netip.Addr
	logger        *slog.Logger
	proxied       bool // a proxy is trusted
	warnOfProxy   sync.Once
}

// newGuesses returns nil for no limit.
func newGuesses(cfg Config, clientAddress func(*http.Request) netip.Addr) *guesses {
	if cfg.Access.FailedLogins == 0 {
		return nil
	}
	return &guesses{
		buckets: limit.New[netip.Prefix](
			float64(cfg.Access.FailedLogins)/time.Minute.Seconds(), cfg.Access.FailedLogins),
		clientAddress: clientAddress, logger: cfg.Logger, proxied: len(cfg.Access.TrustedProxies) > 0,
	}
}

// note counts a wrong key, and refuses it if its address has tried too many.
func (g *guesses) note(ctx context.Context, r *http.Request, sum [sha256.Size]byte) error {
	if g == nil {
		return nil
	}
	if wait := g.buckets.Wait(g.client(r), time.Now()); wait > 0 {
		return problem.Later(problem.TooManyGuesses,
			"this address has tried too many API keys that are not valid: wait", limit.Seconds(wait))
	}

	if !g.proxied && r.Header.Get(echo.HeaderXForwardedFor) != "" {
		g.warnOfProxy.Do(func() {
			g.logger.WarnContext(ctx,
				"counting the failed logins of everybody behind a proxy together: set OUTHOOK_TRUSTED_PROXIES",
				slog.String("address", g.client(r).Addr().String()))
		})
	}

	g.buckets.TakeOnce(g.client(r), binary.BigEndian.Uint64(sum[:]), time.Now())
	return nil
}

// client returns the network that counts as one client.
func (g *guesses) client(r *http.Request) netip.Prefix {
	addr := g.clientAddress(r)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = clientBits6
	}

	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of a connection without addresses: they count together
	}
	return prefix
}
