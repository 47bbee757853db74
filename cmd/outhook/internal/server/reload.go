package server

import (
	"context"
	"log/slog"

	"github.com/outhook/outhook/internal/signature"
)

// Reload makes other keys hold without a restart: keyring's in place of those of Config.Keyring, and apiKey in place of
// Config.API.Access.APIKey. Call it after Run has called ready. Requests and runs that are under way end with the keys
// that they began with.
//
// Returns an error, and changes nothing, for keys that the process would not start with.
func (s *Server) Reload(ctx context.Context, keyring *signature.Keyring, apiKey string) error {
	if err := s.checkAPIKeys(ctx, s.pool, apiKey); err != nil {
		return err
	}

	if err := checkKeyring(ctx, s.pool, keyring); err != nil {
		return err
	}

	s.cfg.Keyring.Replace(keyring)
	if s.api != nil {
		s.api.SetBootstrapKey(apiKey)
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "reloaded", slog.Any("encryption_key_ids", keyring.KeyIDs()))
	return nil
}
