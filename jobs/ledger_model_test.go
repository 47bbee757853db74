package jobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// liveJob is a condition on river_job: it will run, or runs.
	liveJob = `j.state IN ('available', 'retryable', 'scheduled', 'pending', 'running')`

	// modelClockError is how far the times of two workers' rows may be apart that were the same.
	modelClockError = 50 * time.Millisecond
)

// runID names a run of a delivery, and so its request and its row.
type runID struct {
	deliveryID

	number int
}

// gate is an endpoint's receiver, which answers when the model says so.
type gate struct {
	id     uuid.UUID
	server *httptest.Server

	mu       sync.Mutex
	open     bool                // everything is answered at once, with 204
	waiting  map[runID]chan int  // requests that are under way
	answered map[runID][]int     // statuses; 0: the worker hung up first
	arrived  map[runID]time.Time // the first with that number
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(r.Header.Get("outhook-attempt")) // 0 has no row
	id := runID{deliveryID{uuid.MustParse(r.Header.Get(signature.HeaderID)), g.id}, number}

	status := http.StatusNoContent
	if answer := g.enter(id); answer != nil {
		select {
		case status = <-answer:
		case <-r.Context().Done():
			status = 0
		}
	}

	g.mu.Lock()
	delete(g.waiting, id)
	g.answered[id] = append(g.answered[id], status)
	g.mu.Unlock()
	if status > 0 {
		w.WriteHeader(status)
	}
}

// enter returns what to wait for, nil: nothing.
func (g *gate) enter(id runID) chan int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.arrived[id]; !ok {
		g.arrived[id] = time.Now()
	}
	if g.open {
		return nil
	}
	answer := make(chan int, 1)
	g.waiting[id] = answer
	return answer
}

// answer answers one of the requests that are under way, and returns false if there is none.
func (g *gate) answer(r *rapid.T, status int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(g.waiting), func(a, b runID) int { return g.arrived[a].Compare(g.arrived[b]) })
	if len(keys) == 0 {
		return false
	}
	id := keys[rapid.IntRange(0, len(keys)-1).Draw(r, "request")]
	g.waiting[id] <- status
	delete(g.waiting, id)
	return true
}

// release answers everything from now on.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	for _, answer := range g.waiting {
		answer <- http.StatusNoContent
	}
	clear(g.waiting)
}

// ledgerModel has two workers and everybody else who may move a delivery or its job, and what the ledger must say
// after each of their steps, in any order.
type ledgerModel struct {
	*testBundle

	t       *testing.T
	r       *rapid.T // told of a broken rule, to find the shortest way there
	tenant  string
	gates   []*gate
	events  []uuid.UUID
	clients [2]*jobs.Client

	lost    map[runID]bool      // runs that were taken away from a worker: nobody may ever hear of their outcome
	ordered map[deliveryID]bool // people have moved it: its schedule says nothing any more
	revived map[deliveryID]bool // a person has started its job again, in River UI
}

func newLedgerModel(t *testing.T, r *rapid.T, b *testBundle) *ledgerModel {
	t.Helper()
	m := &ledgerModel{
		testBundle: b, t: t, r: r, tenant: "t-" + uuid.NewString(),
		lost: map[runID]bool{}, ordered: map[deliveryID]bool{}, revived: map[deliveryID]bool{},
	}
	for i := range 2 {
		g := &gate{waiting: map[runID]chan int{}, answered: map[runID][]int{}, arrived: map[runID]time.Time{}}
		g.server = httptest.NewServer(g)
		options := []endpointOption{
			withURL(g.server.URL), withSchedule(retry.Schedule{time.Second, time.Second, 2 * time.Second}),
			func(p *db.InsertEndpointParams) { p.TenantID, p.TimeoutMS = m.tenant, 20_000 },
		}
		if i == 0 {
			g.id, _ = b.endpoint(t, options...)
		} else {
			g.id = b.limited(t, 20, "second", options...)
		}
		m.gates = append(m.gates, g)
	}
	for i := range m.clients {
		m.startWorker(i)
	}
	return m
}

func (m *ledgerModel) startWorker(i int) {
	client, err := jobs.New(m.config(m.t))
	require.NoError(m.t, err)
	require.NoError(m.t, client.Start(m.ctx))
	m.clients[i] = client
}

func (m *ledgerModel) gate(r *rapid.T) *gate {
	return m.gates[rapid.IntRange(0, len(m.gates)-1).Draw(r, "endpoint")]
}

func (m *ledgerModel) drawDelivery(r *rapid.T) deliveryID {
	if len(m.events) == 0 {
		r.Skip("no event yet")
	}
	return deliveryID{m.events[rapid.IntRange(0, len(m.events)-1).Draw(r, "event")], m.gate(r).id}
}

func (m *ledgerModel) enqueue(r *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(r, "events") {
		var id uuid.UUID
		require.NoError(m.t, m.pool.QueryRow(m.ctx, `SELECT outhook.enqueue($1, 'a.b', '{"n": 1}')`, m.tenant).Scan(&id))
		m.events = append(m.events, id)
	}
}

func (m *ledgerModel) answers(status int) func(*rapid.T) {
	return func(r *rapid.T) {
		if !m.gate(r).answer(r, status) {
			r.Skip("no request is under way")
		}
	}
}

// rescue takes a run away from its worker, as RescueJobs does with its row, while that goes on with it.
func (m *ledgerModel) rescue(*rapid.T) {
	const sql = `WITH stuck AS MATERIALIZED (
			SELECT i.id, (i.args ->> 'event_id')::uuid AS event_id, (i.args ->> 'endpoint_id')::uuid AS endpoint_id,
				coalesce((i.args ->> 'base')::integer, 0) + i.attempt AS number, i.metadata ? 'cancel_attempted_at' AS to_cancel
			FROM outhook.river_job AS i WHERE i.state = 'running' AND i.kind = 'deliver' ORDER BY i.id LIMIT 1 FOR UPDATE SKIP LOCKED
		), due AS MATERIALIZED (
			SELECT s.*, n.free, n.next_attempt_at FROM stuck AS s
			CROSS JOIN outhook.note_lost_run(s.event_id, s.endpoint_id, s.id, s.number, s.to_cancel) AS n
		)
		UPDATE outhook.river_job AS j SET scheduled_at = greatest(due.next_attempt_at, now()),
			state = CASE WHEN due.to_cancel THEN 'cancelled' WHEN due.next_attempt_at > now() THEN 'retryable'
				ELSE 'available' END::outhook.river_job_state,
			finalized_at = CASE WHEN due.to_cancel THEN now() END
		FROM due WHERE j.id = due.id AND due.free
		RETURNING due.event_id, due.endpoint_id, due.number`
	m.lose(sql)
}

// mayRun is every run that may be under way: that of a cancelled job too, whose worker has yet to hear of it.
const mayRun = `SELECT (j.args ->> 'event_id')::uuid, (j.args ->> 'endpoint_id')::uuid,
		coalesce((j.args ->> 'base')::integer, 0) + j.attempt
	FROM outhook.river_job AS j WHERE j.state IN ('running', 'cancelled') AND j.kind = 'deliver'`

// lose notes the runs that a query returns as lost.
func (m *ledgerModel) lose(sql string, args ...any) {
	rows, err := m.pool.Query(m.ctx, sql, args...)
	require.NoError(m.t, err)
	var id runID
	_, err = pgx.ForEachRow(rows, []any{&id.eventID, &id.endpointID, &id.number}, func() error {
		m.lost[id] = true
		return nil
	})
	require.NoError(m.t, err)
	require.NoError(m.t, rows.Err())
}

// crash ends a worker without letting it record anything any more. The other one rescues what it had.
func (m *ledgerModel) crash(r *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(r, "worker")
	m.lose(mayRun)
	ctx, cancel := context.WithCancel(m.ctx)
	cancel()
	_ = m.clients[i].Stop(ctx) // it says that it was cut short
	m.lose(mayRun)             // it may have fetched more
	m.startWorker(i)
}

func (m *ledgerModel) status(s db.EndpointStatus) func(*rapid.T) {
	return func(r *rapid.T) {
		g := m.gate(r)
		for _, eventID := range m.events {
			m.ordered[deliveryID{eventID, g.id}] = true
		}
		m.setStatus(m.t, g.id, s)
	}
}

func (m *ledgerModel) replay(r *rapid.T) {
	d, now := m.drawDelivery(r), rapid.Bool().Draw(r, "now")
	m.order(d)
	err := m.testBundle.replay(m.t, d.eventID, d.endpointID, now)
	if !errors.Is(err, ledger.ErrPending) && !errors.Is(err, ledger.ErrEndpointGone) && !errors.Is(err, ledger.ErrNotFound) {
		require.NoError(m.t, err)
	}
	m.lose(mayRun+` AND (j.args ->> 'event_id')::uuid = $1 AND (j.args ->> 'endpoint_id')::uuid = $2
		AND j.id NOT IN (SELECT d.job_id FROM outhook.deliveries AS d)`, d.eventID, d.endpointID) // it was fetched just now
}

func (m *ledgerModel) cancel(r *rapid.T) {
	d := m.drawDelivery(r)
	m.ordered[d] = true
	err := m.inTx(m.t, func(tx pgx.Tx) error { return ledger.Cancel(m.ctx, tx, d.eventID, d.endpointID) })
	if !errors.Is(err, ledger.ErrSettled) && !errors.Is(err, ledger.ErrNotFound) {
		require.NoError(m.t, err)
	}
}

// order notes that a person starts a delivery again, whose last run may not have heard that it was cancelled: what that
// has not sent is not sent any more, but its number is taken.
func (m *ledgerModel) order(d deliveryID) {
	m.ordered[d] = true
	m.lose(mayRun+` AND (j.args ->> 'event_id')::uuid = $1 AND (j.args ->> 'endpoint_id')::uuid = $2`, d.eventID, d.endpointID)
}

// retryInUI starts the job of a settled delivery again, as River UI does.
func (m *ledgerModel) retryInUI(r *rapid.T) {
	d := m.drawDelivery(r)
	m.order(d)
	m.revived[d] = true
	m.exec(m.t, `UPDATE outhook.river_job AS j SET state = 'available', scheduled_at = now(), finalized_at = NULL
		FROM outhook.deliveries AS d WHERE d.event_id = $1 AND d.endpoint_id = $2 AND j.id = d.job_id
			AND j.state IN ('completed', 'discarded', 'cancelled')`, d.eventID, d.endpointID)
}

// invariant looks at what must hold at any moment.
func (m *ledgerModel) invariant(*rapid.T) {
	require.Zero(m.r, m.number(m.t, `SELECT count(*) FROM outhook.deliveries AS d WHERE d.state = 'pending'
		AND NOT EXISTS (SELECT FROM outhook.river_job AS j WHERE j.id = d.job_id AND `+liveJob+`)`),
		"pending without a live job")

	rows, err := m.pool.Query(m.ctx, `SELECT d.event_id, d.endpoint_id FROM outhook.deliveries AS d
		JOIN outhook.river_job AS j ON j.id = d.job_id WHERE d.state <> 'pending' AND `+liveJob+`
			AND NOT (j.state = 'running' AND j.metadata ? 'cancel_attempted_at')`) // which ends with its run
	require.NoError(m.t, err)
	var d deliveryID
	_, err = pgx.ForEachRow(rows, []any{&d.eventID, &d.endpointID}, func() error {
		require.True(m.r, m.revived[d], "delivery %v is settled, its job is live, and nobody ordered it", d)
		return nil
	})
	require.NoError(m.t, err)
	require.NoError(m.t, rows.Err())

	for _, g := range m.gates {
		g.mu.Lock()
		for id, statuses := range g.answered {
			require.Len(m.r, statuses, 1, "two requests with one number: %v", id)
		}
		g.mu.Unlock()
	}
}

// finish lets everything settle.
func (m *ledgerModel) finish() {
	for _, g := range m.gates {
		m.setStatus(m.t, g.id, db.EndpointStatusEnabled)
		g.release()
	}
	eventually(m.t, func() bool {
		return m.number(m.t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`) == 0 &&
			m.number(m.t, `SELECT count(*) FROM outhook.river_job AS j WHERE j.kind = 'deliver' AND `+liveJob) == 0
	}, func() any {
		return m.number(m.t, `SELECT count(*) FROM outhook.deliveries WHERE state = 'pending'`)
	})
	m.stop() // a run whose job was cancelled under it still has its request to record
}

func (m *ledgerModel) stop() {
	for _, client := range m.clients {
		ctx, cancel := context.WithTimeout(m.ctx, 30*time.Second)
		_ = client.Stop(ctx)
		cancel()
	}
}

// close ends everything, also after a broken rule, whose deliveries must not be in the way of the next check.
func (m *ledgerModel) close() {
	for _, g := range m.gates {
		g.release()
	}
	m.stop()
	for _, g := range m.gates {
		g.server.Close()
	}
	m.exec(m.t, `TRUNCATE outhook.events, outhook.deliveries, outhook.delivery_attempts, outhook.river_job`)
}

// check compares the log with the requests, and its times with the schedule.
func (m *ledgerModel) check() {
	for _, eventID := range m.events {
		rows := map[runID]db.DeliveryAttempt{}
		for _, a := range m.attempts(m.t, eventID) {
			rows[runID{deliveryID{eventID, a.EndpointID}, int(a.Number)}] = a
		}
		for _, g := range m.gates {
			m.checkDelivery(g, deliveryID{eventID, g.id}, rows)
		}
	}
}

func (m *ledgerModel) checkDelivery(g *gate, d deliveryID, rows map[runID]db.DeliveryAttempt) {
	must := func(ok bool, rule string, args ...any) {
		if !ok { // rapid shows what the last of its attempts said, and not the first one that failed
			m.t.Logf(rule+"\n"+m.story(d, rows), args...)
			m.r.Fatalf(rule, args...)
		}
	}
	for id := range g.arrived {
		if id.deliveryID == d {
			_, ok := rows[id]
			must(ok, "the request %d has no row", id.number)
		}
	}
	delivery, err := db.New().GetDelivery(m.ctx, m.pool, d.eventID, d.endpointID)
	if errors.Is(err, pgx.ErrNoRows) {
		return // the endpoint was disabled when the event was enqueued
	}
	require.NoError(m.t, err)

	var due time.Time // of the next attempt; zero: nobody knows
	failures := 0
	for number := 1; number <= int(delivery.AttemptCount); number++ {
		id := runID{d, number}
		row, ok := rows[id]
		must(ok, "a hole at %d", number)
		_, sent := g.arrived[id]
		if row.Outcome == db.AttemptOutcomeUnknown {
			must(sent || m.lost[id], "the row %d has no request, and nobody lost its run", number)
			continue
		}

		must(sent, "the row %d has no request", number)
		must(!row.StartedAt.Add(modelClockError).Before(due), "%d left at %v and was due at %v", number, row.StartedAt, due)
		due = time.Time{}
		if delay, ok := m.delay(failures + 1); ok && !m.lost[id] && !m.ordered[d] && row.Outcome != db.AttemptOutcomeSucceeded {
			failures++
			due = row.StartedAt.Add(time.Duration(*row.DurationMS)*time.Millisecond + delay)
		}
	}
	_, ok := rows[runID{d, int(delivery.AttemptCount) + 1}]
	must(!ok, "a row beyond the count")
}

// story is what is known of a delivery whose log is wrong.
func (m *ledgerModel) story(d deliveryID, rows map[runID]db.DeliveryAttempt) string {
	var told strings.Builder
	var delivery, job string
	require.NoError(m.t, m.pool.QueryRow(m.ctx, `SELECT to_jsonb(d)::text, coalesce(to_jsonb(j)::text, 'no job')
		FROM outhook.deliveries AS d LEFT JOIN outhook.river_job AS j ON j.id = d.job_id
		WHERE d.event_id = $1 AND d.endpoint_id = $2`, d.eventID, d.endpointID).Scan(&delivery, &job))
	fmt.Fprintf(&told, "delivery %s\njob %s\n", delivery, job)
	for id, row := range rows {
		if id.deliveryID == d {
			fmt.Fprintf(&told, "row %d: %s at %v: %s\n", id.number, row.Outcome, row.StartedAt, text(row.Error))
		}
	}
	for _, g := range m.gates {
		for id, at := range g.arrived {
			if id.deliveryID == d {
				fmt.Fprintf(&told, "request %d at %v, answers %v\n", id.number, at, g.answered[id])
			}
		}
	}
	for id := range m.lost {
		if id.deliveryID == d {
			fmt.Fprintf(&told, "lost %d\n", id.number)
		}
	}
	return told.String()
}

func (*ledgerModel) delay(failures int) (time.Duration, bool) {
	return retry.Schedule{time.Second, time.Second, 2 * time.Second}.Delay(failures)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// modelChecks is how many sequences of steps are tried, if -rapid.checks does not say otherwise: one takes up to a minute,
// and a package of tests may take ten. The slow checks try more.
const modelChecks = "1"

// Whoever may move a delivery or its job does so in any order, one step after the other: the API's callers, people in
// River UI, two workers that fetch, send, record and crash, those who rescue, pace and reconcile. Requests wait until
// the model answers them, so that every run is overtaken by everything.
func TestTheLedgerHoldsInEveryOrderOfSteps(t *testing.T) {
	t.Parallel()
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		require.NoError(t, f.Value.Set(modelChecks))
	}
	b := setup(t)
	rapid.Check(t, func(r *rapid.T) {
		m := newLedgerModel(t, r, b)
		defer m.close()
		m.enqueue(r)
		r.Repeat(map[string]func(*rapid.T){
			"":          m.invariant,
			"enqueue":   m.enqueue,
			"succeed":   m.answers(http.StatusNoContent),
			"fail":      m.answers(http.StatusInternalServerError),
			"failAgain": m.answers(http.StatusInternalServerError),
			"gone":      m.answers(http.StatusGone),
			"rescue":    m.rescue,
			"crash":     m.crash,
			"pause":     m.status(db.EndpointStatusPaused),
			"disable":   m.status(db.EndpointStatusDisabled),
			"enable":    m.status(db.EndpointStatusEnabled),
			"replay":    m.replay,
			"cancel":    m.cancel,
			"retryInUI": m.retryInUI,
			"reconcile": func(*rapid.T) { m.reconcile(t) },
			"wait": func(r *rapid.T) {
				<-time.After(time.Duration(rapid.IntRange(1, 400).Draw(r, "ms")) * time.Millisecond)
			},
		})
		m.finish()
		m.check()
		t.Log(fmt.Sprint(len(m.events), " events, ", len(m.gates[0].arrived)+len(m.gates[1].arrived), " requests, ",
			len(m.lost), " runs lost"))
	})
}
