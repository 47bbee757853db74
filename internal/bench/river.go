package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/outhook/outhook/migrations"
)

// The baseline is River as its users set it up for speed: as many workers, a pool as large and a receiver as ours, a
// short cooldown. Its tables are those of our migrations, so without the GIN indexes and with autovacuum for a queue.
const (
	riverWorkers  = 500
	riverCooldown = 10 * time.Millisecond
	riverPoll     = 250 * time.Millisecond
	riverConns    = 20
)

// postArgs is a webhook as a job without any table of its own.
type postArgs struct {
	ID      uuid.UUID       `json:"id"`
	URL     string          `json:"url"`
	Payload json.RawMessage `json:"payload"`
}

// Kind names the job.
func (postArgs) Kind() string { return "post" }

// postWorker sends it, unsigned, and keeps no log.
type postWorker struct {
	river.WorkerDefaults[postArgs]

	client *http.Client
}

// Work posts once. Any status but 2xx is an error, which River retries.
func (w *postWorker) Work(ctx context.Context, job *river.Job[postArgs]) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, job.Args.URL, bytes.NewReader(job.Args.Payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", job.Args.ID.String())

	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}

	if res.StatusCode/100 != 2 {
		return errors.New("refused")
	}
	return nil
}

func newRiver(pool *pgxpool.Pool, workers *river.Workers) (*river.Client[pgx.Tx], error) {
	cfg := &river.Config{Schema: migrations.Schema, Logger: slog.New(slog.DiscardHandler)}
	if workers != nil {
		cfg.Workers, cfg.FetchCooldown, cfg.FetchPollInterval = workers, riverCooldown, riverPoll
		cfg.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}}
	}

	client, err := river.NewClient(riverpgxv5.New(pool), cfg)
	if err != nil {
		return nil, fmt.Errorf("configuring River: %w", err)
	}
	return client, nil
}

// ServeRiver is the process of bare River's workers. It ends with ctx.
func ServeRiver(ctx context.Context, stdout io.Writer, databaseURL string) error {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return errors.New("the database's URL is not valid")
	}
	cfg.MaxConns = riverConns
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer pool.Close()

	transport := &http.Transport{MaxIdleConns: riverWorkers, MaxIdleConnsPerHost: riverWorkers, DisableCompression: true}
	defer transport.CloseIdleConnections()

	workers := river.NewWorkers()
	river.AddWorker(workers, &postWorker{client: &http.Client{Transport: transport}})
	client, err := newRiver(pool, workers)
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("starting River: %w", err)
	}

	_, _ = fmt.Fprintln(stdout, addressPrefix+"none")
	<-ctx.Done()

	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return client.Stop(stopCtx)
}

func (st *stage) measureRiver(ctx context.Context) (*Figures, error) {
	client, err := newRiver(st.pool, nil)
	if err != nil {
		return nil, err
	}

	start := func(ctx context.Context) error {
		for range st.cfg.Workers {
			c, err := st.spawnKind(KindRiver, nil, "OUTHOOK_DATABASE_URL="+st.pg.URL(st.database))
			if err != nil {
				return err
			}
			st.add("worker", c)
			if _, err := c.value(ctx, addressPrefix, "\n"); err != nil {
				return err
			}
		}
		return nil
	}

	url := st.receiver.url + "/0"
	settled := func(context.Context) error { return nil }
	if st.cfg.Mode == ModeDrain {
		return st.drain(ctx, settled, func(ctx context.Context, n int) ([]uuid.UUID, error) {
			ids, params := make([]uuid.UUID, n), make([]river.InsertManyParams, n)
			for i := range n {
				ids[i] = uuid.Must(uuid.NewV7())
				params[i].Args = postArgs{ids[i], url, payload(time.Now(), st.cfg.PayloadBytes)}
			}
			_, err := client.InsertManyFast(ctx, params)
			return ids, err
		}, start)
	}

	if err := start(ctx); err != nil {
		return nil, err
	}
	return st.flow(ctx, settled, func(ctx context.Context, _ int, due time.Time) ([]uuid.UUID, error) {
		args := postArgs{uuid.Must(uuid.NewV7()), url, payload(due, st.cfg.PayloadBytes)}
		return []uuid.UUID{args.ID}, pgx.BeginFunc(ctx, st.pool, func(tx pgx.Tx) error {
			_, err := client.InsertTx(ctx, tx, args, nil)
			return err
		})
	})
}
