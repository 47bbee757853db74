package egress_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

func TestCheckHeaderTakesTheEndpointsOwn(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"Authorization": "Bearer s3cret", "X-Api-Key": "", "webhook-id": "evt_1", "User-Agent": "Outhook", "X-Text": "a\tb é",
		"Idempotency-Key": "1", "Cookie": "a=b",
	} {
		require.NoError(t, egress.CheckHeader(name, value), name)
	}
}

func TestCheckHeaderRefusesWhatIsTheClientsWork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", "a b", "a:b", "a\r\nb", "é", "Host", "host", "CONTENT-LENGTH", "transfer-encoding", "Connection", "Keep-Alive", "TE",
		"Trailer", "Upgrade", "Expect", "Proxy-Connection", "Proxy-Authorization",
	} {
		err := egress.CheckHeader(name, "s3cret")
		require.ErrorIs(t, err, egress.ErrInvalidHeader, name)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for _, value := range []string{"s3cret\r\nX: y", "s3cret\n", "\x00s3cret", "s3cret\x7f"} {
		err := egress.CheckHeader("X-Api-Key", value)
		require.ErrorIs(t, err, egress.ErrInvalidHeader)
		require.ErrorContains(t, err, "X-Api-Key")
		require.NotContains(t, err.Error(), "s3cret")
	}
	err := egress.CheckHeader(strings.Repeat("x", 1000), "\n")
	require.ErrorIs(t, err, egress.ErrInvalidHeader)
	require.Less(t, len(err.Error()), 200)
}

func TestRequestWithABadHeaderDoesNotLeave(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, untilClosed)
	for name, h := range map[string]http.Header{
		"Name":       {"a b": {"x"}},
		"Value":      {"X-Api-Key": {"ok", "s3cret\r\nX: y"}},
		"Connection": {"Connection": {"s3cret"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := postRequest(t, setup(t, egress.Config{}), egress.Request{URL: receiver.url, Header: h, Body: []byte("{}")})
			require.Equal(t, egress.Blocked, res.Outcome)
			require.Contains(t, res.Error, "blocked: invalid request header")
			require.False(t, res.Sent)
			require.Zero(t, receiver.conns.Load())
		})
	}
}
