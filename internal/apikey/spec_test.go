package apikey_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/apikey"
)

func TestSpec(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	past, late := now.Add(-time.Second), now.AddDate(8000, 0, 0)

	t.Run("Valid", func(t *testing.T) {
		t.Parallel()
		later := now.Add(time.Hour)
		for _, k := range []apikey.Spec{
			{Name: "ci", Scope: "admin"},
			{Name: "ci", Scope: "read"},
			{Name: "ci", Scope: "publish", TenantID: "acme"},
			{Name: strings.Repeat("x", 255), Scope: "tenant", TenantID: "acme", ExpiresAt: &later},
		} {
			field, fault := k.Validate(now)
			require.Empty(t, field+fault)
		}
	})

	t.Run("Invalid", func(t *testing.T) {
		t.Parallel()
		for want, list := range map[string][]apikey.Spec{
			"scope":      {{Name: "ci"}, {Name: "ci", Scope: "root"}},
			"name":       {{Scope: "admin"}, {Name: " ", Scope: "admin"}, {Name: "a\n", Scope: "admin"}, {Name: strings.Repeat("x", 256), Scope: "admin"}},
			"tenant_id":  {{Name: "ci", Scope: "tenant"}, {Name: "ci", Scope: "admin", TenantID: "a"}, {Name: "ci", Scope: "read", TenantID: "outhook.operator"}},
			"expires_at": {{Name: "ci", Scope: "read", ExpiresAt: &past}, {Name: "ci", Scope: "read", ExpiresAt: &late}},
		} {
			for _, k := range list {
				field, fault := k.Validate(now)
				require.Equal(t, want, field, "%+v", k)
				require.NotEmpty(t, fault)
			}
		}
	})

	t.Run("IsStored", func(t *testing.T) {
		t.Parallel()
		k := apikey.Spec{Name: "ci", Scope: "read"}
		require.Equal(t, db.InsertAPIKeyParams{Name: "ci", KeyHash: []byte{1}, Scope: db.KeyScopeRead}, k.Params([]byte{1}))
		require.Equal(t, map[string]any{"name": "ci", "scope": "read"}, k.Detail())
		k.TenantID, k.ExpiresAt = "acme", &now
		require.Equal(t, "acme", *k.Params(nil).TenantID)
		require.Equal(t, now, k.Detail()["expires_at"])
	})
}
