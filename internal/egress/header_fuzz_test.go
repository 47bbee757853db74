package egress_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// FuzzCheckHeader: a header that is accepted arrives as it is (but for white space around it), alone, and changes
// nothing of the request beside it. The oracle is net/http on both ends of the wire.
func FuzzCheckHeader(f *testing.F) {
	for _, h := range [][2]string{
		{"X-Api-Key", "s3cret"},
		{"x-a", ""},
		{"X", "a\tb é"},
		{"X", "a\r\nHost: b"},
		{"Host", "b"},
		{"Content-Length", "0"},
		{"Transfer-Encoding", "chunked"},
		{"a b", "c"},
		{"X", "\x00"},
		{"X", "\xff"},
		{"te", "trailers"},
		{"User-Agent", "a"},
		{"Cookie", "a=b"},
	} {
		f.Add(h[0], h[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if err := egress.CheckHeader(name, value); err != nil {
			require.ErrorIs(t, err, egress.ErrInvalidHeader)
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com/hook", strings.NewReader(`{"a":1}`))
		require.NoError(t, err)
		req.Header.Set(name, value)
		var wire bytes.Buffer
		require.NoError(t, req.Write(&wire))
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		require.NoError(t, err)
		require.Equal(t, "example.com", got.Host)
		require.EqualValues(t, 7, got.ContentLength)
		canonical := http.CanonicalHeaderKey(name)
		if canonical == "User-Agent" && value == "" {
			return // net/http takes an empty one for the wish to send none
		}
		require.Equal(t, []string{strings.Trim(value, " \t")}, got.Header[canonical])
		for other := range got.Header {
			require.Contains(t, []string{canonical, "User-Agent", "Content-Length"}, other)
		}
	})
}
