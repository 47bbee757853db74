package server

import (
	"context"
	"fmt"
	"net"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/outhook/outhook/internal/pg"
)

// The most connections that a process opens, by its role: docs/scaling.md says for what.
const (
	APIConnections    = 20
	WorkerConnections = 28
)

// readOnly is the SQLSTATE read_only_sql_transaction.
const readOnly = "25006"

// OpenPool opens a pool of at most maxConns connections, set up as the server's own, and checks that the database can
// be reached. name is shown in pg_stat_activity; changes have the last word on the configuration.
//
// Returns ErrNoDatabase if the URL is empty, ErrDatabaseURL if it can't be read, and pg.ErrNoSession behind a pooler
// that keeps no session.
func OpenPool(
	ctx context.Context, url, name string, maxConns int32, changes ...func(*pgxpool.Config),
) (*pgxpool.Pool, error) {
	if url == "" {
		return nil, ErrNoDatabase
	}

	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, ErrDatabaseURL // pgx's own message may hold parts of the URL, and so of the password
	}

	cfg.MaxConns = maxConns
	cfg.AfterConnect = prepareConn
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	closeReadOnly(cfg.ConnConfig)
	for _, change := range changes {
		change(cfg)
	}

	if err := pg.CheckSession(ctx, cfg.ConnConfig); err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reaching the database at %s:%d: %w", cfg.ConnConfig.Host, cfg.ConnConfig.Port, err)
	}

	return pool, nil
}

// prepareConn teaches a connection uuid.UUID, which pgx would send and read as text otherwise, through database/sql's
// interfaces, and the database what to do if this process is frozen.
func prepareConn(ctx context.Context, conn *pgx.Conn) error {
	pgxuuid.Register(conn.TypeMap())

	// Behind a pooler in transaction mode nothing is prepared, and pgx goes by the types of Go.
	conn.TypeMap().RegisterDefaultPgType(uuid.UUID{}, "uuid")
	conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid")

	_, err := conn.Exec(ctx, pg.State)
	return err
}

// closeReadOnly closes a connection to a server that turns out to be read-only: it has stopped being the primary, and
// the next connection finds the one that is, if the URL names several hosts with target_session_attrs=read-write.
func closeReadOnly(cfg *pgx.ConnConfig) {
	before := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnly && before(conn, err)
	}
}

// openPool opens a pool whose database no endpoint can be: the address of each connection is blocked, so also that of a
// server that took over.
func (s *Server) openPool(
	ctx context.Context, name string, maxConns int32, changes ...func(*pgxpool.Config),
) (*pgxpool.Pool, error) {
	return OpenPool(ctx, s.cfg.Database.URL, name, maxConns, append(changes, func(cfg *pgxpool.Config) {
		cfg.ConnConfig.Tracer = s.tracing.queries()
		prepare := cfg.AfterConnect
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			if tcp, ok := conn.PgConn().Conn().RemoteAddr().(*net.TCPAddr); ok {
				s.egress.Block(tcp.AddrPort())
			}
			return prepare(ctx, conn)
		}
	})...)
}
