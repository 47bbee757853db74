package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// rollUp stores a minute's row of a tenant, "" for all, and an endpoint, "" for all of the tenant's, some minutes ago. values
// are what it holds, like "succeeded = 3, duration = ...".
func (b *testBundle) rollUp(tenantID, endpointID string, minutesAgo int, columns, values string) {
	if endpointID == "" {
		endpointID = uuid.Nil.String()
	}
	b.exec(fmt.Sprintf(`INSERT INTO outhook.rollups (endpoint_id, tenant_id, at, seconds, part, %s)
		SELECT $1, $2, date_trunc('minute', now()) - make_interval(mins => $3), 60, (random() * 1000000000)::integer, %s`,
		columns, values), endpointID, tenantID, minutesAgo)
}

// in is 24 buckets with a number in one of them, from 1 on.
func in(bucket, n int) string {
	list := strings.Split(strings.Repeat("NULL ", 23)+"NULL", " ")
	list[bucket-1] = fmt.Sprint(n)
	return "ARRAY[" + strings.Join(list, ",") + "]::integer[]"
}

type statsAnswer struct {
	Since      time.Time
	Until      time.Time
	Events     int
	Deliveries map[string]int
	Attempts   map[string]int
	Backlog    map[string]float64
	AttemptMS  map[string]float64 `json:"attempt_ms"`
	LatencyMS  map[string]float64 `json:"latency_ms"`
}

func TestStatsCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newEndpoint("acme", "")
	b.newEvent("acme", "a.b")
	b.newEvent("acme", "a.b")

	// What two processes saw in the same minute, and a minute before, and one that is too long ago.
	columns := "events, succeeded, rejected, unknown, delivered, failed, first_latency, duration"
	for minutesAgo, n := range []int{5, 7, 0, 0, 0, 0, 0, 0, 0, 1000} {
		if n > 0 {
			values := fmt.Sprintf("NULL, %d, 1, NULL, %[1]d, NULL, %s, %s", n, in(5, n), in(13, n))
			b.rollUp("acme", "", minutesAgo, columns, values)
			b.rollUp("", "", minutesAgo, columns, values)
		}
	}
	for _, tenantID := range []string{"acme", ""} {
		b.rollUp(tenantID, "", 0, columns, "NULL, NULL, NULL, 2, NULL, 3, NULL, NULL")
		b.rollUp(tenantID, "", 1, "events", "40")
	}
	b.rollUp("other", "", 0, columns, "2, 1, NULL, NULL, 1, NULL, NULL, NULL")
	b.rollUp("", "", 0, columns, "2, 1, NULL, NULL, 1, NULL, NULL, NULL")

	for tenantID, more := range map[string]int{"?tenant_id=acme": 0, "": 1} {
		s := decode[statsAnswer](t, b.do(http.MethodGet, "/api/stats"+tenantID, ""))
		require.Equal(t, map[string]int{
			"succeeded": 12 + more, "rejected": 2, "timed_out": 0, "unreachable": 0, "blocked": 0, "unknown": 2,
		}, s.Attempts)
		require.Equal(t, map[string]int{"pending": 2, "succeeded": 12 + more, "failed": 3, "cancelled": 0}, s.Deliveries)
		require.Equal(t, 40+2*more, s.Events)
		require.InDelta(t, 2, s.Backlog["pending"], 0)
		require.InDelta(t, 2, s.Backlog["due"], 0)
		require.InDelta(t, 8, s.LatencyMS["p50"], 2.5, "from 5.6 to 10 ms")
		require.InDelta(t, 800, s.AttemptMS["p99"], 240, "from 562 to 1,000 ms")
		require.Zero(t, s.Since.Second())
		require.WithinRange(t, s.Until.Add(-5*time.Minute), s.Since, s.Since.Add(time.Minute))
	}

	key := "Bearer " + b.requireObject(b.do(http.MethodPost, "/api/keys", `{"name":"k","scope":"read","tenant_id":"other"}`), 201)["key"].(string)
	for _, path := range []string{"/api/stats", "/api/stats?tenant_id=other"} {
		s := decode[statsAnswer](t, b.do(http.MethodGet, path, "", "Authorization", key))
		require.Equal(t, 2, s.Events)
		require.Equal(t, 1, s.Attempts["succeeded"])
		require.Zero(t, s.Backlog["pending"])
	}
	s := decode[statsAnswer](t, b.do(http.MethodGet, "/api/stats?tenant_id=acme", "", "Authorization", key))
	require.Zero(t, s.Attempts["succeeded"])
	s = decode[statsAnswer](t, b.do(http.MethodGet, "/api/stats?tenant_id=nobody&window_s=60", ""))
	require.Nil(t, s.LatencyMS)
	require.Zero(t, s.Events)
	b.requireFault(b.do(http.MethodGet, "/api/stats?window_s=3601", ""), http.StatusUnprocessableEntity, "query.window_s", "")
}

type seriesAnswer struct {
	From  time.Time
	To    time.Time
	StepS int `json:"step_s"`
	Items []struct {
		At         time.Time
		Events     *int
		Attempts   map[string]int
		Deliveries map[string]int
		AttemptMS  map[string]float64 `json:"attempt_ms"`
	}
	AttemptMS map[string]float64 `json:"attempt_ms"`
}

// sum adds up what is in the steps.
func (s seriesAnswer) sum() (events, succeeded, delivered int) {
	for _, step := range s.Items {
		if step.Events != nil {
			events += *step.Events
		}
		succeeded += step.Attempts["succeeded"]
		delivered += step.Deliveries["succeeded"]
	}
	return events, succeeded, delivered
}

func TestSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "").String()
	columns := "succeeded, delivered, duration"
	for minutesAgo := range 180 {
		b.rollUp("acme", endpoint, minutesAgo, columns, "2, 1, "+in(9, 2))
		b.rollUp("acme", "", minutesAgo, columns, "2, 1, "+in(9, 2))
		b.rollUp("acme", "", minutesAgo, "events", "3")
		b.rollUp("", "", minutesAgo, columns, "4, 2, "+in(13, 4))
	}

	get := func(query, key string) seriesAnswer {
		r := b.do(http.MethodGet, "/api/stats/series?"+query, "", "Authorization", key)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		return decode[seriesAnswer](t, r)
	}
	admin := "Bearer " + adminKey

	// An hour by minutes, each of which is there.
	s := get("tenant_id=acme&step_s=60", admin)
	require.Equal(t, 60, s.StepS)
	require.InDelta(t, 61, len(s.Items), 1)
	for i, step := range s.Items {
		require.Equal(t, s.From.Add(time.Duration(i)*time.Minute), step.At)
		require.Equal(t, s.Items[0].Attempts, step.Attempts, "each minute is alike")
	}
	require.Equal(t, 3, *s.Items[0].Events)
	require.InDelta(t, 80, s.AttemptMS["p50"], 25, "from 56 to 100 ms")

	// However long the steps are, they add up to the same, from a whole step on.
	from := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour)
	span := "from=" + from.Format(time.RFC3339) + "&to=" + from.Add(time.Hour).Format(time.RFC3339)
	for step, want := range map[string]int{"60": 60, "61": 30, "300": 12, "3600": 1} {
		s := get("tenant_id=acme&"+span+"&step_s="+step, admin)
		require.Len(t, s.Items, want)
		events, succeeded, delivered := s.sum()
		require.Equal(t, [3]int{180, 120, 60}, [3]int{events, succeeded, delivered}, step)
	}
	_, succeeded, _ := get(span, admin).sum()
	require.Equal(t, 240, succeeded, "of all tenants")

	// What is older has longer steps.
	require.Equal(t, 300, get("from="+time.Now().UTC().Add(-3*time.Hour).Format(time.RFC3339)+"&step_s=60", admin).StepS)
	month := get("from="+time.Now().UTC().AddDate(0, 0, -30).Format(time.RFC3339), admin)
	require.Equal(t, 8*3600, month.StepS)
	require.Zero(t, month.From.Unix()%int64(month.StepS))

	// Of an endpoint: no events; and of nobody else's.
	s = get(span+"&endpoint_id="+endpoint, admin)
	require.Nil(t, s.Items[0].Events)
	_, succeeded, _ = s.sum()
	require.Equal(t, 120, succeeded)
	foreign := "Bearer " + b.requireObject(b.do(http.MethodPost, "/api/keys", `{"name":"k","scope":"read","tenant_id":"other"}`), 201)["key"].(string)
	empty := get(span, foreign)
	for _, query := range []string{"&endpoint_id=" + endpoint, "&tenant_id=acme", "&endpoint_id=" + endpoint + "&tenant_id=acme"} {
		_, succeeded, _ := get(span+query, foreign).sum()
		require.Zero(t, succeeded, query)
	}
	require.Equal(t, get(span+"&endpoint_id="+endpoint, foreign), get(span+"&endpoint_id="+uuid.NewString(), foreign), "as if it did not exist")
	require.Len(t, empty.Items, 60)

	for query, at := range map[string]string{
		"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "query.from", "to=9999-01-01T00:00:01Z": "query.to",
		"step_s=59": "query.step_s", "from=2020-01-01T00:00:00Z&step_s=3600": "query.step_s",
		"endpoint_id=x%20y": "query.endpoint_id", "endpoint_id=x": "query.tenant_id",
	} {
		b.requireFault(b.do(http.MethodGet, "/api/stats/series?"+query, ""), http.StatusUnprocessableEntity, at, "")
	}
}

// Several endpoints are told of in one answer, each by steps that add up to what GET /api/stats/series says of it.
func TestEndpointSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	busy, quiet, foreign := b.newEndpoint("acme", "").String(), b.newEndpoint("acme", "").String(), b.newEndpoint("other", "").String()
	columns := "succeeded, rejected, timed_out, unreachable, blocked, unknown"
	for minutesAgo := range 60 {
		b.rollUp("acme", busy, minutesAgo, columns, "2, 1, 1, 1, 1, NULL")
		b.rollUp("acme", busy, minutesAgo, columns, "1, NULL, NULL, NULL, NULL, 1")
		b.rollUp("acme", "", minutesAgo, columns, "100, NULL, NULL, NULL, NULL, NULL")
		b.rollUp("other", foreign, minutesAgo, columns, "7, NULL, NULL, NULL, NULL, NULL")
	}

	type answer struct {
		From  time.Time
		StepS int `json:"step_s"`
		Items []struct {
			EndpointID        string `json:"endpoint_id"`
			Succeeded, Failed []int
		}
	}
	get := func(query, key string) answer {
		r := b.do(http.MethodGet, "/api/stats/series/endpoints?"+query, "", "Authorization", key)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		return decode[answer](t, r)
	}
	admin := "Bearer " + adminKey
	to := time.Now().UTC().Truncate(10 * time.Minute)
	span := "&from=" + to.Add(-30*time.Minute).Format(time.RFC3339) + "&to=" + to.Format(time.RFC3339) + "&step_s=600"

	a := get("endpoint_id="+quiet+","+busy+","+foreign+","+busy+","+uuid.NewString()+span, admin)
	require.Equal(t, 600, a.StepS)
	require.Len(t, a.Items, 3)
	require.Equal(t, quiet, a.Items[0].EndpointID)
	require.Equal(t, []int{0, 0, 0}, a.Items[0].Succeeded)
	require.Equal(t, []int{0, 0, 0}, a.Items[0].Failed)
	require.Equal(t, busy, a.Items[1].EndpointID)
	require.Equal(t, []int{30, 30, 30}, a.Items[1].Succeeded)
	require.Equal(t, []int{50, 50, 50}, a.Items[1].Failed)
	require.Equal(t, []int{70, 70, 70}, a.Items[2].Succeeded)

	key := "Bearer " + b.requireObject(b.do(http.MethodPost, "/api/keys", `{"name":"k","scope":"read","tenant_id":"other"}`), 201)["key"].(string)
	own := get("endpoint_id="+busy+","+foreign+span, key)
	require.Len(t, own.Items, 1)
	require.Equal(t, foreign, own.Items[0].EndpointID)
	require.Empty(t, get("endpoint_id="+busy+span, key).Items)

	many := strings.TrimSuffix(strings.Repeat(uuid.NewString()+",", 101), ",")
	for query, at := range map[string]string{
		"": "query.endpoint_id", "endpoint_id=x": "query.endpoint_id", "endpoint_id=" + many: "query.endpoint_id",
		"endpoint_id=" + busy + "&from=" + to.Add(-24*time.Hour).Format(time.RFC3339) + "&step_s=300": "query.step_s",
	} {
		b.requireFault(b.do(http.MethodGet, "/api/stats/series/endpoints?"+query, ""), http.StatusUnprocessableEntity, at, "")
	}
}
