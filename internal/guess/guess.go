// Package guess limits how many wrong keys an address may try; begin with [New].
package guess

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/limit"
	"github.com/outhook/outhook/internal/problem"
)

// clientBits6 is the prefix of an IPv6 client: one subscriber has at least a /64, so its addresses count together.
const clientBits6 = 64

// Config is what guesses are limited by.
type Config struct {
	// PerMinute is how many wrong keys an address may try in a minute. 0: it is not limited.
	PerMinute int

	// Address returns whose request it is.
	Address func(*http.Request) netip.Addr

	// Proxied tells whether a proxy is trusted: Address knows who is behind it.
	Proxied bool

	Logger *slog.Logger
}

// Guesses limits how many wrong keys an address may try. A wrong key that is sent again and again is a client with an
// old key and no guess: it counts once, so that it does not shut out the others behind its address. A nil one limits
// nobody.
type Guesses struct {
	cfg         Config
	buckets     *limit.Buckets[netip.Prefix]
	warnOfProxy sync.Once
}

// New returns nil for no limit.
func New(cfg Config) *Guesses {
	if cfg.PerMinute == 0 {
		return nil
	}
	buckets := limit.New[netip.Prefix](float64(cfg.PerMinute)/time.Minute.Seconds(), cfg.PerMinute)
	return &Guesses{cfg: cfg, buckets: buckets}
}

// Note counts a wrong key, and refuses it if its address has tried too many.
func (g *Guesses) Note(ctx context.Context, r *http.Request, sum [sha256.Size]byte) error {
	if g == nil {
		return nil
	}
	if wait := g.buckets.Wait(g.client(r), time.Now()); wait > 0 {
		return problem.Later(problem.TooManyGuesses,
			"this address has tried too many API keys that are not valid: wait", limit.Seconds(wait))
	}

	if !g.cfg.Proxied && r.Header.Get("X-Forwarded-For") != "" {
		g.warnOfProxy.Do(func() {
			g.cfg.Logger.WarnContext(ctx,
				"counting the failed logins of everybody behind a proxy together: set OUTHOOK_TRUSTED_PROXIES",
				slog.String("address", g.client(r).Addr().String()))
		})
	}

	g.buckets.TakeOnce(g.client(r), binary.BigEndian.Uint64(sum[:]), time.Now())
	return nil
}

// client returns the network that counts as one client.
func (g *Guesses) client(r *http.Request) netip.Prefix {
	addr := g.cfg.Address(r)
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
