package bench_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/bench"
)

// The receiver speaks HTTP by hand: what Go's own client sends and reads is the test of that.
func TestReceiverSpeaksHTTP(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bench.NewReceiver(8, 1).Serve(ctx, l) }()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	do := func(method, path, id string, body io.Reader) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, body)
		require.NoError(t, err)
		req.Header.Set("Webhook-Id", id)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(answer)
	}
	id, sent := uuid.NewString(), `{"sent":1700000000000000000,"text":"`+strings.Repeat("x", 100_000)+`"}`
	status, _ := do(http.MethodPost, "/0", id, strings.NewReader(sent))
	require.Equal(t, http.StatusInternalServerError, status, "the first of each delivery, as told")
	status, answer := do(http.MethodPost, "/0", id, struct{ io.Reader }{strings.NewReader(sent)}) // chunked
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "yyyyyyyy", answer)
	status, _ = do(http.MethodPost, "/0", "no id", strings.NewReader(sent))
	require.Equal(t, http.StatusBadRequest, status)
	status, answer = do(http.MethodGet, "/count", "", nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, answer, `"count":1,"refused":1`)
	_, answer = do(http.MethodGet, "/ids", "", nil)
	require.Len(t, answer, 24)
	require.Equal(t, uuid.MustParse(id), uuid.UUID([]byte(answer[:16])))
	status, _ = do(http.MethodGet, "/elsewhere", "", nil)
	require.Equal(t, http.StatusNotFound, status)

	stop()
	require.NoError(t, <-ended, "the open connections end with it")
}
