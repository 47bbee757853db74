package cursor_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/cursor"
)

// A cursor is good for its list, whatever the size of the pages, and for no other.
func TestCursorBelongsToItsList(t *testing.T) {
	t.Parallel()
	query := url.Values{"type": {"a.b"}, "limit": {"5"}, "cursor": {"x"}}
	list := cursor.Of("/api/events", query, "desc")
	require.Equal(t, url.Values{"type": {"a.b"}, "limit": {"5"}, "cursor": {"x"}}, query)
	first, second := uuid.New(), uuid.New()
	text := list.Encode(first, second)

	ids, err := cursor.Of("/api/events", url.Values{"type": {"a.b"}, "order": {"desc"}}, "desc").Decode(text, 2)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{first, second}, ids)

	for _, other := range []cursor.List{
		cursor.Of("/api/events", query, "asc"), cursor.Of("/api/deliveries", query, "desc"),
		cursor.Of("/api/events", url.Values{"type": {"a"}}, "desc"), cursor.Of("/api/events", nil, "desc"),
	} {
		_, err := other.Decode(text, 2)
		require.ErrorIs(t, err, cursor.ErrOtherList)
	}
	for _, broken := range []string{"", "x", text + "\n", text[:len(text)-2], text + "AAAA"} {
		_, err := list.Decode(broken, 2)
		require.ErrorIs(t, err, cursor.ErrMalformed, broken)
	}
	_, err = list.Decode(text, 1)
	require.ErrorIs(t, err, cursor.ErrMalformed)
}

func TestPack(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{time.UnixMicro(0), time.UnixMicro(1_767_323_045_123_456), time.UnixMicro(-5)} {
		got, number := cursor.Unpack(cursor.Pack(at, 1<<31-1))
		require.True(t, at.Equal(got))
		require.EqualValues(t, 1<<31-1, number)
	}
}
