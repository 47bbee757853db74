package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/problem"
)

const (
	// maxURLBytes is 4 times what the longest query that means something takes.
	maxURLBytes = 8 << 10

	// Prefixes of an IPv6 client: one subscriber has at least a /64, so its addresses count together.
	clientBits6 = 64
)

// admit refuses what is too much before anything is done for it. The health checks are answered always: a process
// that is busy is alive.
func (s *Server) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isHealth(c.Path()) {
			return next(c)
		}
		if len(c.Request().RequestURI) > maxURLBytes {
			return problem.New(http.StatusRequestURITooLong, fmt.Sprintf("the URL is longer than %d bytes", maxURLBytes))
		}

		defer s.active.Add(-1)
		if s.active.Add(1) > int64(s.cfg.MaxRequests) {
			return problem.Unavailable("the server serves as many requests as it can: repeat the request", 1)
		}

		return next(c)
	}
}

// guesses limits how many wrong keys an address may try. A wrong key that is sent again and again is a client with an
// old key and no guess: it counts once, so that it does not shut out the others behind its address.
type guesses struct {
	buckets *limit.Buckets[netip.Prefix]
	server  *Server
}

// newGuesses returns nil for no limit.
func newGuesses(s *Server) *guesses {
	if s.cfg.FailedLogins < 0 {
		return nil
	}
	perMinute := s.cfg.FailedLogins
	return &guesses{limit.New[netip.Prefix](float64(perMinute)/time.Minute.Seconds(), perMinute), s}
}

// check refuses a request of an address that has tried too many keys. It must not matter whether this key is right, or
// trying would not be limited.
func (g *guesses) check(r *http.Request) error {
	if g == nil || g.buckets.Len() == 0 {
		return nil
	}

	wait := g.buckets.Wait(g.client(r), time.Now())
	if wait == 0 {
		return nil
	}
	return problem.TooMany("this address has tried too many API keys that are not valid: wait", limit.Seconds(wait))
}

// note counts a wrong key.
func (g *guesses) note(ctx context.Context, r *http.Request, sum [sha256.Size]byte) {
	if g == nil {
		return
	}

	if len(g.server.cfg.TrustedProxies) == 0 && r.Header.Get(echo.HeaderXForwardedFor) != "" {
		g.server.warnOfProxy.Do(func() {
			g.server.cfg.Logger.WarnContext(ctx,
				"counting the failed logins of everybody behind a proxy together: set OUTHOOK_TRUSTED_PROXIES",
				slog.String("address", g.client(r).Addr().String()))
		})
	}

	g.buckets.TakeOnce(g.client(r), binary.BigEndian.Uint64(sum[:]), time.Now())
}

// client returns the network that counts as one client.
func (g *guesses) client(r *http.Request) netip.Prefix {
	addr := g.server.clientAddress(r)
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

// checkRate refuses a request of a key that has sent too many.
func (s *Server) checkRate(id uuid.UUID) error {
	if s.rates == nil {
		return nil
	}
	if wait := s.rates.Take(id, time.Now()); wait > 0 {
		text := fmt.Sprintf("this key may send %g requests a second: repeat the request later", s.cfg.RateLimit)
		return problem.TooMany(text, limit.Seconds(wait))
	}
	return nil
}
