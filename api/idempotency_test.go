package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api"
)

const (
	idempotencyKey = "Idempotency-Key"
	replayed       = "Idempotent-Replayed"
)

// requireReplay wants the first answer once more.
func (b *testBundle) requireReplay(first, again response) {
	b.t.Helper()
	require.Equal(b.t, first.status, again.status, "%s", again.body)
	require.Equal(b.t, string(first.body), string(again.body))
	require.Empty(b.t, first.header.Get(replayed))
	require.Equal(b.t, "true", again.header.Get(replayed))
	for _, name := range []string{"Location", "Content-Type", "Cache-Control", "X-Content-Type-Options"} {
		require.Equal(b.t, first.header.Values(name), again.header.Values(name), name)
	}
	require.NotEqual(b.t, first.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"))
}

// Every POST of the document but those of events, whose keys are the events' own.
func TestEveryPostIsRepeatable(t *testing.T) {
	t.Parallel()
	m := setupMatrix(t)
	other, _ := m.newKey("admin", "")
	seen := 0
	for path, item := range m.api.OpenAPI().Paths {
		if item.Post == nil || strings.HasPrefix(path, "/api/events") || item.Post.OperationID == "preview-filter" {
			continue
		}
		seen++
		name := item.Post.OperationID
		names := []string{}
		for _, p := range item.Post.Parameters {
			names = append(names, p.Name)
		}
		require.Contains(t, names, idempotencyKey, name)
		require.Contains(t, item.Post.Responses, "409", name)

		e, o, key := matrix()[name], m.newObjects(ownTenant), uuid.NewString()
		body := ""
		if e.body != nil {
			body = e.body(o)
		}
		first := m.do("POST", e.path(o), body, idempotencyKey, key)
		require.Less(t, first.status, 300, "%s: %s", name, first.body)
		before := m.state()
		m.requireReplay(first, m.do("POST", e.path(o), body, idempotencyKey, key))
		require.Equal(t, before, m.state(), name)

		if body != "" {
			m.requireFault(m.do("POST", e.path(o), body+" ", idempotencyKey, key), 409, "header.Idempotency-Key", "another request")
		}
		m.requireFault(m.do("POST", e.path(o)+"?a=b", body, idempotencyKey, key), 409, "header.Idempotency-Key", "another request")
		require.Equal(t, before, m.state(), name)
		require.Empty(t, m.as(other, "POST", e.path(o), body, idempotencyKey, key).header.Get(replayed), "%s: another API key", name)
	}
	require.Greater(t, seen, 8)
}

// A repeated request makes nothing twice, however many come at once.
func TestTwinsMakeOneChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rounds, twins = 25, 6
	for round := range rounds {
		body := fmt.Sprintf(`{"tenant_id":"acme","url":"https://example.com/%d"}`, round)
		key, answers, errs := uuid.NewString(), make([]response, twins), make([]error, twins)
		var all sync.WaitGroup
		for i := range twins {
			all.Go(func() { answers[i], errs[i] = b.try("POST", "/api/endpoints", body, idempotencyKey, key) })
		}
		all.Wait()

		made := 0
		for i, a := range answers {
			require.NoError(t, errs[i])
			if a.status == 409 { // on a machine that is very busy
				require.Equal(t, "1", a.header.Get("Retry-After"))
				continue
			}
			require.Equal(t, 201, a.status, "%s", a.body)
			if a.header.Get(replayed) == "" {
				made++
			}
			require.Equal(t, string(answers[slices.IndexFunc(answers, func(r response) bool { return r.status == 201 })].body), string(a.body))
		}
		require.Equal(t, 1, made)
		require.Equal(t, round+1, b.count(`SELECT count(*) FROM outhook.endpoints`))
	}
	require.Equal(t, rounds, b.count(`SELECT count(*) FROM outhook.audit_entries`))
	require.Equal(t, rounds, b.count(`SELECT count(*) FROM outhook.stored_answers`))
}

// Requests with keys of their own that want the same uid or the same URL: one gets it, and the answer that is stored for
// it is that of its change; the others are refused, and never in trouble because they were slower.
func TestKeyedRequestsRace(t *testing.T) {
	t.Parallel()
	for name, unique := range map[string]bool{"UID": false, "URL": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(cfg *api.Config) { cfg.Limits.UniqueURLs = unique })
			const rounds, many = 10, 3
			for round := range rounds {
				body := fmt.Sprintf(`{"tenant_id":"acme","url":"https://example.com/%d"`, round)
				if !unique {
					body += fmt.Sprintf(`,"uid":"u%d"`, round)
				}
				body += "}"
				path := "/api/endpoints"
				if round%2 == 1 {
					path, body = path+"/batch", `{"endpoints":[`+body+`]}`
				}

				answers, errs, keys := make([]response, many), make([]error, many), make([]string, many)
				together(many, func(i int) {
					keys[i] = uuid.NewString()
					answers[i], errs[i] = b.try("POST", path, body, idempotencyKey, keys[i])
				})
				made := 0
				for i, a := range answers {
					require.NoError(t, errs[i])
					if a.status == 201 {
						made++
					} else {
						require.Contains(t, []string{"endpoint_uid_taken", "endpoint_url_taken"}, b.requireProblem(a, 409).Code)
					}
					b.requireReplay(a, b.do("POST", path, body, idempotencyKey, keys[i]))
				}
				require.Equal(t, 1, made)
			}
			require.Equal(t, rounds, b.count(`SELECT count(*) FROM outhook.endpoints`))
			require.Equal(t, rounds, b.count(`SELECT count(*) FROM outhook.audit_entries`))
		})
	}
}

// A twin waits for two seconds, and takes nothing meanwhile that others need.
func TestTwinsWaitWithoutAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.newEndpoint("acme", "")
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.ErrorIs(t, tx.Rollback(t.Context()), pgx.ErrTxClosed) }()
	_, err = tx.Exec(t.Context(), `SELECT FROM outhook.endpoints WHERE id = $1 FOR UPDATE`, id)
	require.NoError(t, err)

	key, path := uuid.NewString(), "/api/endpoints/"+id.String()+"/rotate-secret"
	rotate := func() response {
		r, _ := b.try("POST", path, "", idempotencyKey, key)
		return r
	}
	first := make(chan response, 1)
	go func() { first <- rotate() }()
	require.Eventually(t, func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, time.Millisecond)

	const twins = 12
	began, waiting := time.Now(), make(chan response, twins)
	for range twins {
		go func() { waiting <- rotate() }()
	}
	require.Eventually(t, func() bool { return b.api.UnderWay() == twins+1 }, time.Minute, time.Millisecond)
	// The same API key has three places at the database: the first has one, and no twin keeps another.
	for range 3 {
		require.Equal(t, 200, b.do("GET", "/api/endpoints", "").status)
	}
	require.Empty(t, waiting, "answered while all twins wait")

	for range twins {
		r := <-waiting
		p := b.requireProblem(r, 409)
		require.Contains(t, p.Detail, "is under way")
		require.Equal(t, "1", r.header.Get("Retry-After"))
	}
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second)

	require.NoError(t, tx.Commit(t.Context()))
	answer := <-first
	require.Equal(t, 200, answer.status, "%s", answer.body)
	b.requireReplay(answer, rotate())
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.endpoint_secrets`))
}

// What was refused once the change had begun is refused again; what was not valid, or in trouble, is tried again.
func TestWhichAnswersAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *api.Config) { cfg.Limits.MaxEndpoints = 2 })
	const good = `{"tenant_id":"acme","url":"https://example.com"}`
	post := func(key, body string) response { return b.do("POST", "/api/endpoints", body, idempotencyKey, key) }

	b.requireProblem(post("a", `{"tenant_id":"acme"}`), 422)
	require.Equal(t, 415, b.do("POST", "/api/endpoints", good, idempotencyKey, "a", "Content-Type", "text/plain").status)
	require.Zero(t, b.count(`SELECT count(*) FROM outhook.stored_answers`))
	first := post("a", good)
	b.requireObject(first, 201)
	b.requireReplay(first, post("a", good))

	// Trouble within the change, and at its commit.
	b.exec(`CREATE FUNCTION outhook.trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'trouble'; END $$`)
	for _, trigger := range []string{
		`CREATE TRIGGER trouble BEFORE INSERT ON outhook.audit_entries FOR EACH ROW EXECUTE FUNCTION outhook.trouble()`,
		`CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON outhook.audit_entries INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION outhook.trouble()`,
	} {
		b.exec(trigger)
		b.requireProblem(post("b", good), 500)
		b.exec(`DROP TRIGGER trouble ON outhook.audit_entries`)
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers`))
		require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.endpoints`))
	}
	second := post("b", good)
	b.requireObject(second, 201)
	b.requireReplay(second, post("b", good))

	// Refusals of the change.
	missing := "/api/endpoints/" + uuid.NewString() + "/rotate-secret"
	refused := b.do("POST", missing, "", idempotencyKey, "c")
	b.requireProblem(refused, 404)
	b.requireReplay(refused, b.do("POST", missing, "", idempotencyKey, "c"))
	full := post("d", good)
	b.requireProblem(full, 409)
	b.exec(`UPDATE outhook.endpoints SET deleted_at = now()`)
	b.requireReplay(full, post("d", good))
	b.requireObject(post("e", good), 201)
}

// What is stored belongs to one API key, and is nothing to anybody else.
func TestStoredAnswersAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	post := func(key string) response {
		return b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com/`+key+`"}`, idempotencyKey, key)
	}
	secret := b.requireObject(post("one"), 201)["secret"].(string)
	b.requireObject(post("two"), 201)

	var row string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT string_agg(encode(a.id, 'escape') || encode(a.sealed, 'escape') || a::text, '')
		FROM outhook.stored_answers AS a`).Scan(&row))
	for _, text := range []string{secret, "example.com", "one", adminKey} {
		require.NotContains(t, row, text)
	}

	// Of one row in the place of the other nothing is given.
	b.exec(`UPDATE outhook.stored_answers AS a SET sealed = o.sealed FROM outhook.stored_answers AS o WHERE o.id <> a.id`)
	require.NotContains(t, string(post("one").body), secret)
	b.requireProblem(post("two"), 500)
	require.Equal(t, 2, b.count(`SELECT count(*) FROM outhook.endpoints`))
}

// An answer is given for 24 hours, and goes with its API key.
func TestStoredAnswersEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text, id := b.newKey("tenant", "acme")
	post := func(body string) response { return b.as(text, "POST", "/api/endpoints", body, idempotencyKey, "k") }
	const one, two = `{"tenant_id":"acme","url":"https://example.com/1"}`, `{"tenant_id":"acme","url":"https://example.com/2"}`
	first := post(one)
	b.requireObject(first, 201)
	b.exec(`UPDATE outhook.stored_answers SET created_at = created_at - interval '23 hours 59 minutes'`)
	b.requireReplay(first, post(one))
	b.requireProblem(post(two), 409)

	b.exec(`UPDATE outhook.stored_answers SET created_at = created_at - interval '1 minute'`)
	second := post(two)
	b.requireObject(second, 201)
	b.requireReplay(second, post(two))
	b.requireProblem(post(one), 409)

	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers WHERE api_key_id = $1 AND tenant_ids = '{acme}'`, id))
	b.requireObject(b.do("POST", "/api/endpoints", one, idempotencyKey, "k"), 201)
	require.Equal(t, 204, b.do("DELETE", "/api/keys/"+id.String(), "", idempotencyKey, "k").status, "of no meaning here")
	require.Equal(t, 401, post(two).status)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers WHERE api_key_id IS NULL`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers`))
}

// A test that is repeated sends nothing again, and waits for the attempt of the first.
func TestATestIsSentOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newEndpoint("acme", `,"uid":"main"`)
	answers := make(chan response, 2)
	test := func() {
		r, _ := b.try("POST", "/api/endpoints/main/test?tenant_id=acme", "", idempotencyKey, "k")
		answers <- r
	}
	go test()
	require.Eventually(t, func() bool { return b.count(`SELECT count(*) FROM outhook.deliveries`) == 1 }, time.Minute, time.Millisecond)
	go test()
	require.Eventually(t, func() bool { return b.api.UnderWay() == 2 }, time.Minute, time.Millisecond)
	b.exec(`INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, outcome, status_code)
		SELECT event_id, endpoint_id, 1, now(), 'succeeded', 200 FROM outhook.deliveries`)

	one, two := <-answers, <-answers
	if one.header.Get(replayed) != "" {
		one, two = two, one
	}
	b.requireObject(one, 200)
	b.requireReplay(one, two)
	go test()
	b.requireReplay(one, <-answers)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.events`))
}

func TestIdempotencyKeysAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for key, message := range map[string]string{
		strings.Repeat("x", 256): "longer than 255 bytes", "a\tb": "control characters", "a\xff": "must be UTF-8",
	} {
		r := b.do("POST", "/api/endpoints", `{}`, idempotencyKey, key)
		b.requireFault(r, 422, "header.Idempotency-Key", message)
	}
	for _, values := range [][]string{{"a", "b"}, {""}} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.server.URL+"/api/operations/"+uuid.NewString()+"/pause", nil)
		require.NoError(t, err)
		req.Header = http.Header{"Authorization": {"Bearer " + adminKey}, idempotencyKey: values}
		res, err := b.server.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 422, res.StatusCode)
	}
	r := b.do("POST", "/api/endpoints", `{"tenant_id":"acme","url":"https://example.com"}`, idempotencyKey, strings.Repeat("é", 127))
	b.requireObject(r, 201)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM outhook.stored_answers`))
}
