package signature_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

func parseKeyring(t testing.TB, keys ...string) *signature.Keyring {
	t.Helper()
	k, err := signature.ParseKeyring(strings.Join(keys, ","))
	require.NoError(t, err)
	return k
}

func TestKeyringOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	k := parseKeyring(t, signature.NewKey())
	for _, plaintext := range []string{"", "x", strings.Repeat("secret", 100)} {
		id, sealed := k.Seal([]byte(plaintext), []byte("row 1"))
		require.Len(t, sealed, 12+len(plaintext)+16)
		got, err := k.Open(id, sealed, []byte("row 1"))
		require.NoError(t, err)
		require.Equal(t, plaintext, string(got))
	}
}

// The stored form must stay readable by any AES-GCM implementation: the nonce, the ciphertext, the tag.
func TestSealedFormIsPlainGCMBehindItsNonce(t *testing.T) {
	t.Parallel()
	encoded := signature.NewKey()
	id, sealed := parseKeyring(t, encoded).Seal([]byte("secret"), []byte("row 1"))

	key, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(key))[:8], id)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plaintext, err := gcm.Open(nil, sealed[:12], sealed[12:], []byte("row 1"))
	require.NoError(t, err)
	require.Equal(t, "secret", string(plaintext))
}

func TestSealNeverRepeatsANonce(t *testing.T) {
	t.Parallel()
	k := parseKeyring(t, signature.NewKey())
	seen := map[string]bool{}
	for range 1000 {
		_, sealed := k.Seal([]byte("same"), nil)
		seen[string(sealed[:12])] = true
	}
	require.Len(t, seen, 1000)
}

func TestKeyRotationKeepsOldSecretsReadable(t *testing.T) {
	t.Parallel()
	older, newer := signature.NewKey(), signature.NewKey()
	oldID, sealed := parseKeyring(t, older).Seal([]byte("secret"), nil)

	rotated := parseKeyring(t, newer, " "+older+" ")
	got, err := rotated.Open(oldID, sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "secret", string(got))

	newID, resealed := rotated.Seal([]byte("secret"), nil)
	require.NotEqual(t, oldID, newID, "the first key encrypts")
	_, err = parseKeyring(t, newer).Open(newID, resealed, nil)
	require.NoError(t, err)
	_, err = parseKeyring(t, newer).Open(oldID, sealed, nil)
	require.ErrorIs(t, err, signature.ErrUnknownKey)
	require.ErrorContains(t, err, oldID)
}

func TestOpenNoticesTampering(t *testing.T) {
	t.Parallel()
	first, second := signature.NewKey(), signature.NewKey()
	k := parseKeyring(t, first, second)
	id, sealed := k.Seal([]byte("secret"), []byte("row 1"))
	otherID, _ := parseKeyring(t, second).Seal(nil, nil)

	for bit := range len(sealed) * 8 {
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		_, err := k.Open(id, flipped, []byte("row 1"))
		require.ErrorIs(t, err, signature.ErrDecrypt, "bit %d", bit)
	}
	for n := range sealed {
		_, err := k.Open(id, sealed[:n], []byte("row 1"))
		require.ErrorIs(t, err, signature.ErrDecrypt, "cut to %d bytes", n)
	}
	for _, associated := range []string{"", "row 2", "row 1 "} {
		_, err := k.Open(id, sealed, []byte(associated))
		require.ErrorIs(t, err, signature.ErrDecrypt)
	}
	_, err := k.Open(otherID, sealed, []byte("row 1"))
	require.ErrorIs(t, err, signature.ErrDecrypt)
}

func TestParseKeyringNamesTheBadKeyByPositionOnly(t *testing.T) {
	t.Parallel()
	good := signature.NewKey()
	short := base64.StdEncoding.EncodeToString([]byte("only-sixteen-byt"))
	for name, c := range map[string]struct{ text, position string }{
		"Empty":         {"", "key 1: "},
		"Words":         {"a-password-of-somebody", "key 1: "},
		"16Bytes":       {short, "key 1: "},
		"SecondIsBad":   {good + ",another-password", "key 2: "},
		"TrailingComma": {good + ",", "key 2: "},
		"Repeated":      {good + "," + good, "key 2: "},
		"NoPadding":     {strings.TrimRight(good, "="), "key 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := signature.ParseKeyring(c.text)
			require.ErrorIs(t, err, signature.ErrInvalidKeyring)
			require.ErrorContains(t, err, "openssl rand -base64 32")
			require.True(t, strings.HasPrefix(err.Error(), c.position), err.Error())
			for item := range strings.SplitSeq(c.text, ",") {
				require.False(t, item != "" && strings.Contains(err.Error(), item), "the input is repeated")
			}
		})
	}
}

func TestKeyringNeverPrints(t *testing.T) {
	t.Parallel()
	raw := []byte("correct-horse-battery-staple-123")
	k := parseKeyring(t, base64.StdEncoding.EncodeToString(raw))
	for _, value := range []any{k, *k, struct{ K *signature.Keyring }{k}, struct{ k signature.Keyring }{*k}} {
		for form, text := range printed(t, value) {
			requireNoTrace(t, raw, text, form)
		}
	}
	require.Equal(t, "[redacted]", fmt.Sprintf("%+v", k))
}

func TestNewKeysAreDifferent(t *testing.T) {
	t.Parallel()
	first, second := signature.NewKey(), signature.NewKey()
	require.NotEqual(t, first, second)
}
