package apikey_test

import (
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/apikey"
)

func TestNew(t *testing.T) {
	t.Parallel()
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	value := func(text string) *big.Int {
		n := new(big.Int)
		for _, r := range text {
			n.Add(n.Mul(n, big.NewInt(62)), big.NewInt(int64(strings.IndexRune(digits, r))))
		}
		return n
	}
	seen := map[string]bool{}
	for range 200 {
		key, hash := apikey.New()
		require.Regexp(t, `^ohk_[0-9A-Za-z]{49}$`, key)
		require.False(t, seen[key])
		seen[key] = true
		require.LessOrEqual(t, value(key[4:47]).BitLen(), 256)
		require.EqualValues(t, crc32.ChecksumIEEE([]byte(key[:47])), value(key[47:]).Uint64())
		sum := sha256.Sum256([]byte(key))
		require.Equal(t, sum[:], hash)
		require.Equal(t, hash, apikey.Hash(key))
	}
}

func TestPlausible(t *testing.T) {
	t.Parallel()
	key, _ := apikey.New()
	require.True(t, apikey.Plausible(key))
	for _, other := range []string{"", "ohk_", key + "0", key[:52], "x" + key[1:], key[:20] + "!" + key[21:], strings.ToUpper(key)} {
		require.False(t, apikey.Plausible(other), other)
	}
}
