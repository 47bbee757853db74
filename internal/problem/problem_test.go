package problem_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/problem"
)

func TestError(t *testing.T) {
	t.Parallel()
	err := error(problem.Invalid("body.type", "is required"))
	var p *problem.Error
	require.ErrorAs(t, err, &p)
	require.Equal(t, 422, p.GetStatus())
	require.Empty(t, p.GetHeaders())
	data, jsonErr := json.Marshal(p)
	require.NoError(t, jsonErr)
	require.JSONEq(t, `{"type":"https://github.com/outhook/outhook/blob/main/docs/errors.md#invalid_request",
		"code":"invalid_request","title":"Unprocessable Entity","status":422,"detail":"the request is invalid",
		"errors":[{"location":"body.type","message":"is required"}]}`, string(data))
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for status, p := range map[int]*problem.Error{
		429: problem.Later(problem.RateLimited, "wait", 7), 503: problem.Later(problem.ServerBusy, "repeat the request", 7),
		409: problem.Later(problem.IdempotencyKeyInUse, "repeat the request", 7),
	} {
		require.Equal(t, status, p.GetStatus())
		require.Equal(t, "7", p.GetHeaders().Get("Retry-After"))
		require.Equal(t, "application/problem+json", p.ContentType("application/json"))
	}

	// Whoever makes the problem, its code decides.
	require.Empty(t, problem.Later(problem.EndpointGone, "it is gone", 7).GetHeaders())
	require.Equal(t, "1", problem.New(problem.OfStatus(503), "busy").GetHeaders().Get("Retry-After"))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var f problem.Faults
	require.NoError(t, f.Problem(problem.InvalidRequest))
	for i := range 30 {
		f.Add("body.events["+strconv.Itoa(i)+"]", "must be an object")
	}
	var p *problem.Error
	require.ErrorAs(t, f.Problem(problem.BodyTooLarge), &p)
	require.Equal(t, 413, p.Status)
	require.Len(t, p.Errors, problem.MaxDetails)
	require.Equal(t, "body.events[0]", p.Errors[0].Location)
}

func TestIsPlain(t *testing.T) {
	t.Parallel()
	for location, plain := range map[string]bool{
		"body": true, "body.events[3].tenant_id": true, "header.Idempotency-Key": true, "query.limit": true,
		"": false, "cookie.a": false, "body.": false, "body.a b": false, "body.<script>": false, "body[x]": false,
		"body." + strings.Repeat("x", 65): false, "body.a\n": false,
	} {
		require.Equal(t, plain, problem.IsPlain(location), location)
	}
}
