package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/ledger"
)

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
		"FilterNotAnObject":       {`"filter":"s3cret"`, "body.filter", "must be an object like"},
		"FilterOfNothing":         {`"filter":{}`, "body.filter", "has no condition"},
		"FilterUnknownPlace":      {`"filter":{"amount":"s3cret"}`, "body.filter.amount", "type, tenant_id and data"},
		"FilterUnknownOperator":   {`"filter":{"data":{"a":{"$regex":"s3cret"}}}`, "body.filter.data.a", "known are $eq"},
		"FilterTwice":             {`"filter":{"data":{"a":1,"a":"s3cret"}}`, "body.filter.data", "twice"},
		"FilterTooDeep":           {`"filter":{"data":` + strings.Repeat(`{"a":`, 10) + `1` + strings.Repeat(`}`, 10) + `}`, "body.filter.data" + strings.Repeat(".a", 9), "10 levels"},
		"FilterTooMany":           {`"filter":{"data":{"a":{"$in":[` + repeat("%d", 21) + `]}}}`, "body.filter.data.a", "20 comparisons"},
		"FilterTextTooLong":       {`"filter":{"data":"` + strings.Repeat("s", 257) + `"}`, "body.filter.data", "256 bytes"},
		"LabelsNotAnArray":        {`"labels":"s3cret"`, "body.labels", "array"},
		"LabelOddCharacters":      {`"labels":["a","s3 cret"]`, "body.labels[1]", "64 bytes"},
		"LabelTooLong":            {`"labels":["` + strings.Repeat("s", 65) + `"]`, "body.labels[0]", "64 bytes"},
		"LabelTwice":              {`"labels":["a","b","a"]`, "body.labels[2]", "twice"},
		"FormatUnknown":           {`"format":"s3cret"`, "body.format", "must be standard or cloudevents"},
		"OrderUnknown":            {`"ordered":"s3cret"`, "body.ordered", "must be block or skip"},
		"FormatNotAString":        {`"format":1`, "body.format", "string"},
		"TooManyLabels":           {`"labels":[` + repeat(`"l%d"`, 101) + `]`, "body.labels", "100"},
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
