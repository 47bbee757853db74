package signature_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

func TestHeadersAreSealedToTheirOwnerAndName(t *testing.T) {
	t.Parallel()
	old, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	headers := map[string]string{"Authorization": "Bearer s3cret", "x-token": "s3cret-2"}
	stored, err := old.SealHeaders(headers, []byte("endpoint-1"))
	require.NoError(t, err)
	require.NotContains(t, string(stored), "s3cret")
	got, err := old.OpenHeaders(stored, []byte("endpoint-1"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"authorization": "Bearer s3cret", "x-token": "s3cret-2"}, got)
	keys, names, err := signature.HeaderKeys(stored)
	require.NoError(t, err)
	require.Equal(t, []string{old.KeyID()}, keys)
	require.Equal(t, []string{"authorization", "x-token"}, names)

	_, err = old.OpenHeaders(stored, []byte("endpoint-2"))
	require.ErrorIs(t, err, signature.ErrDecrypt)
	moved := strings.Replace(string(stored), `"x-token"`, `"x-other"`, 1)
	_, err = old.OpenHeaders(json.RawMessage(moved), []byte("endpoint-1"))
	require.ErrorIs(t, err, signature.ErrDecrypt)
	stranger, err := signature.ParseKeyring(signature.NewKey())
	require.NoError(t, err)
	_, err = stranger.OpenHeaders(stored, []byte("endpoint-1"))
	require.ErrorIs(t, err, signature.ErrUnknownKey)

	none, err := old.SealHeaders(nil, []byte("endpoint-1"))
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(none))
}
