package base62_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/base62"
)

func TestDigits(t *testing.T) {
	t.Parallel()
	for size, digits := range map[int]int{16: 22, 20: 27, 32: 43} {
		require.Equal(t, digits, base62.Digits(size))
		require.Equal(t, strings.Repeat("0", digits), base62.Encode(make([]byte, size)))
		require.Len(t, base62.Encode(bytes.Repeat([]byte{0xff}, size)), digits)
	}
}

// What is written is read again, and has the order of what it was made of.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 16, 20, 32}).Draw(t, "size")
		one := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "one")
		other := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "other")
		raw, ok := base62.Decode(base62.Encode(one), size)
		require.True(t, ok)
		require.Equal(t, one, raw)
		require.Equal(t, bytes.Compare(one, other), strings.Compare(base62.Encode(one), base62.Encode(other)))
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "0", strings.Repeat("0", 21), strings.Repeat("0", 23), strings.Repeat("z", 22), "-" + strings.Repeat("0", 21),
		"+" + strings.Repeat("0", 21), strings.Repeat("0", 21) + "_", strings.Repeat("0", 21) + "é"[:1], strings.Repeat("0", 21) + "!",
	} {
		_, ok := base62.Decode(text, 16)
		require.False(t, ok, text)
	}
}
