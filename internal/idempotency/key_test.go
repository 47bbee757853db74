package idempotency_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
)

func TestKey(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"k", " ", `"8e03978e-40d5-43e8-bc93-6894a57f9324"`, "é", "e\u0301", "a,b", "\u00a0", "😀",
		strings.Repeat("x", idempotency.MaxKeyBytes), strings.Repeat("é", 127),
	} {
		key, err := idempotency.Key(http.Header{idempotency.Header: {good}})
		require.NoError(t, err, "%q", good)
		require.Equal(t, good, key)
	}

	for _, c := range []struct {
		values  []string
		message string
	}{
		{[]string{""}, "is empty"},
		{[]string{"a", "a"}, "more than once"},
		{[]string{strings.Repeat("x", idempotency.MaxKeyBytes+1)}, "longer than 255 bytes"},
		{[]string{strings.Repeat("é", 128)}, "longer than 255 bytes"},
		{[]string{"a\x00"}, "without control characters"},
		{[]string{"a\tb"}, "without control characters"},
		{[]string{"a\x7f"}, "without control characters"},
		{[]string{"a\xff"}, "must be UTF-8"},
		{[]string{"\xe9"}, "must be UTF-8"},
	} {
		key, err := idempotency.Key(http.Header{idempotency.Header: c.values})
		require.Empty(t, key)
		var p *problem.Error
		require.ErrorAs(t, err, &p)
		require.Equal(t, 422, p.Status)
		require.Equal(t, "header."+idempotency.Header, p.Errors[0].Location)
		require.Contains(t, p.Errors[0].Message, c.message)
	}

	key, err := idempotency.Key(http.Header{})
	require.NoError(t, err)
	require.Empty(t, key)
}
