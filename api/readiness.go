package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/batch"
	"github.com/outhook/outhook/internal/sqlstate"
)

const (
	// readyTimeout bounds each check of /readyz, and so its answer to the sum of them: below the usual 10 s of probes.
	readyTimeout = 2 * time.Second

	// ReadyInterval is how often a process should call [Server.CheckReady]: what outhook_ready shows is not older than
	// this and the time that the checks take.
	ReadyInterval = 5 * time.Second
)

// Names of the checks of /readyz.
const (
	readyDatabase   = "database"
	readySchema     = "schema"
	readyWorker     = "worker"
	readyDeliveries = "deliveries"
	readyVacuum     = "vacuum"
	readyProcess    = "process"
)

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

	mu   sync.Mutex
	last map[string]string // what the last checks found: of one moment, so that alerts may compare them
}

func newReadiness(cfg Config) *readiness {
	r := &readiness{cfg: cfg, pools: []*pgxpool.Pool{cfg.Pool}}
	r.group = batch.New(batch.Config{}, func(struct{}) int { return 0 }, r.run)
	r.addMetrics()
	return r
}

// names returns the checks that this process makes.
func (r *readiness) names() []string {
	names := []string{readyProcess, readyDatabase, readySchema}
	if r.cfg.Checks.Ready != nil {
		names = append(names, readyWorker)
	}
	if r.cfg.Checks.GivingBack != nil {
		names = append(names, readyDeliveries)
	}
	if r.cfg.Checks.Vacuum != nil {
		names = append(names, readyVacuum)
	}
	return names
}

// addMetrics shows what the last checks found. A scrape asks nobody, so that an alert sees a database that is away, or
// that answers nothing.
func (r *readiness) addMetrics() {
	factory := promauto.With(r.cfg.Metrics)

	for _, name := range r.names() {
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "outhook_ready", Help: "1 if that check of /readyz says ok, else 0, also if it can't be made. " +
				"Each is made every 5 s; a scrape shows what the last one found.",
			ConstLabels: prometheus.Labels{"check": name},
		}, func() float64 {
			if r.ok(name) {
				return 1
			}
			return 0
		})
	}
}

// ok tells whether a check was so when it was made last.
func (r *readiness) ok(name string) bool {
	if name == readyProcess {
		return !r.stopping()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[name] == checkOK
}

// stopping tells whether the process is to end soon.
func (r *readiness) stopping() bool { return r.cfg.Checks.Stopping != nil && r.cfg.Checks.Stopping() }

// CheckReady makes the checks of /readyz for the metric outhook_ready, together with those that are asked for at the
// same moment. Call it at the start and then every [ReadyInterval].
func (s *Server) CheckReady(ctx context.Context) {
	_, _ = s.ready.group.Do(ctx, struct{}{}) // the only error is that ctx has ended
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

	r.mu.Lock()
	r.last = maps.Clone(h.Checks)
	r.mu.Unlock()

	answers := make([]healthAnswer, len(calls))
	for i := range answers {
		answers[i] = h
	}
	return answers, nil
}

func (r *readiness) check(ctx context.Context) (healthAnswer, error) {
	h := healthAnswer{Status: checkOK, Checks: map[string]string{readyDatabase: checkOK, readySchema: checkOK}}
	var schemaErr, workerErr error

	dbErr := within(ctx, r.reach)
	switch {
	case errors.Is(dbErr, errReadOnly):
		h.Checks[readyDatabase], h.Checks[readySchema] = checkReadOnly, checkUnknown
	case dbErr != nil:
		h.Checks[readyDatabase], h.Checks[readySchema] = checkUnreachable, checkUnknown
	default:
		if schemaErr = within(ctx, r.cfg.Checks.Schema); schemaErr != nil {
			h.Checks[readySchema] = checkNotReady
		}
	}

	if r.cfg.Checks.Ready != nil {
		h.Checks[readyWorker] = checkOK
		if workerErr = within(ctx, r.cfg.Checks.Ready); workerErr != nil {
			h.Checks[readyWorker] = checkNotReady
		}
	}

	if r.cfg.Checks.GivingBack != nil {
		h.Checks[readyDeliveries] = checkOK
		if r.cfg.Checks.GivingBack() != "" {
			h.Checks[readyDeliveries] = checkGivenBack
		}
	}

	err := errors.Join(dbErr, schemaErr, workerErr)
	if err != nil {
		h.Status = checkNotReady
	}
	if dbErr == nil && r.cfg.Checks.Vacuum != nil {
		h.Checks[readyVacuum] = r.vacuum(ctx)
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
