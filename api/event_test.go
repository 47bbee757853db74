package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

// nastyPayloads are JSON that a decoder and an encoder would not give back as it was.
func nastyPayloads() map[string]string {
	return map[string]string{
		"NumberBeyondFloat":   `1e400`,
		"NumberAsWritten":     `{"amount":4200.00,"big":123456789012345678901234567890,"zero":-0.0,"e":1E+2}`,
		"RepeatedNames":       `{"a":1,"a":2,"A":3}`,
		"OddWhiteSpace":       "{ \"a\" :\t[ 1 ,\r\n 2 ] }",
		"EscapedSlashes":      `"http:\/\/x\u002fy"`,
		"HTML":                `"<script>&amp;</script>"`,
		"LineSeparators":      "\"a\u2028b\u2029c\"",
		"EscapedNUL":          `"a\u0000b"`,
		"HalfOfASurrogate":    `"\ud83d"`,
		"EscapesAsWritten":    `"\u00e9\u00E9é"`,
		"Null":                `null`,
		"False":               `false`,
		"EmptyObject":         `{}`,
		"BracketsInStrings":   `{"]}":"[{\"\\","x":"\\\\"}`,
		"NotABOM":             "\"\ufeff\"",
		"AtTheDepthLimit":     strings.Repeat("[", 512) + strings.Repeat("]", 512),
		"AtTheSizeLimit":      `"` + strings.Repeat("x", 262_144-2) + `"`,
		"ManyBracketsNotDeep": "[" + strings.Repeat("[],", 1000) + "{}]",
	}
}

func TestPostEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)

	t.Run("AnswersOnceEventDeliveriesAndJobsAreCommitted", func(t *testing.T) {
		t.Parallel()
		all := b.newEndpoint("acme", "")
		paid := b.newEndpoint("acme", `,"event_types":["invoice.*"]`)
		b.newEndpoint("acme", `,"event_types":["user.created"]`)
		b.newEndpoint("other", "")

		r := b.do("POST", "/api/events", `{"tenant_id":"acme","type":"invoice.paid","payload":{"amount":4200}}`)
		got := b.requireObject(r, 202)
		id := uuid.MustParse(got["id"].(string))
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, "acme", got["tenant_id"])
		require.Equal(t, "invoice.paid", got["type"])
		require.Equal(t, false, got["duplicate"])
		require.EqualValues(t, 2, got["delivery_count"])
		created, err := time.Parse(time.RFC3339Nano, got["created_at"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), created, time.Minute)
		require.Len(t, got, 6)

		require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.events WHERE id = $1 AND created_at = $2", id, created))
		require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.deliveries AS d JOIN outhook.river_job AS j ON j.id = d.job_id
			WHERE d.event_id = $1 AND d.endpoint_id = ANY ($2) AND j.queue = 'deliver'`, id, []uuid.UUID{all, paid}))
	})

	t.Run("StoresAnEventThatNobodyIsSubscribedTo", func(t *testing.T) {
		t.Parallel()
		r := b.do("POST", "/api/events", `{"tenant_id":"nobody","type":"a","payload":1}`)
		require.EqualValues(t, 0, b.requireObject(r, 202)["delivery_count"])
	})

	t.Run("TakesOtherJSONMediaTypes", func(t *testing.T) {
		t.Parallel()
		for _, media := range []string{"application/json; charset=utf-8", "application/cloudevents+json", "Application/JSON"} {
			r := b.do("POST", "/api/events", `{"tenant_id":"media","type":"a","payload":1}`, "Content-Type", media)
			require.Equal(t, 202, r.status, media)
		}
	})

	t.Run("TakesEscapedNamesAndTheOrderThatComes", func(t *testing.T) {
		t.Parallel()
		r := b.do("POST", "/api/events", ` { "payload" : [1] , "t\u0079pe":"a.b", "tenant_id" : "\u0061cme2" , "idempotency_key":null } `)
		require.Equal(t, "acme2", b.requireObject(r, 202)["tenant_id"])
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newEndpoint("acme", "")
	post := func(members string, headers ...string) response {
		return b.do("POST", "/api/events", `{"tenant_id":"acme","type":"invoice.paid","payload":{"n":1}`+members+`}`, headers...)
	}
	first := b.requireObject(post(`,"idempotency_key":"k1"`), 202)

	t.Run("DuplicateReturnsFirstEvent", func(t *testing.T) {
		t.Parallel()
		for _, r := range []response{
			post(`,"idempotency_key":"k1"`),
			post(``, "Idempotency-Key", "k1"),
			post(`,"idempotency_key":"k1"`, "Idempotency-Key", "k1"),
		} {
			got := b.requireObject(r, 200)
			require.Equal(t, first["id"], got["id"])
			require.Equal(t, first["created_at"], got["created_at"])
			require.Equal(t, true, got["duplicate"])
			require.EqualValues(t, 1, got["delivery_count"])
		}
		require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.event_keys WHERE tenant_id = 'acme' AND idempotency_key = 'k1'"))
	})

	t.Run("OtherTypeOrPayloadIsAConflict", func(t *testing.T) {
		t.Parallel()
		for _, event := range []string{
			`{"tenant_id":"acme","type":"invoice.void","payload":{"n":1},"idempotency_key":"k1"}`,
			`{"tenant_id":"acme","type":"invoice.paid","payload":{"n": 1},"idempotency_key":"k1"}`,
		} {
			b.requireFault(b.do("POST", "/api/events", event), 409, "body.idempotency_key", "another event")
			b.requireFault(b.do("POST", "/api/events/batch", `{"events":[`+event+`]}`), 409, "body.events[0].idempotency_key", "another event")
		}
	})

	t.Run("IsTheTenantsOwn", func(t *testing.T) {
		t.Parallel()
		r := b.do("POST", "/api/events", `{"tenant_id":"other","type":"a","payload":2,"idempotency_key":"k1"}`)
		require.Equal(t, false, b.requireObject(r, 202)["duplicate"])
	})

	t.Run("InHeaderAndBodyMustBeEqual", func(t *testing.T) {
		t.Parallel()
		b.requireFault(post(`,"idempotency_key":"k2"`, "Idempotency-Key", "k3"), 422, "header.Idempotency-Key", "differs")
	})

	t.Run("EmptyMeansNone", func(t *testing.T) {
		t.Parallel()
		for range 2 {
			require.Equal(t, false, b.requireObject(post(`,"idempotency_key":""`), 202)["duplicate"])
		}
	})
}

func TestPostEventRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := func(tenant, eventType, rest string) string {
		return fmt.Sprintf(`{"tenant_id":%s,"type":%s,"payload":{}%s}`, tenant, eventType, rest)
	}
	long := `"` + strings.Repeat("x", 256) + `"`
	for name, c := range map[string]struct {
		body              string
		status            int
		location, message string // "": no place is named
	}{
		"EmptyBody":              {" ", 400, "", ""},
		"MalformedJSON":          {`{"tenant_id":"s3cret`, 400, "", ""},
		"TrailingData":           {event(`"s3cret"`, `"a"`, "") + "{}", 400, "", ""},
		"TrailingComma":          {`{"tenant_id":"s3cret",}`, 400, "", ""},
		"NotUTF8":                {event("\"s3cret\xff\"", `"a"`, ""), 400, "", ""},
		"NotUTF8InPayload":       {"{\"tenant_id\":\"s3cret\",\"type\":\"a\",\"payload\":\"\xc3\x28\"}", 400, "", ""},
		"ByteOrderMark":          {"\ufeff" + event(`"s3cret"`, `"a"`, ""), 400, "", ""},
		"NotAnObject":            {`["s3cret"]`, 422, "body", "object"},
		"UnknownMember":          {event(`"s3cret"`, `"a"`, `,"x":"s3cret"`), 422, "body.x", "unknown"},
		"UnknownMemberOddName":   {event(`"s3cret"`, `"a"`, `,"s3cret <b>":1`), 422, "body", "unknown"},
		"MemberInOtherCase":      {`{"Tenant_id":"s3cret","tenant_id":"a","type":"a","payload":1}`, 422, "body.Tenant_id", "unknown"},
		"MemberTwice":            {event(`"s3cret"`, `"a"`, `,"type":"b"`), 422, "body.type", "twice"},
		"PayloadTwice":           {event(`"s3cret"`, `"a"`, `,"payload":1`), 422, "body.payload", "twice"},
		"TenantMissing":          {`{"type":"a","payload":1}`, 422, "body.tenant_id", "required"},
		"TypeMissing":            {`{"tenant_id":"s3cret","payload":1}`, 422, "body.type", "required"},
		"PayloadMissing":         {`{"tenant_id":"s3cret","type":"a"}`, 422, "body.payload", "required"},
		"TenantNotAString":       {event(`17`, `"a"`, ""), 422, "body.tenant_id", "string"},
		"TenantNull":             {event(`null`, `"a"`, ""), 422, "body.tenant_id", "string"},
		"TenantEmpty":            {event(`""`, `"a"`, ""), 422, "body.tenant_id", "empty"},
		"TenantTooLong":          {event(long, `"a"`, ""), 422, "body.tenant_id", "longer"},
		"TenantWithNUL":          {event(`"s3cret\u0000"`, `"a"`, ""), 422, "body.tenant_id", "NUL"},
		"TenantWithControl":      {event(`"s3cret\n"`, `"a"`, ""), 422, "body.tenant_id", "control"},
		"TenantHalfSurrogate":    {event(`"s3cret\ud800"`, `"a"`, ""), 422, "body.tenant_id", "surrogate"},
		"TypeNotDotted":          {event(`"x"`, `"s3cret-type"`, ""), 422, "body.type", "dots"},
		"TypeReserved":           {event(`"x"`, `"outhook.s3cret"`, ""), 422, "body.type", "reserved"},
		"TypeTooLong":            {event(`"x"`, long, ""), 422, "body.type", "longer"},
		"KeyNotAString":          {event(`"x"`, `"a"`, `,"idempotency_key":1`), 422, "body.idempotency_key", "string"},
		"KeyTooLong":             {event(`"x"`, `"a"`, `,"idempotency_key":`+long), 422, "body.idempotency_key", "longer"},
		"KeyWithNUL":             {event(`"x"`, `"a"`, `,"idempotency_key":"s3cret\u0000"`), 422, "body.idempotency_key", "NUL"},
		"PayloadTooDeep":         {`{"tenant_id":"x","type":"a","payload":` + strings.Repeat("[", 513) + strings.Repeat("]", 513) + `}`, 422, "body.payload", "512"},
		"PayloadTooDeepToParse":  {`{"tenant_id":"x","type":"a","payload":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, 422, "body", "deep"},
		"PayloadTooLarge":        {`{"tenant_id":"x","type":"a","payload":"` + strings.Repeat("s3cret", 43_691) + `"}`, 413, "body.payload", "262144"},
		"BodyTooLarge":           {`{"tenant_id":"x","type":"a","payload":1}` + strings.Repeat(" ", 300_000), 413, "", ""},
		"ManyFaultsAreNamedOnce": {`{"tenant_id":1,"payload":1,"type":"a"}`, 422, "body.tenant_id", "string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := b.do("POST", "/api/events", c.body)
			require.NotContains(t, string(r.body), "s3cret", "an error must not repeat the input")
			if c.location == "" {
				require.Empty(t, b.requireProblem(r, c.status).Errors)
				return
			}
			b.requireFault(r, c.status, c.location, c.message)
		})
	}

	t.Run("OtherContent", func(t *testing.T) {
		t.Parallel()
		const body = `{"tenant_id":"x","type":"a","payload":1}`
		for _, headers := range [][]string{
			{"Content-Type", "text/plain"},
			{"Content-Type", "application/x-www-form-urlencoded"},
			{"Content-Type", ""},
			{"Content-Type", "application/jsonx"},
			{"Content-Encoding", "gzip"},
		} {
			b.requireProblem(b.do("POST", "/api/events", body, headers...), 415)
		}
	})

	t.Run("StoresNothing", func(t *testing.T) {
		t.Parallel()
		require.Zero(t, b.count("SELECT count(*) FROM outhook.events"))
	})
}

func TestPayloadIsKeptByteForByte(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, payload := range nastyPayloads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, json.Valid([]byte(payload)))
			single := `{"tenant_id":"acme","type":"a.b","payload": ` + payload + ` ,"idempotency_key":"` + name + `"}`
			batch := `{"events":[{"tenant_id":"batch","type":"a","payload":` + payload + `}]}`
			for _, r := range []response{b.do("POST", "/api/events", single), b.do("POST", "/api/events/batch", batch)} {
				require.Equal(t, 202, r.status, "%s", r.body)
				id := uuid.MustParse(string(bytes.SplitN(r.body, []byte(`"id":"`), 2)[1][:36]))
				var stored string
				require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT payload::text FROM outhook.events WHERE id = $1", id).Scan(&stored))
				require.Equal(t, payload, stored)

				got := b.do("GET", "/api/events/"+id.String(), "")
				require.Equal(t, 200, got.status)
				_, tail, _ := bytes.Cut(got.body, []byte(`,"payload":`))
				require.Equal(t, payload+"}\n", string(tail))
				require.True(t, json.Valid(got.body))
			}
		})
	}

	t.Run("WithTheWhiteSpaceThatSQLPublishes", func(t *testing.T) {
		t.Parallel()
		var id uuid.UUID
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT outhook.enqueue('sql', 'a', ' {"a" : 1}'||chr(10))`).Scan(&id))
		got := b.do("GET", "/api/events/"+id.String(), "")
		require.Contains(t, string(got.body), ",\"payload\": {\"a\" : 1}\n}")
	})
}

func TestPostBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxBatchEvents = 50; cfg.Limits.MaxBatchBytes = 64 << 10 })
	b.newEndpoint("acme", "")
	item := func(tenant, rest string) string {
		return `{"tenant_id":"` + tenant + `","type":"a.b","payload":{"n":1}` + rest + `}`
	}
	post := func(items ...string) response {
		return b.do("POST", "/api/events/batch", `{"events":[`+strings.Join(items, ",")+`]}`)
	}
	results := func(r response) []any {
		t.Helper()
		return b.requireObject(r, 202)["results"].([]any)
	}

	t.Run("AnswersInOrder", func(t *testing.T) {
		t.Parallel()
		list := results(post(item("acme", ""), item("none", ""), item("acme", "")))
		require.Len(t, list, 3)
		for i, tenant := range []string{"acme", "none", "acme"} {
			require.Equal(t, tenant, list[i].(object)["tenant_id"])
		}
		require.EqualValues(t, 1, list[0].(object)["delivery_count"])
		require.EqualValues(t, 0, list[1].(object)["delivery_count"])
		require.Less(t, list[0].(object)["id"], list[2].(object)["id"])
	})

	t.Run("DuplicatesInsideAreStoredOnce", func(t *testing.T) {
		t.Parallel()
		list := results(post(item("dup", `,"idempotency_key":"k"`), item("dup", ""), item("dup", `,"idempotency_key":"k"`)))
		require.Equal(t, false, list[0].(object)["duplicate"])
		require.Equal(t, true, list[2].(object)["duplicate"])
		require.Equal(t, list[0].(object)["id"], list[2].(object)["id"])
		require.Equal(t, 2, b.count("SELECT count(*) FROM outhook.events WHERE tenant_id = 'dup'"))

		again := results(post(item("dup", `,"idempotency_key":"k"`), item("dup", "")))
		require.Equal(t, list[0].(object)["id"], again[0].(object)["id"])
	})

	t.Run("InvalidItemStoresNothing", func(t *testing.T) {
		t.Parallel()
		r := post(item("allornone", ""), item("allornone", ""), `{"tenant_id":"allornone","type":"a b","payload":1}`, item("allornone", ""))
		b.requireFault(r, 422, "body.events[2].type", "dots")
		require.Zero(t, b.count("SELECT count(*) FROM outhook.events WHERE tenant_id = 'allornone'"))
	})

	t.Run("ConflictStoresNothing", func(t *testing.T) {
		t.Parallel()
		results(post(item("conflict", `,"idempotency_key":"k"`)))
		bad := `{"tenant_id":"conflict","type":"a.b","payload":{"n":2},"idempotency_key":"k"}`
		b.requireFault(post(item("conflict", ""), bad, item("conflict", "")), 409, "body.events[1].idempotency_key", "another event")
		fresh := `{"tenant_id":"conflict","type":"a.b","payload":{"n":2},"idempotency_key":"fresh"}`
		b.requireFault(post(item("conflict", `,"idempotency_key":"fresh"`), fresh), 409, "body.events[1].idempotency_key", "another event")
		require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.events WHERE tenant_id = 'conflict'"))
		require.Equal(t, 1, b.count("SELECT count(*) FROM outhook.event_keys WHERE tenant_id = 'conflict'"))
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		many := strings.TrimSuffix(strings.Repeat(item("many", "")+",", 51), ",")
		for body, want := range map[string]struct{ location, message string }{
			`{"events":[]}`:   {"body.events", "at least one"},
			`{}`:              {"body.events", "array"},
			`{"events":null}`: {"body.events", "array"},
			`{"events":{}}`:   {"body.events", "array"},
			`{"events":[1]}`:  {"body.events[0]", "object"},
			`{"events":[` + item("a", `,"y":1`) + `]}`:    {"body.events[0].y", "unknown"},
			`{"events":[` + item("a", "") + `],"more":1}`: {"body.more", "unknown"},
			`{"events":[` + many + `]}`:                   {"body.events", "at most 50"},
		} {
			b.requireFault(b.do("POST", "/api/events/batch", body), 422, want.location, want.message)
		}
		r := b.do("POST", "/api/events/batch", `{"events":[`+item("a", "")+`]}`, "Idempotency-Key", "k")
		b.requireFault(r, 422, "header.Idempotency-Key", "each event")
		b.requireProblem(b.do("POST", "/api/events/batch", `{"events":[`+strings.Repeat(" ", 70<<10)+`]}`), 413)
	})
}

func TestPayloadLimitCanBeLowered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxPayloadBytes = 100 })
	event := func(n int) string {
		return `{"tenant_id":"a","type":"a","payload":"` + strings.Repeat("x", n-2) + `"}`
	}
	require.Equal(t, 202, b.do("POST", "/api/events", event(100)).status)
	b.requireFault(b.do("POST", "/api/events", event(101)), 413, "body.payload", "100 bytes")
	b.requireFault(b.do("POST", "/api/events/batch", `{"events":[`+event(5)+","+event(101)+`]}`), 413, "body.events[1].payload", "100 bytes")
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for i := range 7 {
		ids = append([]string{b.newEvent([]string{"acme", "other"}[i%2], "a.b").String()}, ids...)
	}
	b.newEndpoint("acme", "")
	last := b.newEvent("acme", "c").String()
	ids = append([]string{last}, ids...)
	list := func(query string) (got []string, next string) {
		t.Helper()
		r := b.requireObject(b.do("GET", "/api/events"+query, ""), 200)
		for _, item := range r["items"].([]any) {
			got = append(got, item.(object)["id"].(string))
		}
		next, _ = r["next_cursor"].(string)
		return got, next
	}

	t.Run("NewestFirst", func(t *testing.T) {
		t.Parallel()
		got, next := list("")
		require.Equal(t, ids, got)
		require.Empty(t, next)
	})

	t.Run("PagesMeetWithoutOverlap", func(t *testing.T) {
		t.Parallel()
		var all []string
		for query := "?limit=3"; query != ""; {
			got, next := list(query)
			all = append(all, got...)
			query = ""
			if next != "" {
				query = "?limit=3&cursor=" + next
			}
		}
		require.Equal(t, ids, all)
		_, next := list("?limit=8")
		require.Empty(t, next, "a page that holds all rows is the last")
	})

	t.Run("Filters", func(t *testing.T) {
		t.Parallel()
		got, _ := list("?tenant_id=other")
		require.Len(t, got, 3)
		got, _ = list("?type=c&tenant_id=acme")
		require.Equal(t, []string{last}, got)
		got, _ = list("?tenant_id=nobody")
		require.Empty(t, got)
		created := b.requireObject(b.do("GET", "/api/events/"+last, ""), 200)["created_at"].(string)
		got, _ = list("?since=" + created)
		require.Equal(t, []string{last}, got)
		got, _ = list("?until=" + created)
		require.Equal(t, ids[1:], got)
		got, _ = list("?since=0001-01-01T00:00:00Z&until=9999-01-01T00:00:00Z")
		require.Equal(t, ids, got)
		got, _ = list("?until=0001-01-01T00:00:00Z")
		require.Empty(t, got)
	})

	t.Run("CountsDeliveries", func(t *testing.T) {
		t.Parallel()
		r := b.requireObject(b.do("GET", "/api/events?limit=2", ""), 200)
		require.EqualValues(t, 1, r["items"].([]any)[0].(object)["delivery_count"])
		require.EqualValues(t, 0, r["items"].([]any)[1].(object)["delivery_count"])
	})

	t.Run("Refuses", func(t *testing.T) {
		t.Parallel()
		for query, location := range map[string]string{
			"?limit=0":                    "query.limit",
			"?limit=201":                  "query.limit",
			"?limit=s3cret":               "query.limit",
			"?since=s3cret":               "query.since",
			"?until=2026-01-01":           "query.until",
			"?cursor=s3cret":              "query.cursor",
			"?cursor=AAAA":                "query.cursor",
			"?tenant_id=s3cret%00":        "query.tenant_id",
			"?type=s3cret%ff":             "query.type",
			"?tenant=s3cret":              "query.tenant",
			"?s3cret%3Cb%3E=1":            "query",
			"?type=" + long("s3cret", 99): "query.type",
		} {
			r := b.do("GET", "/api/events"+query, "")
			b.requireFault(r, 422, location, "")
			require.NotContains(t, string(r.body), "s3cret", query)
		}
	})
}

func long(s string, n int) string { return strings.Repeat(s, n) }

func TestGetEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.newEndpoint("acme", "")
	id := b.newEvent("acme", "invoice.paid")

	t.Run("HasPayloadAndDeliveries", func(t *testing.T) {
		t.Parallel()
		got := b.requireObject(b.do("GET", "/api/events/"+id.String(), ""), 200)
		require.Equal(t, id.String(), got["id"])
		require.Equal(t, object{}, got["payload"])
		deliveries := got["deliveries"].([]any)
		require.Len(t, deliveries, 1)
		require.Equal(t, endpoint.String(), deliveries[0].(object)["endpoint_id"])
		require.Equal(t, "pending", deliveries[0].(object)["state"])
	})

	t.Run("WithoutDeliveriesHasAnEmptyList", func(t *testing.T) {
		t.Parallel()
		got := b.requireObject(b.do("GET", "/api/events/"+b.newEvent("nobody", "a").String(), ""), 200)
		require.Equal(t, []any{}, got["deliveries"])
	})

	t.Run("UnknownIsNotFound", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"", "/attempts"} {
			b.requireProblem(b.do("GET", "/api/events/"+uuid.NewString()+path, ""), http.StatusNotFound)
			r := b.do("GET", "/api/events/s3cret"+path, "")
			b.requireFault(r, 422, "path.id", "UUID")
			require.NotContains(t, string(r.body), "s3cret")
		}
	})
}
