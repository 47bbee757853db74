package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// notificationLimit is how long a notification may take.
const notificationLimit = 5 * time.Second

// ErrNoSession is returned by CheckSession.
var ErrNoSession = errors.New("this connection has no database session of its own: LISTEN gets no notification, " +
	"as through PgBouncer with pool_mode = transaction. What Outhook sets in a session would reach the sessions of " +
	"others there, and theirs would reach it: give it the address of Postgres itself, or of a pooler with " +
	"pool_mode = session")

// CheckSession returns ErrNoSession if a connection with this configuration does not keep its session between
// transactions. It states nothing itself, since that would stay with the pooler's connection.
func CheckSession(ctx context.Context, cfg *pgx.ConnConfig) error {
	cfg = cfg.Copy()
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // a pooler may not know prepared statements

	ctx, cancel := context.WithTimeout(ctx, 2*notificationLimit)
	defer cancel()

	listener, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reaching the database: %w", err)
	}
	defer CloseSide(ctx, listener)

	// Of another connection: what a session tells itself comes with its own answer, through any pooler.
	notifier, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reaching the database: %w", err)
	}
	defer CloseSide(ctx, notifier)

	var pgErr *pgconn.PgError
	_, err = listener.Exec(ctx, "LISTEN outhook_session")
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == "25006": // read_only_sql_transaction
		return nil // a standby, where nobody can listen
	case err != nil:
		return fmt.Errorf("checking the database session: %w", err)
	}
	if _, err := notifier.Exec(ctx, "NOTIFY outhook_session"); err != nil {
		return fmt.Errorf("checking the database session: %w", err)
	}

	waitCtx, cancelWait := context.WithTimeout(ctx, notificationLimit)
	defer cancelWait()
	if _, err = listener.WaitForNotification(waitCtx); waitCtx.Err() != nil && ctx.Err() == nil {
		return ErrNoSession
	}
	return err
}
