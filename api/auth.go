package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/db"
)

// authenticate lets requests for the API and River UI pass only with a key. Whether a path below /api exists is told to
// nobody else.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		var key, challenge string
		switch r := c.Request(); {
		case isUI(c.Path()):
			_, key, _ = r.BasicAuth()
			challenge = `Basic realm="Outhook: any user, an API key as password", charset="UTF-8"`
		case isAPI(c):
			key, challenge = bearer(r.Header), `Bearer realm="outhook"`
		default:
			return next(c)
		}
		valid, err := s.isKey(c.Request().Context(), key)
		if err != nil {
			return err
		}
		if !valid {
			c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
			return newProblem(http.StatusUnauthorized, "give a valid API key: Authorization: Bearer <key>")
		}
		return next(c)
	}
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

// isKey tells whether a key is valid at this moment. Comparing hashes in constant time tells nothing of the key.
func (s *Server) isKey(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	sum := sha256.Sum256([]byte(key))
	if s.bootstrap != nil && subtle.ConstantTimeCompare(sum[:], s.bootstrap[:]) == 1 {
		return true, nil
	}
	if !plausibleKey(key) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	valid, err := s.keys.Do(ctx, sum)
	if err != nil {
		return false, fmt.Errorf("looking up an API key: %w", err)
	}
	return valid, nil
}

func hashSize([sha256.Size]byte) int { return sha256.Size }

// findKeys looks up the keys of the requests that arrive at the same time in one query. Nothing is remembered, so that a
// revoked key stops working at once.
func (s *Server) findKeys(ctx context.Context, sums [][sha256.Size]byte) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	hashes := make([][]byte, len(sums))
	for i := range sums {
		hashes[i] = sums[i][:]
	}
	found, err := db.New().UseAPIKeys(ctx, s.cfg.Pool, hashes)
	if err != nil {
		return nil, fmt.Errorf("querying API keys: %w", err)
	}
	live := make(map[string]bool, len(found))
	for _, hash := range found {
		live[string(hash)] = true
	}
	valid := make([]bool, len(sums))
	for i, hash := range hashes {
		valid[i] = live[string(hash)]
	}
	return valid, nil
}
