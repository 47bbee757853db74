package signature_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

// FuzzParseSecret: what is accepted has a length within the limits and one text form, and an error holds nothing of it.
func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_")
	f.Add("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := signature.ParseSecret(text)
		if err != nil {
			require.ErrorIs(t, err, signature.ErrInvalidSecret)
			return
		}
		require.GreaterOrEqual(t, len(s.Bytes()), 24)
		require.LessOrEqual(t, len(s.Bytes()), 64)
		require.NotContains(t, s.String(), text)
		again, err := signature.ParseSecret(s.Reveal())
		require.NoError(t, err)
		require.Equal(t, s.Bytes(), again.Bytes())
	})
}

// FuzzParseKeyring: any text is a keyring or an error, never a panic, and a keyring opens what it sealed.
func FuzzParseKeyring(f *testing.F) {
	f.Add(signature.NewKey())
	f.Add(signature.NewKey() + "," + signature.NewKey())
	f.Add("")
	f.Add(",")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := signature.ParseKeyring(text)
		if err != nil {
			return
		}
		id, sealed := k.Seal([]byte("a secret"), []byte("endpoint"))
		opened, err := k.Open(id, sealed, []byte("endpoint"))
		require.NoError(t, err)
		require.Equal(t, "a secret", string(opened))
	})
}
