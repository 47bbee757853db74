package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outhook/outhook/internal/child"
)

const (
	// firstPoll and lastPoll bound the doubling wait between two looks at a starting server, which needs 50 ms to begin
	// with and up to minutes for a recovery.
	firstPoll = 5 * time.Millisecond
	lastPoll  = 200 * time.Millisecond
	// immediateLimit is how long a server may take for an immediate shutdown. The postmaster itself kills what has not
	// left after 5 s (SIGKILL_CHILDREN_AFTER_SECS in its source).
	immediateLimit = 10 * time.Second
)

// spawn starts a child that is asked to end when we do. To a server SIGINT is a fast shutdown: it leaves in order.
func spawn(cmd *exec.Cmd) (*child.Process, error) { return child.Start(cmd, syscall.SIGINT) }

// kill ends a server with SIGKILL and waits for that.
func kill(run *child.Process) error {
	if err := run.Kill(); err != nil {
		return fmt.Errorf("killing postgres: %w", err)
	}
	return nil
}

// exitError says that the server ended while it was still starting.
type exitError struct {
	state string // "exit status 1"
	log   string // its last lines
}

func (e *exitError) Error() string {
	return fmt.Sprintf("postgres exited early (%s); its log ends with:\n%s", e.state, e.log)
}

// boot clears the way and starts the server until it answers. Two early exits are worth another try: a port that was
// free a moment ago is taken, or backends of a killed server are still at work on the data (PostgreSQL refuses to start
// beside them).
func (s *Server) boot(ctx context.Context) error {
	draw := s.port == 0
	if draw {
		s.port = s.folder.loadPort()
	}
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		if err := s.cluster.clearOrphans(ctx); err != nil {
			return err
		}

		err := s.bootOnce(ctx)
		if err == nil {
			s.keepPort(ctx)
			return nil
		}
		if !retryable(err, draw) {
			return err
		}
		if isTaken(err) {
			s.port = 0
		}

		s.cluster.logger.WarnContext(ctx, "starting postgres again", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

func retryable(err error, draw bool) bool {
	exit, ok := errors.AsType[*exitError](err)
	return ok && strings.Contains(exit.log, "is still in use") || draw && isTaken(err)
}

// isTaken tells whether somebody else has the port.
func isTaken(err error) bool {
	exit, ok := errors.AsType[*exitError](err)
	return ok && strings.Contains(exit.log, "Address already in use")
}

// keepPort keeps the port for the next start, which is better with it and does without.
func (s *Server) keepPort(ctx context.Context) {
	if err := s.folder.keepPort(s.port); err != nil {
		s.cluster.logger.WarnContext(ctx, "the next start may have another port", slog.Any("error", err))
	}
}

func (s *Server) bootOnce(ctx context.Context) error {
	if s.port == 0 {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		s.port = port
	}

	start, logSize := time.Now(), s.folder.logSize()
	cmd := s.cluster.command(context.WithoutCancel(ctx), "postgres",
		append([]string{"-D", s.cluster.dir}, s.cfg.arguments(s.port)...)...)
	cmd.Stdout, cmd.Stderr = s.folder.log, s.folder.log
	run, err := spawn(cmd)
	if err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	s.run = run

	if err := s.await(ctx, logSize); err != nil {
		stopped, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancel()                         // at once, not in order: nobody has used it yet
		s.cluster.shutdown(stopped, run) //nolint:errcheck // err says more than that the shutdown was not in order
		return err
	}

	s.cluster.logger.InfoContext(ctx, "postgres started",
		slog.String("version", s.Version()), slog.Int("port", s.port), slog.String("data_dir", s.folder.path),
		slog.Int64("duration_ms", time.Since(start).Milliseconds()))
	return nil
}

// freePort asks the kernel for a port that nobody listens on. Somebody may take it before the server does: boot draws
// again.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", loopback+":0")
	if err != nil {
		return 0, fmt.Errorf("drawing a free port: %w", err)
	}

	addr, err := netip.ParseAddrPort(l.Addr().String())
	if err = errors.Join(err, l.Close()); err != nil {
		return 0, fmt.Errorf("drawing a free port: %w", err)
	}
	return int(addr.Port()), nil
}

// await returns when the server accepts connections and has the application's database.
func (s *Server) await(ctx context.Context, logSize int64) error {
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		err := s.greet(ctx)
		if _, answered := errors.AsType[*pgconn.PgError](err); err == nil || answered {
			return err
		}

		select {
		case <-s.run.Done():
			return &exitError{state: s.run.Cmd.ProcessState.String(), log: s.folder.logTail(logSize)}
		case <-ctx.Done():
			return fmt.Errorf("waiting for postgres to accept connections: %w (%w); its log ends with:\n%s",
				context.Cause(ctx), err, s.folder.logTail(logSize))
		case <-time.After(wait):
		}
	}
}

// greet connects and makes sure of the application's database. It does not knock before the server's own pid file says
// "ready": until then the port may be somebody else's.
func (s *Server) greet(ctx context.Context) error {
	if p, err := s.cluster.readPIDFile(); err != nil || p.pid != s.run.Cmd.Process.Pid || p.status != "ready" {
		return errors.New("postgres is not ready")
	}

	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to the new server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return ensureDatabase(ctx, conn)
}

func ensureDatabase(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", applicationDatabase).
		Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+applicationDatabase+" ENCODING 'UTF8' TEMPLATE template0")
	}
	if err != nil {
		return fmt.Errorf("creating database %s: %w", applicationDatabase, err)
	}
	return nil
}

// shutdown ends a run in order, or at once when ctx ends: then the data is whole, but the next start has to recover it.
func (c cluster) shutdown(ctx context.Context, run *child.Process) error {
	if run == nil || run.Ended() {
		return nil
	}
	if err := c.signal(ctx, run, fastShutdown); err != nil && !run.Ended() {
		return fmt.Errorf("stopping postgres: %w", err)
	}

	select {
	case <-run.Done():
		c.logger.InfoContext(ctx, "postgres stopped")
		return nil
	case <-ctx.Done():
	}

	err := errors.Join(
		fmt.Errorf("stopping postgres in order: %w", context.Cause(ctx)),
		c.signal(ctx, run, immediateShutdown))
	select {
	case <-run.Done():
		return err
	case <-time.After(immediateLimit):
		return errors.Join(err, kill(run))
	}
}
