package deliver

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/outhook/outhook/internal/logthrottle"
)

// recently is for how long a run that was given back counts as news: some of ledger.TroubleWait, after which it comes
// again, and not so long that an alert on it outlives the trouble by much.
const recently = 30 * time.Second

// returns counts the runs that are given back, and tells why.
type returns struct {
	calm    *slog.Logger
	counted map[cause]prometheus.Counter
	last    atomic.Pointer[trouble]
}

// trouble is what the last run was given back for by trouble of ours.
type trouble struct {
	cause cause
	at    time.Time
}

func newReturns(p Parts) *returns {
	vec := promauto.With(p.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "outhook_runs_given_back_total",
		Help: "Runs that sent nothing by no fault of their endpoint, and come again: by trouble of ours " +
			"(the worker's lease, the load, a secret that can't be decrypted, the network of this machine, ...), " +
			"by a stop, or since another run overtook them.",
	}, []string{"cause"})

	g := &returns{calm: p.Calm, counted: make(map[cause]prometheus.Counter)}
	for _, c := range causes() {
		g.counted[c] = vec.WithLabelValues(string(c))
	}
	return g
}

// count counts a run that is given back, and tells whether that is trouble of ours.
func (g *returns) count(why cause) (ours bool) {
	g.counted[why].Inc()
	if ours = why.trouble(); ours {
		g.last.Store(&trouble{why, time.Now()})
	}
	return ours
}

// note counts a run that is given back, and logs why. err may be nil.
func (g *returns) note(ctx context.Context, r *run, why cause, err error) {
	level := slog.LevelDebug
	if g.count(why) {
		level = slog.LevelError
	}

	attrs := r.attrs(slog.String(logthrottle.Cause, string(why)))
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	g.calm.LogAttrs(ctx, level, "gave a delivery back", attrs...)
}

// lately returns why a run was given back a moment ago by trouble of ours, "" if none was.
func (g *returns) lately() string {
	last := g.last.Load()
	if last == nil || time.Since(last.at) > recently {
		return ""
	}
	return string(last.cause)
}
