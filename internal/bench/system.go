package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/migrations"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
)

// settings are a small production server's: fully durable, and a memory that 2 cores usually come with.
func settings() map[string]string {
	return map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "300", "checkpoint_timeout": "15min",
		// A COMMIT waits for all WAL before its own, also that of large transactions, unless it has been flushed along the
		// way.
		"wal_writer_delay": "3ms", "wal_writer_flush_after": "256kB",
	}
}

// system is the server side of a benchmark on this machine.
type system struct {
	cfg    Config
	server string // the binary of servers and schema; "": this one
	pg     *localpg.Server
	pgPID  int
	admin  *pgxpool.Pool
	key    string // of the API
	secret string // encryption key
}

func startSystem(ctx context.Context, cfg Config, dir string) (*system, error) {
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	pg, err := localpg.Start(startCtx, localpg.Config{DataDir: dir + "/pg", Settings: settings()})
	if err != nil {
		return nil, fmt.Errorf("starting Postgres: %w", err)
	}

	secret := []byte((rand.Text() + rand.Text())[:32])
	s := &system{cfg: cfg, pg: pg, key: rand.Text(), secret: base64.StdEncoding.EncodeToString(secret)}
	if s.admin, err = pgxpool.New(ctx, pg.URL("postgres")); err == nil {
		// The postmaster is the parent of our backend.
		var backend int
		if err = s.admin.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err == nil {
			s.pgPID, err = parentOf(backend)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reaching Postgres: %w", err), s.stop(ctx))
	}
	return s, nil
}

func (s *system) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()

	if s.admin != nil {
		s.admin.Close()
	}
	if err := s.pg.Stop(ctx); err != nil {
		return fmt.Errorf("stopping Postgres: %w", err)
	}
	return nil
}

// newDatabase makes a migrated database and returns a pool on it, and what drops it.
func (s *system) newDatabase(ctx context.Context, name string) (pool *pgxpool.Pool, drop func(), err error) {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, nil, fmt.Errorf("creating a database: %w", err)
	}

	cfg, err := pgxpool.ParseConfig(s.pg.URL(name))
	if err != nil {
		return nil, nil, fmt.Errorf("reading a URL: %w", err)
	}
	cfg.MaxConns = int32(s.cfg.Conns) + 4 //nolint:gosec // at most 1000
	if pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, nil, fmt.Errorf("opening the database: %w", err)
	}

	drop = func() {
		pool.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_, _ = s.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	}

	if err := s.migrate(ctx, name, pool); err != nil {
		drop()
		return nil, nil, fmt.Errorf("migrating: %w", err)
	}
	_, err = pool.Exec(ctx,
		"CREATE TABLE business (id bigserial PRIMARY KEY, customer text NOT NULL, amount integer NOT NULL)")
	if err != nil {
		drop()
		return nil, nil, fmt.Errorf("creating the business table: %w", err)
	}
	return pool, drop, nil
}

// migrate makes the schema of the binary that serves.
func (s *system) migrate(ctx context.Context, name string, pool *pgxpool.Pool) error {
	if s.server == "" {
		_, err := migrations.Up(ctx, pool)
		return err
	}

	c, err := spawn(s.server, []string{"migrate", "up"}, "OUTHOOK_DATABASE_URL="+s.pg.URL(name))
	if err != nil {
		return err
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		_ = c.Kill() // Wait says how it ended
	}

	if err := c.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", s.server, err, c.out)
	}
	return nil
}

// serve starts an Outhook process with a role on a database and returns it with its URL. env wins over what is set
// here.
func (s *system) serve(ctx context.Context, database, role string, env ...string) (*process, string, error) {
	defaults := []string{
		"OUTHOOK_DATABASE_URL=" + s.pg.URL(database), "OUTHOOK_API_KEY=" + s.key, "OUTHOOK_ENCRYPTION_KEY=" + s.secret,
		"OUTHOOK_ROLES=" + role, "OUTHOOK_LISTEN=127.0.0.1:0", "OUTHOOK_EGRESS_ALLOW=127.0.0.0/8",
		"OUTHOOK_EGRESS_PORTS=any", "OUTHOOK_EGRESS_ALLOW_HTTP=true", "OUTHOOK_LOG_FORMAT=json",
		"OUTHOOK_RETRY_SCHEDULE=1s,1s,1s", "OUTHOOK_MAX_ENDPOINTS=1000000",
	}
	if s.cfg.Svix {
		defaults = append(defaults, "OUTHOOK_SVIX_API=true")
	}
	executable, set := cmp.Or(s.server, s.cfg.Executable), append(defaults, env...) // of two values the last one holds
	c, err := spawn(executable, []string{"serve"}, set...)
	if err != nil {
		return nil, "", err
	}

	address, err := c.value(ctx, `"address":"`, `"`)
	if err != nil {
		return nil, "", errors.Join(err, c.stop())
	}
	return c, "http://" + address, nil
}

// walPosition returns the position of the write-ahead log in bytes.
func (s *system) walPosition(ctx context.Context) (n int64, err error) {
	err = s.admin.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&n)
	return n, err
}

// diskBytes returns the sizes of tables with their indexes, by table without its partitions' suffix.
func diskBytes(ctx context.Context, pool *pgxpool.Pool) (map[string]int64, error) {
	const query = `SELECT regexp_replace(c.relname, '_p\d{8}$', ''), sum(pg_total_relation_size(c.oid))::bigint
		FROM pg_class AS c WHERE c.relnamespace = 'outhook'::regnamespace AND c.relkind = 'r' GROUP BY 1`
	rows, err := pool.Query(ctx, query) //nolint:rowserrcheck // ForEachRow checks it
	if err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}

	sizes := map[string]int64{}
	var name string
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&name, &size}, func() error { sizes[name] = size; return nil })
	return sizes, err
}
