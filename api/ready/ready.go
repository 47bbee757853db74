// Package ready tells whether a process can do its work: /livez, /readyz and the metric outhook_ready.
package ready

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
	// timeout bounds each check of /readyz, and so its answer to the sum of them: below the usual 10 s of probes.
	timeout = 2 * time.Second

	// Interval is how often a process should call [Probe.Check]: what outhook_ready shows is not older than
	// this and the time that the checks take.
	Interval = 5 * time.Second
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

// Checks are what the process knows. All but Schema may be nil.
type Checks struct {
	// Schema is a check of /readyz: whether the database's schema is at least at the version that this binary needs.
	Schema func(context.Context) error

	// Ready is one more check of /readyz: whether jobs are being fetched. Nil in a process without workers.
	Ready func(context.Context) error

	// GivingBack returns why deliveries were given back lately by trouble of this process or the database, like a secret
	// that can't be decrypted; empty: none was. /readyz says that some were, and stays green: it may be one endpoint's.
	// Nil in a process without workers.
	GivingBack func() string

	// Stopping tells whether the process is to end soon, so that nobody should begin to send it requests: /readyz says so
	// at once, without any other check. Nil: it never is.
	Stopping func() bool

	// Vacuum returns who keeps vacuum from removing dead rows, in words for the log. /readyz says that there is somebody,
	// and stays green. Nil: nobody is looked for.
	Vacuum func(context.Context) ([]string, error)
}

// Config is whose readiness it is.
type Config struct {
	Checks Checks
	Pools  []*pgxpool.Pool // of the same database, the first of which is asked
	Logger *slog.Logger

	// Metrics is where the metrics are registered; nil: they are counted and not shown.
	Metrics prometheus.Registerer
}

// answer is the answer of /livez and /readyz.
type answer struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// Probe checks whether this process can do its work. Calls that come while a check runs share the next one, so that
// anybody may ask as often as they like.
type Probe struct {
	cfg     Config
	group   *batch.Group[struct{}, answer]
	failing bool // at the last check, so that only changes are logged
	holders string

	mu   sync.Mutex
	last map[string]string // what the last checks found: of one moment, so that alerts may compare them
}

// New returns a probe that has checked nothing yet.
func New(cfg Config) *Probe {
	p := &Probe{cfg: cfg}
	p.group = batch.New(batch.Config{}, func(struct{}) int { return 0 }, p.run)
	p.addMetrics()
	return p
}

// names returns the checks that this process makes.
func (p *Probe) names() []string {
	names := []string{readyProcess, readyDatabase, readySchema}
	if p.cfg.Checks.Ready != nil {
		names = append(names, readyWorker)
	}
	if p.cfg.Checks.GivingBack != nil {
		names = append(names, readyDeliveries)
	}
	if p.cfg.Checks.Vacuum != nil {
		names = append(names, readyVacuum)
	}
	return names
}

// addMetrics shows what the last checks found. A scrape asks nobody, so that an alert sees a database that is away, or
// that answers nothing.
func (p *Probe) addMetrics() {
	factory := promauto.With(p.cfg.Metrics)

	for _, name := range p.names() {
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "outhook_ready", Help: "1 if that check of /readyz says ok, else 0, also if it can't be made. " +
				"Each is made every 5 s; a scrape shows what the last one found.",
			ConstLabels: prometheus.Labels{"check": name},
		}, func() float64 {
			if p.ok(name) {
				return 1
			}
			return 0
		})
	}
}

// ok tells whether a check was so when it was made last.
func (p *Probe) ok(name string) bool {
	if name == readyProcess {
		return !p.stopping()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[name] == checkOK
}

// stopping tells whether the process is to end soon.
func (p *Probe) stopping() bool { return p.cfg.Checks.Stopping != nil && p.cfg.Checks.Stopping() }

// Check makes the checks of /readyz for the metric outhook_ready, together with those that are asked for at the
// same moment. Call it at the start and then every [Interval].
func (p *Probe) Check(ctx context.Context) {
	_, _ = p.group.Do(ctx, struct{}{}) // the only error is that ctx has ended
}

// Add has a pool reset, too, when the server turns out to be read-only.
func (p *Probe) Add(pool *pgxpool.Pool) { p.cfg.Pools = append(p.cfg.Pools, pool) }

func (p *Probe) run(ctx context.Context, calls []struct{}) ([]answer, error) {
	h, err := p.check(ctx)
	switch {
	case err != nil && !p.failing:
		p.cfg.Logger.WarnContext(ctx, "not ready", slog.Any("checks", h.Checks), slog.String("error", sqlstate.Text(err)))
	case err == nil && p.failing:
		p.cfg.Logger.InfoContext(ctx, "ready")
	}
	p.failing = err != nil

	p.mu.Lock()
	p.last = maps.Clone(h.Checks)
	p.mu.Unlock()

	answers := make([]answer, len(calls))
	for i := range answers {
		answers[i] = h
	}
	return answers, nil
}

func (p *Probe) check(ctx context.Context) (answer, error) {
	h := answer{Status: checkOK, Checks: map[string]string{readyDatabase: checkOK, readySchema: checkOK}}
	var schemaErr, workerErr error

	dbErr := within(ctx, p.reach)
	switch {
	case errors.Is(dbErr, errReadOnly):
		h.Checks[readyDatabase], h.Checks[readySchema] = checkReadOnly, checkUnknown
	case dbErr != nil:
		h.Checks[readyDatabase], h.Checks[readySchema] = checkUnreachable, checkUnknown
	default:
		if schemaErr = within(ctx, p.cfg.Checks.Schema); schemaErr != nil {
			h.Checks[readySchema] = checkNotReady
		}
	}

	if p.cfg.Checks.Ready != nil {
		h.Checks[readyWorker] = checkOK
		if workerErr = within(ctx, p.cfg.Checks.Ready); workerErr != nil {
			h.Checks[readyWorker] = checkNotReady
		}
	}

	if p.cfg.Checks.GivingBack != nil {
		h.Checks[readyDeliveries] = checkOK
		if p.cfg.Checks.GivingBack() != "" {
			h.Checks[readyDeliveries] = checkGivenBack
		}
	}

	err := errors.Join(dbErr, schemaErr, workerErr)
	if err != nil {
		h.Status = checkNotReady
	}
	if dbErr == nil && p.cfg.Checks.Vacuum != nil {
		h.Checks[readyVacuum] = p.vacuum(ctx)
	}
	return h, err
}

// vacuum tells whether dead rows can be removed, and logs who is in the way.
func (p *Probe) vacuum(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list, err := p.cfg.Checks.Vacuum(ctx)
	if err != nil {
		return checkUnknown
	}

	holders := strings.Join(list, "; ")
	if holders != "" && holders != p.holders {
		p.cfg.Logger.WarnContext(ctx, "vacuum can't remove dead rows, and each look for jobs reads them",
			slog.String("holders", holders))
	}
	p.holders = holders
	if holders != "" {
		return checkHeldBack
	}
	return checkOK
}

// reach returns nil if something could be stored. Connections to a server that has become read-only are given up, so
// that new ones find the primary.
func (p *Probe) reach(ctx context.Context) error {
	readOnly, err := db.New().IsReadOnly(ctx, p.cfg.Pools[0])
	if err != nil {
		return fmt.Errorf("reaching the database: %w", err)
	}

	if readOnly {
		for _, pool := range p.cfg.Pools {
			pool.Reset()
		}
		return errReadOnly
	}
	return nil
}

// within runs a check, for timeout at most.
func within(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return check(ctx)
}
