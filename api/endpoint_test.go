package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/health"
	"github.com/outhook/outhook/jobs/ledger"
)

// openSecrets returns the secrets that are stored for an endpoint, in their text form.
func (b *testBundle) openSecrets(id uuid.UUID) (list []string) {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), "SELECT key_id, sealed FROM outhook.endpoint_secrets WHERE endpoint_id = $1", id)
	require.NoError(b.t, err)
	defer rows.Close()
	for rows.Next() {
		var keyID string
		var sealed []byte
		require.NoError(b.t, rows.Scan(&keyID, &sealed))
		raw, err := b.keyring.Open(keyID, sealed, id[:])
		require.NoError(b.t, err)
		secret, err := signature.SecretFromBytes(raw)
		require.NoError(b.t, err)
		list = append(list, secret.Reveal())
	}
	require.NoError(b.t, rows.Err())
	return list
}

func TestPostEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("HasDefaultsAndASecretOfItsOwn", func(t *testing.T) {
		t.Parallel()
		r := b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/x?token=1"}`)
		got := b.requireObject(r, 201)
		id := uuid.MustParse(got["id"].(string))
		require.Equal(t, "/api/endpoints/"+id.String(), r.header.Get("Location"))
		secret := got["secret"].(string)
		require.Equal(t, []string{secret}, b.openSecrets(id))
		parsed, err := signature.ParseSecret(secret)
		require.NoError(t, err)
		require.Len(t, parsed.Bytes(), 32)
		for name, want := range map[string]any{
			"tenant_id": "acme", "url": "https://example.com/x?token=1", "description": "", "event_types": []any{},
			"headers": object{}, "timeout_ms": 15000.0, "retry_schedule": nil, "retry_jitter": nil, "status": "enabled", "status_reason": "",
			"metadata": object{},
			"health": object{
				"state": "healthy", "state_changed_at": nil, "consecutive_failures": 0.0, "failing_since": nil, "last_success_at": nil,
				"last_failure_at": nil, "last_status_code": nil, "last_error": nil, "probe_at": nil,
			},
		} {
			require.Equal(t, want, got[name], name)
		}
		for _, name := range []string{"created_at", "updated_at", "status_changed_at"} {
			at, err := time.Parse(time.RFC3339Nano, got[name].(string))
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), at, time.Minute)
		}
		require.Len(t, got, 21)

		again := b.requireObject(b.do("GET", r.header.Get("Location"), ""), 200)
		require.NotContains(t, again, "secret")
		delete(got, "secret")
		require.Equal(t, got, again)
		require.NotContains(t, b.log.String(), secret)
		require.NotContains(t, b.log.String(), "token=1")
	})

	t.Run("KeepsWhatIsGiven", func(t *testing.T) {
		t.Parallel()
		secret := signature.NewSecret().Reveal()
		got := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"full","url":"https://example.com","description":"Büro <1>",
			"event_types":["invoice.*","user.created"],"headers":{"X-Team":"a b","x-2":""},"secret":"`+secret+`","timeout_ms":30000,
			"retry_schedule":["1s","90s","1m","2h","168h"],"retry_jitter":0.15,"metadata":{"plan":"gold","":"é"}}`), 201)
		require.Equal(t, secret, got["secret"])
		require.Equal(t, "Büro <1>", got["description"])
		require.Equal(t, []any{"invoice.*", "user.created"}, got["event_types"])
		require.Equal(t, object{"X-Team": "a b", "x-2": ""}, got["headers"])
		require.Equal(t, []any{"1s", "1m30s", "1m", "2h", "168h"}, got["retry_schedule"])
		require.InDelta(t, 0.15, got["retry_jitter"], 0)
		require.Equal(t, object{"plan": "gold", "": "é"}, got["metadata"])
		require.Equal(t, []string{secret}, b.openSecrets(uuid.MustParse(got["id"].(string))))
	})

	t.Run("NullIsTheDefault", func(t *testing.T) {
		t.Parallel()
		got := b.requireObject(b.do("POST", "/api/endpoints", `{"tenant_id":"null","url":"https://example.com","description":null,"event_types":null,
			"headers":null,"secret":null,"timeout_ms":null,"retry_schedule":null,"retry_jitter":null,"metadata":null}`), 201)
		require.EqualValues(t, 15000, got["timeout_ms"])
		require.Nil(t, got["retry_jitter"])
		require.True(t, strings.HasPrefix(got["secret"].(string), "whsec_"))
	})

	t.Run("TakesPresetsAndNoRetries", func(t *testing.T) {
		t.Parallel()
		for given, want := range map[string][]any{
			`"fast"`:     {"1m", "2m", "4m"},
			`"standard"`: {"5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"},
			`[]`:         {},
		} {
			r := b.do("POST", "/api/endpoints", `{"tenant_id":"presets","url":"https://example.com","retry_schedule":`+given+`}`)
			require.Equal(t, want, b.requireObject(r, 201)["retry_schedule"])
		}
	})
}

// A delivery must not expire before its last attempt, however long the jitter makes it wait: the endpoint's or the
// server's, whichever holds, with the schedule that holds.
func TestDelaysMustFitTheRetention(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) {
		cfg.Retention, cfg.Schedule, cfg.Jitter = 10*ledger.Day, retry.Schedule{5 * ledger.Day}, 0.5
	})
	refused := func(r response, member string) {
		t.Helper()
		b.requireFault(r, 422, "body."+member, "all delays, jitter included, and a day must be less than the 10 days that events are kept")
	}
	post := func(members string) response {
		return b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com"`+members+`}`)
	}

	refused(post(`,"retry_schedule":["144h"]`), "retry_schedule") // 6 days become 9
	refused(post(`,"retry_jitter":0.8`), "retry_jitter")          // 5 days become 9
	refused(post(`,"retry_jitter":0.6,"retry_schedule":["144h"]`), "retry_schedule")
	require.Equal(t, 201, post(`,"retry_jitter":0,"retry_schedule":["144h"]`).status)
	require.Equal(t, 201, post(`,"retry_jitter":0.7`).status)
	require.Equal(t, 201, post(`,"retry_jitter":1,"retry_schedule":[]`).status)

	path := "/api/endpoints/" + b.newEndpoint("acme", `,"retry_jitter":0,"retry_schedule":["168h"]`).String()
	refused(b.do("PATCH", path, `{"retry_jitter":null}`), "retry_jitter")
	refused(b.do("PATCH", path, `{"retry_schedule":["168h","48h"]}`), "retry_schedule")
	require.Equal(t, 200, b.do("PATCH", path, `{"retry_jitter":null,"retry_schedule":null}`).status)
	require.Equal(t, 200, b.do("PATCH", path, `{"description":"a change of something else"}`).status)
}

// badMembers are members of an endpoint that are refused, with their place and a word of the message.
func badMembers() map[string]struct{ member, location, message string } {
	repeat := func(format string, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return strings.Join(list, ",")
	}
	return map[string]struct{ member, location, message string }{
		"URLNotHTTPS":             {`"url":"ftp://s3cret"`, "body.url", "https"},
		"URLNotAString":           {`"url":1`, "body.url", "string"},
		"URLNull":                 {`"url":null`, "body.url", "string"},
		"URLWithNUL":              {`"url":"https://s3cret\u0000"`, "body.url", "NUL"},
		"DescriptionTooLong":      {`"description":"` + strings.Repeat("é", 1025) + `"`, "body.description", "1024"},
		"DescriptionWithNUL":      {`"description":"s3cret\u0000"`, "body.description", "NUL"},
		"TypesNotAnArray":         {`"event_types":"s3cret"`, "body.event_types", "array"},
		"TypesOfOtherThings":      {`"event_types":["a",1]`, "body.event_types[1]", "string"},
		"TypeStar":                {`"event_types":["*"]`, "body.event_types[0]", "an empty list means all"},
		"TypeStarInside":          {`"event_types":["a.*.b"]`, "body.event_types[0]", "invoice.*"},
		"TypeStarInName":          {`"event_types":["s3cret*"]`, "body.event_types[0]", "invoice.*"},
		"TypeOddCharacters":       {`"event_types":["a","s3-cret"]`, "body.event_types[1]", "invoice.paid"},
		"TypeEmpty":               {`"event_types":[""]`, "body.event_types[0]", "invoice.paid"},
		"TypeTooLong":             {`"event_types":["` + strings.Repeat("s", 256) + `"]`, "body.event_types[0]", "255"},
		"TypeTwice":               {`"event_types":["a","b","a"]`, "body.event_types[2]", "twice"},
		"TooManyTypes":            {`"event_types":[` + repeat(`"t%d"`, 101) + `]`, "body.event_types", "100"},
		"HeadersNotAnObject":      {`"headers":["s3cret"]`, "body.headers", "object"},
		"HeaderNotAString":        {`"headers":{"x":1}`, "body.headers.x", "string"},
		"HeaderTwice":             {`"headers":{"x":"1","x":"2"}`, "body.headers.x", "twice"},
		"HeaderOddName":           {`"headers":{"s3 cret":"1"}`, "body.headers", "name"},
		"HeaderEmptyName":         {`"headers":{"":"1"}`, "body.headers", "name"},
		"HeaderLineBreak":         {`"headers":{"x":"s3cret\r\nHost: y"}`, "body.headers.x", "visible"},
		"HeaderNUL":               {`"headers":{"x":"s3cret\u0000"}`, "body.headers.x", "NUL"},
		"HeaderTab":               {`"headers":{"x":"s3cret\ty"}`, "body.headers.x", "visible"},
		"HeaderNotASCII":          {`"headers":{"x":"s3crét"}`, "body.headers.x", "visible"},
		"HeaderSpaceAround":       {`"headers":{"x":" s3cret"}`, "body.headers.x", "visible"},
		"TooManyHeaders":          {`"headers":{` + repeat(`"x%d":""`, 21) + `}`, "body.headers", "20"},
		"HeadersTooLarge":         {`"headers":{"x":"` + strings.Repeat("s", 4096) + `"}`, "body.headers", "4096"},
		"SecretNotASecret":        {`"secret":"s3cret"`, "body.secret", "whsec_"},
		"SecretTooShort":          {`"secret":"whsec_czNjcmV0"`, "body.secret", "24"},
		"TimeoutTooShort":         {`"timeout_ms":999`, "body.timeout_ms", "1000"},
		"TimeoutTooLong":          {`"timeout_ms":30001`, "body.timeout_ms", "30000"},
		"TimeoutFraction":         {`"timeout_ms":1500.5`, "body.timeout_ms", "whole"},
		"TimeoutText":             {`"timeout_ms":"1500"`, "body.timeout_ms", "whole"},
		"TimeoutHuge":             {`"timeout_ms":99999999999999999999`, "body.timeout_ms", "whole"},
		"InFlightZero":            {`"max_in_flight":0`, "body.max_in_flight", "1 to 1000"},
		"InFlightTooMany":         {`"max_in_flight":1001`, "body.max_in_flight", "1 to 1000"},
		"InFlightText":            {`"max_in_flight":"s3cret"`, "body.max_in_flight", "whole"},
		"RateNotAnObject":         {`"rate_limit":50`, "body.rate_limit", "requests"},
		"RateWithoutRequests":     {`"rate_limit":{"per":"minute"}`, "body.rate_limit.requests", "required"},
		"RateZero":                {`"rate_limit":{"requests":0}`, "body.rate_limit.requests", "1 to 10000"},
		"RateOddTime":             {`"rate_limit":{"requests":1,"per":"s3cret"}`, "body.rate_limit.per", "second or minute"},
		"RateBurstZero":           {`"rate_limit":{"requests":1,"burst":0}`, "body.rate_limit.burst", "1 to 10000"},
		"RateUnknown":             {`"rate_limit":{"requests":1,"x":0}`, "body.rate_limit.x", "unknown"},
		"RateTwice":               {`"rate_limit":{"requests":1,"requests":2}`, "body.rate_limit.requests", "twice"},
		"ScheduleNotADuration":    {`"retry_schedule":["1m","s3cret"]`, "body.retry_schedule[1]", "duration"},
		"ScheduleTwoInOne":        {`"retry_schedule":["1m,2m"]`, "body.retry_schedule[0]", "duration"},
		"ScheduleDelayTooShort":   {`"retry_schedule":["1m","500ms"]`, "body.retry_schedule", "delay 2"},
		"ScheduleDelayTooLong":    {`"retry_schedule":["169h"]`, "body.retry_schedule", "delay 1"},
		"ScheduleTooMany":         {`"retry_schedule":[` + repeat(`"%[1]dm1s"`, 31) + `]`, "body.retry_schedule", "30"},
		"ScheduleBeyondRetention": {`"retry_schedule":["168h","168h","168h","168h","24h"]`, "body.retry_schedule", "30 days"},
		"ScheduleUnknownPreset":   {`"retry_schedule":"s3cret"`, "body.retry_schedule", "fast or standard"},
		"ScheduleNumbers":         {`"retry_schedule":[60]`, "body.retry_schedule[0]", "string"},
		"JitterNegative":          {`"retry_jitter":-0.1`, "body.retry_jitter", "from 0 to 1: 0.1 makes each delay up to 10 % longer"},
		"JitterPercent":           {`"retry_jitter":10`, "body.retry_jitter", "from 0 to 1"},
		"JitterText":              {`"retry_jitter":"s3cret"`, "body.retry_jitter", "number"},
		"JitterHuge":              {`"retry_jitter":1e999`, "body.retry_jitter", "number"},
		"JitterBeyondRetention":   {`"retry_schedule":["168h","168h","168h"],"retry_jitter":0.5`, "body.retry_schedule", "30 days"},
		"MetadataNotText":         {`"metadata":{"a":{}}`, "body.metadata.a", "string"},
		"MetadataNameNUL":         {`"metadata":{"s3cret\u0000":""}`, "body.metadata", "NUL"},
		"MetadataNUL":             {`"metadata":{"a":"s3cret\u0000"}`, "body.metadata.a", "NUL"},
		"TooMuchMetadata":         {`"metadata":{` + repeat(`"m%d":""`, 21) + `}`, "body.metadata", "20"},
		"MetadataTooLarge":        {`"metadata":{"a":"` + strings.Repeat("s", 4096) + `"}`, "body.metadata", "4096"},
		"UnknownMember":           {`"s3cret":1`, "body.s3cret", "unknown"},
		"ReadOnlyMember":          {`"created_at":"2026-01-01T00:00:00Z"`, "body.created_at", "unknown"},
		"HeaderOfTheConnection":   {`"headers":{"Transfer-Encoding":"s3cret"}`, "body.headers.Transfer-Encoding", "not allowed"},
		"HeaderHost":              {`"headers":{"HOST":"s3cret"}`, "body.headers.HOST", "not allowed"},
		"HeaderContentType":       {`"headers":{"Content-Type":"s3cret"}`, "body.headers.Content-Type", "not allowed"},
		"HeaderOfTheSignature":    {`"headers":{"Webhook-Signature":"s3cret"}`, "body.headers.Webhook-Signature", "not allowed"},
		"HeaderOfOurs":            {`"headers":{"outhook-x":"s3cret"}`, "body.headers.outhook-x", "not allowed"},
		"HeaderAuthorization":     {`"headers":{"Authorization":"s3cret"}`, "body.headers.Authorization", "not allowed"},
		"HeaderProxy":             {`"headers":{"Proxy-Anything":"s3cret"}`, "body.headers.Proxy-Anything", "not allowed"},
		"HeaderCookie":            {`"headers":{"cookie":"s3cret"}`, "body.headers.cookie", "not allowed"},
		"HeaderUserAgent":         {`"headers":{"User-Agent":"s3cret"}`, "body.headers.User-Agent", "not allowed"},
		"HeaderTwiceInOtherCase":  {`"headers":{"X-A":"1","x-a":"2"}`, "", "twice"},
	}
}

func TestEndpointRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	existing := b.newEndpoint("existing", "")
	for name, c := range badMembers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := `{"tenant_id":"refused","url":"https://example.com",`
			if strings.HasPrefix(c.member, `"url"`) {
				base = `{"tenant_id":"refused",`
			}
			answers := []response{b.do("POST", "/api/endpoints", base+c.member+`}`)}
			if !strings.HasPrefix(c.member, `"secret"`) {
				answers = append(answers, b.do("PATCH", "/api/endpoints/"+existing.String(), `{`+c.member+`}`))
			}
			for _, r := range answers {
				p := b.requireProblem(r, 422)
				require.NotEmpty(t, p.Errors)
				if c.location != "" {
					require.Equal(t, c.location, p.Errors[0].Location)
				}
				require.Contains(t, p.Errors[0].Message, c.message)
				if name != "UnknownMember" {
					require.NotContains(t, string(r.body), "s3cret")
				}
			}
		})
	}

	t.Run("WhatOnlyOneOfBothTakes", func(t *testing.T) {
		t.Parallel()
		patch := func(body string) response { return b.do("PATCH", "/api/endpoints/"+existing.String(), body) }
		b.requireFault(patch(`{"tenant_id":"other"}`), 422, "body.tenant_id", "unknown")
		b.requireFault(patch(`{"secret":null}`), 422, "body.secret", "unknown")
		b.requireFault(patch(`{"status":"asleep"}`), 422, "body.status", "paused")
		b.requireFault(b.do("POST", "/api/endpoints", `{"tenant_id":"a","url":"https://a","status":"paused"}`), 422, "body.status", "unknown")
	})

	t.Run("TenantsAreThoseOfEvents", func(t *testing.T) {
		t.Parallel()
		for tenant, message := range map[string]string{
			`""`: "empty", `"` + strings.Repeat("x", 256) + `"`: "longer", `"a\u0007"`: "control", `"a\u0000"`: "NUL", `5`: "string",
		} {
			p := b.requireProblem(b.do("POST", "/api/endpoints", `{"url":"https://a","tenant_id":`+tenant+`}`), 422)
			require.Equal(t, "body.tenant_id", p.Errors[0].Location)
			require.Contains(t, p.Errors[0].Message, message)
		}
		p := b.requireProblem(b.do("POST", "/api/endpoints", `{}`), 422)
		require.Len(t, p.Errors, 2)
	})

	t.Run("OtherBodies", func(t *testing.T) {
		t.Parallel()
		b.requireProblem(b.do("POST", "/api/endpoints", `{`), 400)
		b.requireProblem(b.do("PATCH", "/api/endpoints/"+existing.String(), `[]`), 422)
		b.requireProblem(b.do("PATCH", "/api/endpoints/"+existing.String(), ``, "Content-Type", "application/json"), 400)
		b.requireProblem(b.do("POST", "/api/endpoints", strings.Repeat(" ", 300_000)), 413)
	})
}

func TestEndpointsOfATenantAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxEndpoints = 2 })
	first := b.newEndpoint("acme", "")
	b.newEndpoint("acme", "")
	const body = `{"tenant_id":"acme","url":"https://example.com"}`
	b.requireProblem(b.do("POST", "/api/endpoints", body), 409)
	b.newEndpoint("other", "")
	require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+first.String(), "").status)
	require.Equal(t, 201, b.do("POST", "/api/endpoints", body).status)
}

func TestListEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, b.newEndpoint([]string{"acme", "other"}[i%2], "").String())
	}
	list := func(query string) (got []string, next string) {
		t.Helper()
		r := b.requireObject(b.do("GET", "/api/endpoints"+query, ""), 200)
		for _, item := range r["items"].([]any) {
			require.NotContains(t, item, "secret")
			got = append(got, item.(object)["id"].(string))
		}
		next, _ = r["next_cursor"].(string)
		return got, next
	}
	var all []string
	for query := "?limit=2"; query != ""; {
		got, next := list(query)
		all = append(all, got...)
		query = ""
		if next != "" {
			query = "?limit=2&cursor=" + next
		}
	}
	require.Equal(t, ids, all)
	got, _ := list("?tenant_id=other")
	require.Equal(t, []string{ids[1], ids[3]}, got)
	require.Equal(t, 204, b.do("DELETE", "/api/endpoints/"+ids[0], "").status)
	got, _ = list("")
	require.Equal(t, ids[1:], got)
	b.requireFault(b.do("GET", "/api/endpoints?tenant_id=a%00", ""), 422, "query.tenant_id", "NUL")
}

func TestPatchEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("ChangesGivenMembersOnly", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("acme", `,"description":"d","timeout_ms":2000,"retry_schedule":["1m"],"retry_jitter":0,"headers":{"x":"1"},"metadata":{"a":"b"},"event_types":["a"]`)
		path := "/api/endpoints/" + id.String()
		before := b.requireObject(b.do("GET", path, ""), 200)
		after := b.requireObject(b.do("PATCH", path, `{"url":"https://example.org/new"}`), 200)
		require.Equal(t, "https://example.org/new", after["url"])
		require.NotEqual(t, before["updated_at"], after["updated_at"])
		for _, name := range []string{"url", "updated_at"} {
			delete(before, name)
			delete(after, name)
		}
		require.Equal(t, before, after)

		after = b.requireObject(b.do("PATCH", path, `{"description":null,"timeout_ms":null,"retry_schedule":null,"retry_jitter":null,"headers":null,"metadata":null,"event_types":null}`), 200)
		for name, want := range map[string]any{
			"description": "", "timeout_ms": 15000.0, "retry_schedule": nil, "retry_jitter": nil, "headers": object{}, "metadata": object{}, "event_types": []any{},
		} {
			require.Equal(t, want, after[name], name)
		}
		require.Len(t, b.openSecrets(id), 1)
	})

	t.Run("DisablingOrdersWhatIsPendingToBeCancelled", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("disabled", "")
		path := "/api/endpoints/" + id.String()
		got := b.requireObject(b.do("PATCH", path, `{"status":"disabled"}`), 200)
		require.Equal(t, "disabled", got["status"])
		require.Equal(t, "api", got["status_reason"])
		require.NotEqual(t, got["created_at"], got["status_changed_at"])
		const ordered = "SELECT count(*) FROM outhook.endpoints WHERE id = $1 AND cancel_since IS NOT NULL"
		require.Equal(t, 1, b.count(ordered, id))
		again := b.requireObject(b.do("PATCH", path, `{"status":"disabled"}`), 200)
		require.Equal(t, got["status_changed_at"], again["status_changed_at"])
		require.Equal(t, "enabled", b.requireObject(b.do("PATCH", path, `{"status":null}`), 200)["status"])
		require.Zero(t, b.count(ordered, id))
	})

	// However much waits, and whoever works on it: the answer does not depend on it.
	t.Run("NoChangeOfTheStatusTouchesAJobOrADelivery", func(t *testing.T) {
		t.Parallel()
		id := b.newEndpoint("touched", "")
		event := b.newEvent("touched", "a")
		path := "/api/endpoints/" + id.String()
		require.Equal(t, 200, b.do("PATCH", path, `{"status":"paused"}`).status)
		b.exec("UPDATE outhook.river_job SET queue = 'endpoint-' || $1::text WHERE args ->> 'event_id' = $2", id.String(), event.String())
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		_, err = tx.Exec(t.Context(), "SELECT FROM outhook.river_job WHERE args ->> 'event_id' = $1 FOR UPDATE", event.String())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "SELECT FROM outhook.deliveries WHERE event_id = $1 FOR UPDATE", event)
		require.NoError(t, err)
		for _, status := range []string{"enabled", "paused", "disabled", "paused", "enabled"} {
			require.Equal(t, 200, b.do("PATCH", path, `{"status":"`+status+`"}`).status, status)
		}
		require.Equal(t, 204, b.do("DELETE", path, "").status)
	})

	t.Run("UnknownIsNotFound", func(t *testing.T) {
		t.Parallel()
		for _, method := range []string{"GET", "PATCH", "DELETE"} {
			body := ""
			if method == "PATCH" {
				body = "{}"
			}
			b.requireProblem(b.do(method, "/api/endpoints/"+uuid.NewString(), body), 404)
			b.requireFault(b.do(method, "/api/endpoints/1", body), 422, "path.id", "UUID")
		}
		b.requireProblem(b.do("POST", "/api/endpoints/"+uuid.NewString()+"/test", ""), 404)
	})
}

func TestDeleteEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", "")
	event := b.newEvent("acme", "a")
	path := "/api/endpoints/" + id.String()
	r := b.do("DELETE", path, "")
	require.Equal(t, 204, r.status)
	require.Empty(t, r.body)

	require.Empty(t, b.openSecrets(id), "the secrets are erased")
	for _, method := range []string{"GET", "DELETE"} {
		b.requireProblem(b.do(method, path, ""), 404)
	}
	b.requireProblem(b.do("PATCH", path, "{}"), 404)
	d := b.requireObject(b.do("GET", "/api/deliveries/"+event.String()+"/"+id.String(), ""), 200)
	require.Equal(t, "pending", d["state"], "a worker process cancels it")
	require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.endpoints WHERE id = $1 AND cancel_since IS NOT NULL", id))
	require.EqualValues(t, 0, b.requireObject(b.do("POST", "/api/events", `{"tenant_id":"acme","type":"a","payload":1}`), 202)["delivery_count"])
}

// work records a first attempt of the next test event, as a worker would.
func (b *testBundle) work(ctx context.Context) error {
	const record = `INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, status_code, started_at, duration_ms, outcome,
			remote_addr, request_headers, response_headers, response_body)
		SELECT d.event_id, d.endpoint_id, 1, 204, now(), 12, 'succeeded', '198.51.100.7:443', '{"webhook-id":"x"}', NULL, ''
		FROM outhook.deliveries AS d JOIN outhook.events AS e ON e.id = d.event_id WHERE e.type = 'outhook.test'`
	for ctx.Err() == nil {
		tag, err := b.pool.Exec(ctx, record)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
	}
	return ctx.Err()
}

func TestTestEndpoint(t *testing.T) {
	t.Parallel()

	t.Run("AnswersWithTheFirstAttempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"event_types":["only.this"]`)
		b.newEndpoint("acme", "")
		conn, err := b.pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(t.Context(), `LISTEN "outhook.river_insert"`)
		require.NoError(t, err)

		worked := make(chan error, 1)
		go func() { worked <- b.work(t.Context()) }()
		got := b.requireObject(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 200)
		require.NoError(t, <-worked)
		require.Equal(t, id.String(), got["endpoint_id"])
		require.EqualValues(t, 1, got["number"])
		require.EqualValues(t, 204, got["status_code"])
		require.Equal(t, "succeeded", got["outcome"])
		require.Equal(t, object{"webhook-id": "x"}, got["request_headers"])
		require.Nil(t, got["response_headers"])

		notified, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		require.JSONEq(t, `{"queue":"deliver"}`, notified.Payload)

		r := b.do("GET", "/api/events/"+got["event_id"].(string), "")
		event := b.requireObject(r, 200)
		require.Equal(t, "outhook.test", event["type"])
		require.Len(t, event["deliveries"], 1)
		payload := event["payload"].(object)
		require.Equal(t, "outhook.test", payload["type"])
		require.Equal(t, object{"endpoint_id": id.String()}, payload["data"])
		_, err = time.Parse(time.RFC3339Nano, payload["timestamp"].(string))
		require.NoError(t, err)

		attempts := decode[struct{ Items []json.RawMessage }](t, b.do("GET", "/api/events/"+got["event_id"].(string)+"/attempts?bodies=true", ""))
		require.Len(t, attempts.Items, 1)
		var attempt object
		require.NoError(t, json.Unmarshal(attempts.Items[0], &attempt))
		delete(got, "event_id")
		require.Equal(t, attempt, got, "the shape of an attempt")
	})

	t.Run("WithoutAWorkerIs504", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"timeout_ms":1000`)
		p := b.requireProblem(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 504)
		require.Contains(t, p.Detail, "worker")
		var event uuid.UUID
		require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT id FROM outhook.events").Scan(&event))
		require.Contains(t, p.Detail, event.String())
	})

	t.Run("NotEnabledIs409", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		for _, status := range []string{"paused", "disabled"} {
			require.Equal(t, 200, b.do("PATCH", "/api/endpoints/"+id.String(), `{"status":"`+status+`"}`).status)
			p := b.requireProblem(b.do("POST", "/api/endpoints/"+id.String()+"/test", ""), 409)
			require.Contains(t, p.Detail, status)
		}
		require.Zero(t, b.count("SELECT count(*) FROM outhook.events"))
	})

	t.Run("WhatEndsWithoutAnAttemptHoldsNoSlot", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", `,"timeout_ms":30000`)
		done := make(chan int, 1)
		go func() { done <- b.cancellable(t.Context(), "POST", "/api/endpoints/"+id.String()+"/test") }()
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM outhook.deliveries") == 1 }, 10*time.Second, 10*time.Millisecond)
		b.exec(`UPDATE outhook.deliveries SET state = 'cancelled', reason = 'endpoint_deleted', next_attempt_at = NULL, completed_at = now()`)
		select {
		case status := <-done:
			require.Equal(t, 409, status)
		case <-time.After(20 * time.Second):
			require.FailNow(t, "it holds its slot")
		}
	})

	t.Run("TooManyAtOnceAre429", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			together(16, func(int) { b.cancellable(ctx, "POST", "/api/endpoints/"+id.String()+"/test") })
		}()
		require.Eventually(t, func() bool { return b.count("SELECT count(*) FROM outhook.events") == 16 }, 10*time.Second, 10*time.Millisecond)
		r := b.do("POST", "/api/endpoints/"+id.String()+"/test", "")
		b.requireProblem(r, 429)
		require.Equal(t, "1", r.header.Get("Retry-After"))
		cancel()
		<-done
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return b.cancellable(ctx, "POST", "/api/endpoints/"+id.String()+"/test") != 429
		}, 10*time.Second, 10*time.Millisecond, "a client that leaves frees its slot")
	})
}

func TestEndpointHealth(t *testing.T) {
	t.Parallel()

	t.Run("IsShownAndBeginsAnewWhenTheEndpointIsEnabled", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.newEndpoint("acme", "")
		path := "/api/endpoints/" + id.String()
		health := func(r response) object { return b.requireObject(r, 200)["health"].(object) }
		require.Equal(t, "healthy", health(b.do("GET", path, ""))["state"])
		require.Nil(t, health(b.do("GET", path, ""))["last_success_at"])

		b.exec(`INSERT INTO outhook.endpoint_health (endpoint_id, state, state_changed_at, consecutive_failures, failing_since,
			last_success_at, last_failure_at, last_status_code, probe_at) VALUES ($1, 'failing', '2026-01-02T03:04:05Z', 7,
			'2026-01-02T03:04:05Z', '2026-01-01T03:04:05Z', '2026-01-03T03:04:05Z', 503, '2026-01-04T03:04:05Z')`, id)
		want := object{
			"state": "failing", "state_changed_at": "2026-01-02T03:04:05Z", "consecutive_failures": 7.0,
			"failing_since": "2026-01-02T03:04:05Z", "last_success_at": "2026-01-01T03:04:05Z",
			"last_failure_at": "2026-01-03T03:04:05Z", "last_status_code": 503.0, "last_error": nil, "probe_at": nil,
		}
		require.Equal(t, want, health(b.do("GET", path, "")))
		items := b.requireObject(b.do("GET", "/api/endpoints", ""), 200)["items"].([]any)
		require.Equal(t, want, items[0].(object)["health"])

		disabled := health(b.do("PATCH", path, `{"status":"disabled"}`))
		require.Equal(t, "disabled", disabled["state"])
		require.Equal(t, "2026-01-04T03:04:05Z", disabled["probe_at"])
		enabled := health(b.do("PATCH", path, `{"status":"enabled"}`))
		require.Equal(t, "healthy", enabled["state"])
		require.Zero(t, enabled["consecutive_failures"])
		require.Nil(t, enabled["failing_since"])
		require.Equal(t, "2026-01-01T03:04:05Z", enabled["last_success_at"])
		require.Zero(t, b.count(`SELECT count(*) FROM outhook.endpoint_health WHERE probe_at IS NOT NULL`))
	})

	t.Run("TheOperatorTenantHasEndpointsAndNoPublisher", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		require.Equal(t, health.OperatorTenant, b.requireObject(b.do("GET", "/api/endpoints/"+
			b.newEndpoint("outhook.operator", `,"event_types":["outhook.endpoint.*"]`).String(), ""), 200)["tenant_id"])
		b.requireFault(b.do("POST", "/api/events", `{"tenant_id":"outhook.operator","type":"a","payload":{}}`), 422, "body.tenant_id", "reserved")
		r := b.do("POST", "/api/events/batch", `{"events":[{"tenant_id":"outhook.operator","type":"a","payload":{}}]}`)
		require.Equal(t, 422, r.status, "%s", r.body)
	})
}
