package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/guess"
	"github.com/outhook/outhook/internal/problem"
)

// authenticate lets requests for the API and River UI pass only with a key, of which it leaves the principal in the
// request's context. Whether a path below /api exists is told to nobody else. What the key may do there is the route's
// matter; River UI shows every tenant's jobs, so it is for admins.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		var key, challenge string
		ui := isUI(c.Path())
		switch r := c.Request(); {
		case ui:
			if _, key, _ = r.BasicAuth(); key == "" {
				key = sessionKey(r)
			}
			challenge = `Basic realm="Outhook: any user, an API key as password", charset="UTF-8"`
		case isAPI(c):
			key, challenge = bearer(r.Header), `Bearer realm="outhook"`
		default:
			return next(c)
		}

		ctx := c.Request().Context()
		if requestOf(ctx).inner && !ui {
			return next(c)
		}
		found, err := s.login(ctx, key)
		if err != nil {
			return err
		}

		if found.scope == "" {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
			return problem.New(problem.InvalidKey, "give a valid API key: Authorization: Bearer <key>")
		}
		if err := s.checkRate(found.id); err != nil {
			return err
		}

		own, leave, err := s.shares.Enter(found.holder())
		if err != nil {
			return err
		}
		defer leave()

		r := requestOf(ctx)
		r.key, r.own = found, own
		if ui && !found.may(adminAccess) {
			return errForbidden(adminAccess)
		}
		return next(c)
	}
}

// newGuesses returns what limits how many wrong keys an address may try.
func newGuesses(cfg Config, address func(*http.Request) netip.Addr) *guess.Guesses {
	return guess.New(guess.Config{
		PerMinute: cfg.Access.FailedLogins, Address: address, Proxied: len(cfg.Access.TrustedProxies) > 0, Logger: cfg.Logger,
	})
}

// bearer returns the key of a header "Authorization: Bearer <key>", or "". The scheme's case has no meaning (RFC 9110,
// section 11.1).
func bearer(h http.Header) string {
	scheme, key, _ := strings.Cut(h.Get(echo.HeaderAuthorization), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// login returns the principal of a key, the zero value for none and for a wrong one, which counts as a guess. A right
// key always passes: others with wrong ones may be behind the same address. Nobody finds one by trying: they have 256
// bits, and the bootstrap key has 16 characters at least.
func (s *Server) login(ctx context.Context, key string) (principal, error) {
	if key == "" {
		return principal{}, nil
	}

	sum := sha256.Sum256([]byte(key))
	found, err := s.findKey(ctx, key, sum)
	if err == nil && found.seal != nil {
		found = s.unseal(key, found)
	}
	if err != nil || found.scope != "" {
		found.hash = sum
		return found, err
	}
	return principal{}, s.guesses.Note(ctx, requestOf(ctx).http, sum)
}

// findKey returns the principal of a key that is valid at this moment, else the zero value. Comparing hashes in
// constant time tells nothing of the bootstrap key. Of the others the database's index compares hashes: how long that
// takes can tell of a hash, which nobody can choose a key for.
func (s *Server) findKey(ctx context.Context, key string, sum [sha256.Size]byte) (principal, error) {
	if own := s.bootstrap.Load(); own != nil && subtle.ConstantTimeCompare(sum[:], own[:]) == 1 {
		return principal{name: bootstrapName, scope: db.KeyScopeAdmin, kind: kindKey}, nil
	}
	if !apikey.Plausible(key) {
		return principal{}, nil
	}

	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Query)
	defer cancel()
	found, err := s.keys.Do(ctx, sum)
	if err != nil {
		return principal{}, fmt.Errorf("looking up an API key: %w", err)
	}
	return found, nil
}

// newPrincipal returns the principal of a row. What a session does is done with the key that it was made with: that is
// who has the limits, and whom the audit trail names.
func newPrincipal(row db.UseAPIKeysRow) principal {
	p := principal{
		id: row.ID, name: row.Name, scope: row.Scope, expiresAt: row.ExpiresAt, kind: row.Kind, seal: row.ParentSeal,
	}
	if row.TenantID != nil {
		p.tenantID = *row.TenantID
	}

	switch row.Kind {
	case kindKey:
	case kindPortal, kindPortalCode:
		// It is the customer's browser, who has limits of its own.
		p.session, p.portal = row.ID, &grant.Grant{}
		if err := json.Unmarshal(row.Portal, p.portal); err != nil {
			return principal{}
		}
	default:
		p.id, p.session = uuid.Nil, row.ID
		if row.ParentID != nil {
			p.id = *row.ParentID
		}
	}
	return p
}

func hashSize([sha256.Size]byte) int { return sha256.Size }

// findKeys looks up the keys of the requests that arrive at the same time in one query. Nothing is remembered, so
// that a revoked key stops working at once.
func (s *Server) findKeys(ctx context.Context, sums [][sha256.Size]byte) ([]principal, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Query)
	defer cancel()

	hashes := make([][]byte, len(sums))
	for i := range sums {
		hashes[i] = sums[i][:]
	}
	rows, err := db.New().UseAPIKeys(ctx, s.storePool, hashes)
	if err != nil {
		return nil, fmt.Errorf("querying API keys: %w", err)
	}

	live := make(map[string]principal, len(rows))
	for _, row := range rows {
		live[string(row.KeyHash)] = newPrincipal(row)
	}

	found := make([]principal, len(sums))
	for i, hash := range hashes {
		found[i] = live[string(hash)]
	}
	return found, nil
}
