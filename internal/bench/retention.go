package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ModeRetention measures what the retention costs: see MeasureRetention.
const ModeRetention = "retention"

const (
	// agedDays is how many days of events stand in the tables, keptDays how many of them the retention keeps.
	agedDays = 40
	keptDays = 30

	// agedEvents and agedRate are Config.Preload's and Config.Rate's defaults in this mode.
	agedEvents = 2_000_000
	agedRate   = 300

	// maxDropMS is how long the dropping may take.
	maxDropMS = 5000
)

// RetentionReport is the result of MeasureRetention.
type RetentionReport struct {
	// Events stand in the tables before, over Days days.
	Events int `json:"events"`
	Days   int `json:"days"`

	// DroppedDays left in DropMS milliseconds, DroppedTables partitions in all.
	DroppedDays   int     `json:"dropped_days"`
	DroppedTables int     `json:"dropped_tables"`
	DropMS        float64 `json:"drop_ms"`

	// BeforeMS is how long an enqueue took in a time without the retention, DuringMS in one of the same length in which it
	// dropped the days.
	BeforeMS Latency `json:"accept_before_ms"`
	DuringMS Latency `json:"accept_during_ms"`

	// Sizes are of the days before, per event: what was not dropped has one delivery and one attempt each.
	Sizes []TableSize `json:"sizes_per_event"`

	// WALPerEvent is in bytes, of the events that were enqueued and delivered in the first time.
	WALPerEvent float64 `json:"wal_bytes_per_event"`
}

// TableSize is in bytes per event.
type TableSize struct {
	Table string  `json:"table"`
	Heap  float64 `json:"table_bytes"`
	Index float64 `json:"index_bytes"`
	Toast float64 `json:"toast_bytes"`
}

// agedSQL stores a day's events, each with a delivery and an attempt as they are after a success. $1 is the day, $2 how
// many, $3 the endpoint, $4 the length of the payload's text.
const agedSQL = `
WITH e AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
    SELECT outhook.uuid_v7($1::timestamptz + n * (interval '23 hours' / $2)), $1::timestamptz + n * (interval '23 hours' / $2),
        'aged', 'bench.aged', json_build_object('n', n, 'text', repeat('x', $4::integer))
    FROM generate_series(1, $2::integer) AS n
    RETURNING id, created_at
), d AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, state, attempt_count, completed_at)
    SELECT id, $3::uuid, row_number() OVER (), 'succeeded', 1, created_at FROM e
)
INSERT INTO outhook.delivery_attempts (event_id, endpoint_id, number, started_at, duration_ms, outcome, trigger, status_code,
    remote_addr, request_headers, response_headers)
SELECT id, $3::uuid, 1, created_at, 3, 'succeeded', 'scheduled', 204, '192.0.2.1:443',
    jsonb_build_object('webhook-id', id, 'webhook-timestamp', '1800000000', 'webhook-signature', '[redacted]',
        'content-type', 'application/json', 'user-agent', 'Outhook/1.0', 'outhook-attempt', '1'),
    '{"content-type": "text/plain", "date": "Tue, 24 Nov 2026 12:00:00 GMT", "content-length": "0"}'
FROM e`

// MeasureRetention stores events of 40 days, cfg.Preload in all, and drops those of the oldest 10 while others are
// enqueued by REST at cfg.Rate. It measures how long that takes, what enqueueing takes with and without it, and what an
// event needs on disk.
func MeasureRetention(ctx context.Context, cfg Config) (*RetentionReport, error) {
	cfg.Mode = ModeRetention
	cfg.Tenant = cmp.Or(cfg.Tenant, "bench")
	if cfg.Preload == 0 {
		cfg.Preload = agedEvents
	}
	if cfg.Rate == 0 {
		cfg.Rate = agedRate
	}

	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.URL != "" || len(cfg.Baselines) > 0 || cfg.Against != "" {
		return nil, errors.New("the mode retention has a server of its own and no baseline: " +
			"leave out --url, --baseline and --against")
	}

	var report *RetentionReport
	err := withSystem(ctx, cfg, func(s *system) (err error) {
		report, err = s.measureRetention(ctx)
		return err
	})
	return report, err
}

func (s *system) measureRetention(ctx context.Context) (r *RetentionReport, err error) {
	st := &stage{system: s, database: "bench_retention", parts: map[string][]*process{}}
	pool, drop, err := s.newDatabase(ctx, st.database)
	if err != nil {
		return nil, err
	}
	st.pool = pool
	defer func() {
		err = errors.Join(err, st.close())
		drop()
	}()

	if err := st.startReceiver(ctx); err != nil {
		return nil, err
	}
	if err := st.age(ctx); err != nil {
		return nil, err
	}

	r = &RetentionReport{Events: s.cfg.Preload / agedDays * agedDays, Days: agedDays}
	if r.Sizes, err = st.agedSizes(ctx, r.Events); err != nil {
		return nil, err
	}
	return r, st.enqueueAndDrop(ctx, r)
}

// age stores the days before today.
func (st *stage) age(ctx context.Context) error {
	done, progress := st.progress("days", agedDays)
	defer done()

	first := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -agedDays)
	_, err := st.pool.Exec(ctx, "SELECT outhook.create_partitions($1::date, $2::date)",
		first, first.AddDate(0, 0, agedDays))
	if err != nil {
		return fmt.Errorf("creating partitions: %w", err)
	}

	endpoint := uuid.Must(uuid.NewV7())
	text := max(st.cfg.PayloadBytes-len(`{"n" : 12345, "text" : ""}`), 0)
	for day := range agedDays {
		_, err := st.pool.Exec(ctx, agedSQL, first.AddDate(0, 0, day), st.cfg.Preload/agedDays, endpoint, text)
		if err != nil {
			return fmt.Errorf("storing a day's events: %w", err)
		}
		progress(int64(day))
	}

	if _, err := st.pool.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return fmt.Errorf("vacuuming: %w", err)
	}
	return nil
}

// agedSizes returns the sizes of the log tables by what they hold.
func (st *stage) agedSizes(ctx context.Context, events int) (sizes []TableSize, err error) {
	const query = `SELECT regexp_replace(c.relname, '_p\d{8}$', '') AS name,
			sum(pg_table_size(c.oid) - coalesce(t.size, 0))::float8, sum(pg_indexes_size(c.oid))::float8, sum(coalesce(t.size, 0))::float8
		FROM pg_class AS c
		LEFT JOIN LATERAL (SELECT pg_total_relation_size(c.reltoastrelid) AS size WHERE c.reltoastrelid <> 0) AS t ON true
		WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_p\d{8}$' GROUP BY 1 ORDER BY 1`
	rows, err := st.pool.Query(ctx, query) //nolint:rowserrcheck // ForEachRow checks it
	if err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}

	var t TableSize
	_, err = pgx.ForEachRow(rows, []any{&t.Table, &t.Heap, &t.Index, &t.Toast}, func() error {
		sizes = append(sizes, TableSize{
			Table: t.Table, Heap: perEvent(t.Heap, events), Index: perEvent(t.Index, events), Toast: perEvent(t.Toast, events),
		})
		return nil
	})
	return sizes, err
}

// enqueueAndDrop enqueues for a time, and again with the retention at work.
func (st *stage) enqueueAndDrop(ctx context.Context, r *RetentionReport) error {
	apis, err := st.startAPIs(ctx)
	if err != nil {
		return err
	}
	if err := st.startWorkers(ctx, st.cfg.Workers, keepAll); err != nil {
		return err
	}

	warm := st.cfg
	warm.Duration = 2 * time.Second
	if _, err := generate(ctx, warm, enqueueREST(anew(apis), st.cfg), func(int64) {}); err != nil {
		return err
	}

	m, err := st.begin(ctx)
	if err != nil {
		return err
	}

	done, progress := st.progress("before", -1)
	before, err := generate(ctx, st.cfg, enqueueREST(anew(apis), st.cfg), progress)
	done()
	if err == nil {
		err = st.awaitSettled(ctx)
	}
	if err != nil {
		return err
	}

	wal, err := st.walPosition(ctx)
	if err != nil {
		return fmt.Errorf("reading the WAL position: %w", err)
	}
	r.WALPerEvent = perEvent(float64(wal-m.wal), len(before.ids))
	r.BeforeMS = newLatency(before.latency)

	dropped := make(chan error, 1)
	go func() { dropped <- st.dropDays(ctx, r) }()
	done, progress = st.progress("during", -1)
	during, err := generate(ctx, st.cfg, enqueueREST(anew(apis), st.cfg), progress)
	done()
	if err = errors.Join(err, <-dropped); err != nil {
		return err
	}

	r.DuringMS = newLatency(during.latency)
	return st.awaitSettled(ctx)
}

// anew returns clients of the same APIs without connections: those of a load end with it.
func anew(apis []*api) []*api {
	list := make([]*api, len(apis))
	for i, a := range apis {
		list[i] = &api{url: a.url, head: a.head, idle: make(chan *apiConn, cap(a.idle))}
	}
	return list
}

// dropDays runs the retention once, in a process of its own.
func (st *stage) dropDays(ctx context.Context, r *RetentionReport) error {
	if err := sleepUntil(ctx, time.Now().Add(st.cfg.Duration/4)); err != nil {
		return err
	}
	c, err := st.spawnKind(KindRetain, []string{fmt.Sprintf("--retention=%dd", keptDays)},
		"OUTHOOK_DATABASE_URL="+st.pg.URL(st.database))
	if err != nil {
		return err
	}

	line, err := c.value(ctx, retainedPrefix, "\n")
	if err = errors.Join(err, c.stop()); err != nil {
		return err
	}

	if _, err := fmt.Sscan(line, &r.DroppedTables, &r.DropMS); err != nil {
		return fmt.Errorf("reading what was dropped: %w", err)
	}

	r.DroppedDays = r.DroppedTables / 3
	if r.DroppedDays != agedDays-keptDays {
		return fmt.Errorf("the retention dropped %d tables instead of those of %d days", r.DroppedTables, agedDays-keptDays)
	}
	return nil
}

const retainedPrefix = "retained "

// WriteRetained tells a benchmark what the retention did in so much time.
func WriteRetained(w io.Writer, tables int, took time.Duration) {
	_, _ = fmt.Fprintf(w, "%s%d %.1f\n", retainedPrefix, tables, took.Seconds()*1000)
}

// Missed says what of the measure was missed, or "": 10 days are dropped in less than 5 s, and the p99 of an enqueue is
// what it was, with a quarter and 5 ms for the machine's own drift.
func (r *RetentionReport) Missed() string {
	switch limit := r.BeforeMS.P99*1.25 + 5; {
	case r.DropMS >= maxDropMS:
		return fmt.Sprintf("dropping %d days took %.0f ms, not less than %d", r.DroppedDays, r.DropMS, maxDropMS)
	case r.DuringMS.P99 > limit:
		return fmt.Sprintf("the p99 of an enqueue was %.1f ms while days were dropped, more than %.1f", r.DuringMS.P99, limit)
	}
	return ""
}

// WriteJSON writes the report.
func (r *RetentionReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for people.
func (r *RetentionReport) WriteTable(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "%d events over %d days; %d days (%d tables) dropped in %.0f ms\n\n",
		r.Events, r.Days, r.DroppedDays, r.DroppedTables, r.DropMS)

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "accept ms\tp50\tp99\tp99.9\tmax\t")
	for _, l := range []struct {
		name string
		Latency
	}{{"before", r.BeforeMS}, {"while days are dropped", r.DuringMS}} {
		_, _ = fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t\n", l.name, l.P50, l.P99, l.P999, l.Max)
	}

	_, _ = fmt.Fprintln(w, "\t\t\t\t\t\nbytes an event\ttable\tindex\ttoast\tall\t")
	var sum TableSize
	for _, t := range r.Sizes {
		_, _ = fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t\n", t.Table, t.Heap, t.Index, t.Toast, t.Heap+t.Index+t.Toast)
		sum.Heap, sum.Index, sum.Toast = sum.Heap+t.Heap, sum.Index+t.Index, sum.Toast+t.Toast
	}

	_, _ = fmt.Fprintf(w, "all\t%.0f\t%.0f\t%.0f\t%.0f\t\n", sum.Heap, sum.Index, sum.Toast, sum.Heap+sum.Index+sum.Toast)
	_, _ = fmt.Fprintf(w, "WAL\t\t\t\t%.0f\t\n", math.Round(r.WALPerEvent))
	return w.Flush()
}
