package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// notificationLimit is how long a notification may take.
const notificationLimit = 5 * time.Second

// ErrNoSession is returned by CheckSession.
var ErrNoSession = errors.New("workers need a database session of their own, and this connection has none: " +
	"LISTEN gets no notification, as through PgBouncer with pool_mode = transaction")

// CheckSession returns ErrNoSession if a connection with this configuration does not keep its session between
// transactions. Workers would run through it and seem to work, but hear of no new job, and hold no lock.
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

	if _, err := listener.Exec(ctx, "LISTEN outhook_session"); err != nil {
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
