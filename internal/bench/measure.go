package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/outhook/outhook"
)

const (
	// patience is how long no delivery may arrive before those that are missing are counted as lost.
	patience = 30 * time.Second

	// backlogBatch is how many events are enqueued at once before a drain.
	backlogBatch = 500
)

// stage is one measurement: a database of its own, a receiver, and what else runs.
type stage struct {
	*system

	database string
	pool     *pgxpool.Pool
	receiver *remote
	parts    map[string][]*process // by the name under which their CPU time is counted
	closers  []func() error
}

func (s *system) measure(ctx context.Context, baseline string, pair int) (f *Figures, err error) {
	switch baseline {
	case BaselineAgainst:
		s = s.serving(s.cfg.Against)
	case BaselineUnwatched, BaselineAgain:
		alone := *s
		alone.cfg.Viewers, s = 0, &alone
	case BaselineEvents:
		plain := *s
		plain.cfg.Svix, s = false, &plain
	}
	st := &stage{system: s, database: fmt.Sprintf("bench_%s_%d", baseline, pair), parts: map[string][]*process{}}
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

	switch baseline {
	case BaselineRiver:
		return st.measureRiver(ctx)
	case BaselinePostgres:
		return st.measurePostgres(ctx)
	default:
		return st.measureOuthook(ctx)
	}
}

// close ends the stage's processes, the last started first.
func (st *stage) close() error {
	var all []error
	for _, stop := range slices.Backward(st.closers) {
		all = append(all, stop())
	}
	return errors.Join(all...)
}

func (st *stage) add(part string, c *process) {
	st.parts[part] = append(st.parts[part], c)
	st.closers = append(st.closers, c.stop)
}

func (st *stage) startReceiver(ctx context.Context) error {
	c, err := st.spawnKind(KindReceiver, []string{
		"--answer-bytes", strconv.Itoa(st.cfg.AnswerBytes), "--fail-first", strconv.Itoa(st.cfg.FailFirst),
	})
	if err != nil {
		return err
	}
	st.add("receiver", c)

	address, err := c.value(ctx, addressPrefix, "\n")
	if err != nil {
		return err
	}
	st.receiver = newRemote("http://" + address)
	return nil
}

// addressPrefix is what the helper processes print before their address.
const addressPrefix = "address "

// ServeReceiver is the receiver's process. It prints its address to stdout.
func ServeReceiver(ctx context.Context, stdout io.Writer, address string, answerBytes, failFirst int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}

	_, _ = fmt.Fprintf(stdout, "%s%s\n", addressPrefix, l.Addr())
	return NewReceiver(answerBytes, failFirst).Serve(ctx, l)
}

func (st *stage) startWorkers(ctx context.Context, n int, env ...string) error {
	for range n {
		c, _, err := st.serve(ctx, st.database, "worker", env...)
		if err != nil {
			return err
		}
		st.add("worker", c)
	}
	return nil
}

// startAPIs starts the API processes and makes the tenant's endpoints.
func (st *stage) startAPIs(ctx context.Context) (apis []*api, err error) {
	for range max(st.cfg.APIs, 1) {
		c, url, err := st.serve(ctx, st.database, "api")
		if err != nil {
			return nil, err
		}
		st.add("api", c)

		a, err := newAPI(url, st.key, st.cfg.Conns)
		if err != nil {
			return nil, err
		}
		apis = append(apis, a)
	}
	if st.cfg.Svix {
		if err := apis[0].addApplications(ctx, st.cfg); err != nil {
			return nil, err
		}
	}
	return apis, apis[0].addEndpoints(ctx, st.cfg, st.receiver.url)
}

// keepAll keeps the retention from dropping what was preloaded, while it is measured: that has a benchmark of its own.
const keepAll = "OUTHOOK_RETENTION=3650d"

func (st *stage) measureOuthook(ctx context.Context) (*Figures, error) {
	// Before there is a connection to the API, which closes those that are idle for as long as a large preload takes.
	if err := st.preload(ctx); err != nil {
		return nil, err
	}

	apis, err := st.startAPIs(ctx)
	if err != nil {
		return nil, err
	}

	if st.cfg.Mode == ModeDrain {
		return st.drain(ctx, st.awaitSettled, func(ctx context.Context, n int) ([]uuid.UUID, error) {
			return enqueueMany(ctx, st.pool, st.cfg, n)
		}, func(ctx context.Context) error { return st.startWorkers(ctx, st.cfg.Workers, keepAll) })
	}

	if err := st.startWorkers(ctx, st.cfg.Workers, keepAll); err != nil {
		return nil, err
	}

	enqueue := enqueueREST(apis, st.cfg)
	if st.cfg.Mode == ModeClient {
		enqueue = enqueueClient(st.pool, st.cfg)
	}
	if st.cfg.Viewers == 0 {
		return st.flow(ctx, st.awaitSettled, enqueue)
	}

	viewers, err := st.watch(ctx, apis[0].url.String())
	if err != nil {
		return nil, err
	}
	f, err := st.flow(ctx, st.awaitSettled, enqueue)
	if err = errors.Join(err, viewers.end()); err != nil {
		return nil, err
	}
	f.Refused = viewers.refused.Load()
	return f, nil
}

// enqueueREST posts an event or a batch, each connection to one of the APIs.
func enqueueREST(apis []*api, cfg Config) enqueueFunc {
	var turn atomic.Int64
	event := func(due time.Time) []byte {
		return fmt.Appendf(nil, `{"tenant_id":%q,"type":%q,"payload":%s}`,
			cfg.tenant(turn.Add(1)), eventType, payload(due, cfg.PayloadBytes))
	}

	switch {
	case cfg.Svix:
		return func(ctx context.Context, conn int, due time.Time) ([]uuid.UUID, error) {
			return apis[conn%len(apis)].message(ctx, cfg.tenant(turn.Add(1)), payload(due, cfg.PayloadBytes))
		}
	case cfg.Mode != ModeBatch:
		return func(ctx context.Context, conn int, due time.Time) ([]uuid.UUID, error) {
			key := ""
			if cfg.Keyed {
				key = newKey()
			}
			var answer struct{ ID uuid.UUID }
			data, err := apis[conn%len(apis)].callOnce(ctx, http.MethodPost, "/api/events", key, event(due))
			if err == nil {
				err = json.Unmarshal(data, &answer)
			}
			return []uuid.UUID{answer.ID}, err
		}
	}

	return func(ctx context.Context, conn int, due time.Time) ([]uuid.UUID, error) {
		body := []byte(`{"events":[`)
		for i := range cfg.BatchSize {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, event(due)...)
		}
		body = append(body, "]}"...)

		data, err := apis[conn%len(apis)].post(ctx, "/api/events/batch", body)
		if err != nil {
			return nil, err
		}

		var answer struct{ Results []struct{ ID uuid.UUID } }
		if err := json.Unmarshal(data, &answer); err != nil {
			return nil, fmt.Errorf("reading the API's answer: %w", err)
		}

		ids := make([]uuid.UUID, len(answer.Results))
		for i, r := range answer.Results {
			ids[i] = r.ID
		}
		return ids, nil
	}
}

// enqueueClient enqueues as an application does: in the transaction of its own change.
func enqueueClient(pool *pgxpool.Pool, cfg Config) enqueueFunc {
	var turn atomic.Int64
	return func(ctx context.Context, conn int, due time.Time) (ids []uuid.UUID, err error) {
		tenant := cfg.tenant(turn.Add(1))
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := insertBusiness(ctx, tx, tenant, conn); err != nil {
				return err
			}

			result, err := outhook.Enqueue(ctx, tx, outhook.Event{
				TenantID: tenant, Type: eventType, Payload: payload(due, cfg.PayloadBytes),
			})
			if err != nil {
				return err
			}

			ids, err = parseIDs(result)
			return err
		})
		return ids, err
	}
}

func parseIDs(results ...outhook.Result) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(results))
	for i, r := range results {
		var err error
		if ids[i], err = uuid.Parse(r.ID); err != nil {
			return nil, fmt.Errorf("reading an event's id: %w", err)
		}
	}
	return ids, nil
}

func insertBusiness(ctx context.Context, tx pgx.Tx, tenant string, conn int) error {
	_, err := tx.Exec(ctx, "INSERT INTO business (customer, amount) VALUES ($1, $2)", tenant, conn)
	return err
}

// enqueueMany enqueues n events with one payload.
func enqueueMany(ctx context.Context, pool *pgxpool.Pool, cfg Config, n int) (ids []uuid.UUID, err error) {
	same := payload(time.Now(), cfg.PayloadBytes)
	events := make([]outhook.Event, n)
	for i := range events {
		events[i] = outhook.Event{TenantID: cfg.tenant(int64(i)), Type: eventType, Payload: same}
	}

	// A transaction of more would be a burst, and its deliveries go to the bulk queue, which has fewer workers.
	for part := range chunks(events, bulkFrom-1) {
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			results, err := outhook.EnqueueMany(ctx, tx, part)
			if err != nil {
				return err
			}
			parsed, err := parseIDs(results...)
			ids = append(ids, parsed...)
			return err
		})
		if err != nil {
			return ids, err
		}
	}
	return ids, nil
}

// bulkFrom is from how many events in a transaction on their deliveries go to the bulk queue.
const bulkFrom = 100

func chunks[T any](list []T, n int) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(list) > 0 {
			part := list[:min(n, len(list))]
			list = list[len(part):]
			if !yield(part) {
				return
			}
		}
	}
}

// flow measures enqueuing and delivering at the same time.
func (st *stage) flow(ctx context.Context, settle func(context.Context) error, enqueue enqueueFunc) (*Figures, error) {
	m, err := st.begin(ctx)
	if err != nil {
		return nil, err
	}

	done, progress := st.progress(st.cfg.Mode, -1)
	l, err := generate(ctx, st.cfg, enqueue, progress)
	done()
	if err != nil {
		return nil, err
	}

	if st.cfg.Workers > 0 {
		if err := st.receiver.await(ctx, int64(len(l.ids)*st.cfg.Endpoints), patience, func(int64) {}); err != nil {
			return nil, err
		}
		if err := settle(ctx); err != nil {
			return nil, err
		}
	}

	f, err := m.end(ctx, l.ids)
	if err != nil {
		return nil, err
	}

	f.AcceptedPerS = perSecond(f.Accepted, l.ended.Sub(l.began))
	f.AcceptMS = newLatency(l.latency)
	f.DeliveredPerS = perSecond(f.Delivered, m.ended.Sub(l.began))
	return f, nil
}

// drain measures the delivery of a backlog, from the first receipt on.
func (st *stage) drain(ctx context.Context, settle func(context.Context) error,
	enqueue func(ctx context.Context, n int) ([]uuid.UUID, error), start func(context.Context) error,
) (*Figures, error) {
	ids, err := st.backlog(ctx, enqueue)
	if err != nil {
		return nil, err
	}

	m, err := st.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := start(ctx); err != nil {
		return nil, err
	}

	done, progress := st.progress("drain", int64(len(ids)*st.cfg.Endpoints))
	err = st.receiver.await(ctx, int64(len(ids)*st.cfg.Endpoints), patience, progress)
	done()
	if err == nil {
		err = settle(ctx)
	}
	if err != nil {
		return nil, err
	}

	f, err := m.end(ctx, ids)
	if err != nil {
		return nil, err
	}

	f.DeliveredPerS = perSecond(f.Delivered, m.ended.Sub(time.Unix(0, m.received.FirstNanos)))
	return f, nil
}

func (st *stage) backlog(
	ctx context.Context, enqueue func(ctx context.Context, n int) ([]uuid.UUID, error),
) ([]uuid.UUID, error) {
	done, progress := st.progress("backlog", int64(st.cfg.Count))
	defer done()

	var next, count atomic.Int64
	parts := make([][]uuid.UUID, min(st.cfg.Conns, 4))
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		g.Go(func() error {
			for {
				first := next.Add(backlogBatch) - backlogBatch
				if first >= int64(st.cfg.Count) {
					return nil
				}

				ids, err := enqueue(ctx, int(min(backlogBatch, int64(st.cfg.Count)-first)))
				if err != nil {
					return fmt.Errorf("enqueueing the backlog: %w", err)
				}

				parts[i] = append(parts[i], ids...)
				progress(count.Add(int64(len(ids))))
			}
		})
	}

	err := g.Wait()
	var all []uuid.UUID
	for _, p := range parts {
		all = append(all, p...)
	}
	return all, err
}

// awaitSettled waits until every delivery is settled and so every attempt is in the log.
func (st *stage) awaitSettled(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()

	deadline := time.Now().Add(patience)
	for {
		var waiting bool
		err := st.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM outhook.deliveries WHERE state = 'pending')").Scan(&waiting)
		if err != nil {
			return fmt.Errorf("looking for pending deliveries: %w", err)
		}
		if !waiting || time.Now().After(deadline) {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// progress shows a bar until done is called. Total −1: no end is known.
func (st *stage) progress(what string, total int64) (done func(), set func(int64)) {
	if st.cfg.Progress == nil {
		return func() {}, func(int64) {}
	}

	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(st.cfg.Progress), progressbar.OptionSetDescription(st.database+" "+what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionClearOnFinish())

	var last atomic.Int64
	return func() { _ = bar.Finish() }, func(n int64) {
		if n-last.Load() > 100 {
			last.Store(n)
			_ = bar.Set64(n)
		}
	}
}

// meter holds the counters at the beginning of a measurement.
type meter struct {
	st       *stage
	cpu      map[string]float64
	wal      int64
	disk     map[string]int64
	received receipts
	ended    time.Time
}

func (st *stage) begin(ctx context.Context) (*meter, error) {
	if _, err := st.admin.Exec(ctx, "CHECKPOINT"); err != nil {
		return nil, fmt.Errorf("writing a checkpoint: %w", err)
	}

	m := &meter{st: st}
	var err error
	if m.disk, err = diskBytes(ctx, st.pool); err != nil {
		return nil, err
	}
	if m.wal, err = st.walPosition(ctx); err != nil {
		return nil, fmt.Errorf("reading the WAL position: %w", err)
	}

	m.cpu = st.cpu()
	return m, nil
}

// cpu returns the CPU seconds so far by part. Where the system does not tell them they are 0.
func (st *stage) cpu() map[string]float64 {
	sums := map[string]float64{}
	for part, children := range st.parts {
		for _, c := range children {
			seconds, _ := cpuOf(c.pid())
			sums[part] += seconds
		}
	}

	sums["postgres"], _ = cpuOfTree(st.pgPID)
	sums["client"], _ = cpuOf(os.Getpid())
	return sums
}

func (m *meter) end(ctx context.Context, ids []uuid.UUID) (*Figures, error) {
	m.ended = time.Now()
	f := &Figures{Accepted: int64(len(ids)), CPUByPart: map[string]float64{}, DiskByTable: map[string]float64{}}

	for part, seconds := range m.st.cpu() {
		used := perEvent((seconds-m.cpu[part])*1e6, len(ids))
		f.CPUByPart[part] = used
		f.CPUPerEvent += used
	}

	wal, err := m.st.walPosition(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the WAL position: %w", err)
	}
	f.WALPerEvent = perEvent(float64(wal-m.wal), len(ids))

	disk, err := diskBytes(ctx, m.st.pool)
	if err != nil {
		return nil, err
	}
	for table, size := range disk {
		if grown := perEvent(float64(size-m.disk[table]), len(ids)); grown >= 1 {
			f.DiskByTable[table] = grown
			f.DiskPerEvent += grown
		}
	}

	if m.received, err = m.st.receiver.receipts(ctx, "/receipts"); err != nil {
		return nil, err
	}
	f.Delivered = m.received.Count
	f.ReceiptMS = m.received.latency()

	if m.st.cfg.Workers > 0 {
		f.Lost, f.Duplicates, err = m.st.receiver.compare(ctx, ids, m.st.cfg.Endpoints)
	}
	return f, err
}

func perEvent(sum float64, events int) float64 {
	return math.Round(sum/float64(max(events, 1))*10) / 10
}
