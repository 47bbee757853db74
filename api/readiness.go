package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/sqlstate"
)

// readyTimeout bounds each check of /readyz, and so its answer to the sum of them: below the usual 10 s of probes.
const readyTimeout = 2 * time.Second

// Results of a check. What exactly is wrong is logged, not told to strangers.
const (
	checkOK          = "ok"
	checkUnreachable = "unreachable"
	checkReadOnly    = "read_only"
	checkUnknown     = "unknown" // the check before it failed
	checkNotReady    = "not_ready"
	checkStopping    = "stopping"
	checkGivenBack   = "given_back" // deliveries, by trouble of ours; it may be one endpoint's
	checkHeldBack    = "held_back"  // dead rows stay; all works on, slower and slower
)

// errReadOnly is the cause of a failed check of the database.
var errReadOnly = errors.New("the database is read-only")

// healthAnswer is the answer of /livez and /readyz.
type healthAnswer struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// readiness checks whether this process can do its work. Calls that come while a check runs share the next one, so that
// anybody may ask as often as they like.
type readiness struct {
	cfg     Config
	pools   []*pgxpool.Pool
	group   *batch.Group[struct{}, healthAnswer]
	failing bool // at the last check, so that only changes are logged
	holders string
}

func newReadiness(cfg Config) *readiness {
	r := &readiness{cfg: cfg, pools: []*pgxpool.Pool{cfg.Pool}}
	r.group = batch.New(batch.Config{}, func(struct{}) int { return 0 }, r.run)
	return r
}

func (r *readiness) run(ctx context.Context, calls []struct{}) ([]healthAnswer, error) {
	h, err := r.check(ctx)
	switch {
	case err != nil && !r.failing:
		r.cfg.Logger.WarnContext(ctx, "not ready", slog.Any("checks", h.Checks), slog.String("error", sqlstate.Text(err)))
	case err == nil && r.failing:
		r.cfg.Logger.InfoContext(ctx, "ready")
	}
	r.failing = err != nil

	answers := make([]healthAnswer, len(calls))
	for i := range answers {
		answers[i] = h
	}
	return answers, nil
}

func (r *readiness) check(ctx context.Context) (healthAnswer, error) {
	h := healthAnswer{Status: checkOK, Checks: map[string]string{"database": checkOK, "schema": checkOK}}
	var schemaErr, workerErr error

	dbErr := within(ctx, r.reach)
	switch {
	case errors.Is(dbErr, errReadOnly):
		h.Checks["database"], h.Checks["schema"] = checkReadOnly, checkUnknown
	case dbErr != nil:
		h.Checks["database"], h.Checks["schema"] = checkUnreachable, checkUnknown
	default:
		if schemaErr = within(ctx, r.cfg.Checks.Schema); schemaErr != nil {
			h.Checks["schema"] = checkNotReady
		}
	}

	if r.cfg.Checks.Ready != nil {
		h.Checks["worker"] = checkOK
		if workerErr = within(ctx, r.cfg.Checks.Ready); workerErr != nil {
			h.Checks["worker"] = checkNotReady
		}
	}

	if r.cfg.Checks.GivingBack != nil {
		h.Checks["deliveries"] = checkOK
		if r.cfg.Checks.GivingBack() != "" {
			h.Checks["deliveries"] = checkGivenBack
		}
	}

	err := errors.Join(dbErr, schemaErr, workerErr)
	if err != nil {
		h.Status = checkNotReady
	} else if r.cfg.Checks.Vacuum != nil {
		h.Checks["vacuum"] = r.vacuum(ctx)
	}
	return h, err
}

// vacuum tells whether dead rows can be removed, and logs who is in the way.
func (r *readiness) vacuum(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	list, err := r.cfg.Checks.Vacuum(ctx)
	if err != nil {
		return checkUnknown
	}

	holders := strings.Join(list, "; ")
	if holders != "" && holders != r.holders {
		r.cfg.Logger.WarnContext(ctx, "vacuum can't remove dead rows, and each look for jobs reads them",
			slog.String("holders", holders))
	}
	r.holders = holders
	if holders != "" {
		return checkHeldBack
	}
	return checkOK
}

// reach returns nil if something could be stored. Connections to a server that has become read-only are given up, so
// that new ones find the primary.
func (r *readiness) reach(ctx context.Context) error {
	readOnly, err := db.New().IsReadOnly(ctx, r.cfg.Pool)
	if err != nil {
		return fmt.Errorf("reaching the database: %w", err)
	}

	if readOnly {
		for _, p := range r.pools {
			p.Reset()
		}
		return errReadOnly
	}
	return nil
}

// within runs a check, for readyTimeout at most.
func within(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return check(ctx)
}
