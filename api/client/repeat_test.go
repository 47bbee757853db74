package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// network answers requests in the place of one, so that time can be the test's. What a server makes of repeated
// requests is tested with a real one: in api and cmd/outhook.
type network struct {
	replies []reply // to each request in turn; the last also to all that follow
	sent    []time.Time
	keys    []string
}

// reply is an answer, or (0) none: at once, or never.
type reply struct {
	status           int
	code, retryAfter string
	never            bool
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	p := n.replies[min(len(n.sent), len(n.replies)-1)]
	n.sent, n.keys = append(n.sent, time.Now()), append(n.keys, r.Header.Get("Idempotency-Key"))
	if p.never {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if p.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}

	h, body := http.Header{}, "{}"
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	if p.status >= 300 {
		body = fmt.Sprintf(`{"code":%q,"status":%d,"detail":"no"}`, p.code, p.status)
	}
	return &http.Response{StatusCode: p.status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (n *network) client(t *testing.T, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New("https://example.com", "k",
		append([]client.Option{client.WithHTTPClient(&http.Client{Transport: n})}, options...)...)
	require.NoError(t, err)
	return c
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	ok, cut, never := reply{status: 200}, reply{}, reply{never: true}
	for name, tc := range map[string]struct {
		first reply
		sent  int
		waits time.Duration // at least; at most a second more
	}{
		"nothing":              {ok, 1, 0},
		"a cut connection":     {cut, 2, 100 * time.Millisecond},
		"no answer":            {never, 2, 45 * time.Second},
		"a gateway's trouble":  {reply{502, "", "", false}, 2, 100 * time.Millisecond},
		"no database":          {reply{503, "database_unavailable", "5", false}, 2, 5 * time.Second},
		"a proxy's wait":       {reply{503, "", "2", false}, 2, 2 * time.Second},
		"a rate":               {reply{429, "rate_limited", "1", false}, 2, time.Second},
		"a twin":               {reply{409, "idempotency_key_in_use", "1", false}, 2, time.Second},
		"too long a wait":      {reply{429, "too_many_operations", "10", false}, 1, 0},
		"too much":             {reply{503, "database_timeout", "5", false}, 1, 0},
		"a state":              {reply{409, "endpoint_gone", "", false}, 1, 0},
		"a fault":              {reply{500, "internal_error", "", false}, 1, 0},
		"a test without hope":  {reply{504, "test_timeout", "", false}, 1, 0},
		"an invalid request":   {reply{422, "invalid_request", "", false}, 1, 0},
		"what has not changed": {reply{304, "", "", false}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &network{replies: []reply{tc.first, ok}}
				began := time.Now()
				_, err := n.client(t).CreateEndpoint(t.Context(), client.NewEndpoint{}, client.CreateEndpointParams{})
				require.Len(t, n.sent, tc.sent)
				require.Equal(t, tc.sent == 1 && name != "nothing", err != nil, "%v", err)
				require.GreaterOrEqual(t, time.Since(began), tc.waits)
				require.Less(t, time.Since(began), tc.waits+time.Second)
				require.NotEmpty(t, n.keys[0])
				require.Equal(t, n.keys[0], n.keys[len(n.keys)-1], "it is the same request")
			})
		})
	}
}

func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	get := func(ctx context.Context, c *client.Client, options ...client.CallOption) error {
		_, err := c.GetStats(ctx, client.GetStatsParams{}, options...)
		return err
	}

	t.Run("InNumber", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := &network{replies: []reply{{}}}
			var none *client.NoAnswerError
			require.ErrorAs(t, get(t.Context(), n.client(t)), &none)
			require.Equal(t, "no answer from https://example.com: unexpected EOF", none.Error())
			require.Len(t, n.sent, 1+client.DefaultRepeats)
			for i, pause := range []time.Duration{100, 200, 400} {
				require.GreaterOrEqual(t, n.sent[i+1].Sub(n.sent[i]), pause*time.Millisecond)
				require.Less(t, n.sent[i+1].Sub(n.sent[i]), 2*pause*time.Millisecond)
			}

			n.sent = nil
			require.Error(t, get(t.Context(), n.client(t, client.WithRepeats(20))))
			// The longest eight pauses take 51 s, the shortest nine 51.1 and the shortest ten 102.
			require.Contains(t, []int{9, 10}, len(n.sent), "the pause before one more would outlast the minute")
			require.Less(t, n.sent[len(n.sent)-1].Sub(n.sent[0]), client.DefaultTimeout)
			n.sent = nil
			require.Error(t, get(t.Context(), n.client(t, client.WithRepeats(0))))
			require.Error(t, get(t.Context(), n.client(t), client.Once()))
			require.Len(t, n.sent, 2)
		})
	})

	t.Run("InTime", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := &network{replies: []reply{{never: true}}}
			for _, tc := range []struct {
				limit time.Duration
				sent  int
			}{{client.DefaultTimeout, 2}, {time.Second, 1}, {5 * time.Minute, 4}} {
				n.sent = nil
				began := time.Now()
				err := get(t.Context(), n.client(t, client.WithTimeout(tc.limit)))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "none came within "+tc.limit.String())
				require.Equal(t, tc.limit, time.Since(began))
				require.Len(t, n.sent, tc.sent)
			}
		})
	})

	t.Run("ByTheCaller", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := &network{replies: []reply{{503, "server_busy", "3", false}}}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			require.ErrorIs(t, get(ctx, n.client(t)), context.Canceled)
			require.Equal(t, time.Second, time.Since(began))

			ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began = time.Now()
			var refused *client.Error
			require.ErrorAs(t, get(ctx, n.client(t)), &refused, "there is no time for a pause of 3 s")
			require.Equal(t, 3*time.Second, refused.RetryAfter)
			require.Zero(t, time.Since(began))
		})
	})
}
