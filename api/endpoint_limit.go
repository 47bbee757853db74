package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/jobs/ledger"
)

// Limits of an endpoint's traffic.
const (
	maxInFlight     = 1000
	defaultInFlight = 32
	maxRate         = 10_000
	perSecond       = "second"
	perMinute       = "minute"

	// maxLimited bounds the endpoints with a rate limit: the pacer looks at each of them once a second.
	maxLimited = 10_000
)

// rateLimit is the most requests that an endpoint gets in a time.
type rateLimit struct {
	Requests int32  `json:"requests" minimum:"1" maximum:"10000" example:"50" doc:"The most requests."`
	Per      string `json:"per,omitempty" enum:"second,minute" default:"second" doc:"In this time."`
	Burst    int32  `json:"burst,omitempty" minimum:"1" maximum:"10000" default:"1" doc:"How many may follow one another at once after a quiet time. 1: they are spread evenly."`
}

// TransformSchema documents that null stands for no limit.
func (rateLimit) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Nullable = true
	return s
}

// lane says where an endpoint's deliveries wait.
type lane struct {
	State  string    `json:"state" enum:"shared,slow,limited,bulk" doc:"shared: with everybody's. slow: in a queue of its own, because it is slow, busy or asked for fewer requests. limited: the same, because it has a rate limit. bulk: slow, but there are as many such queues as there may be, so it waits with the bursts."`
	Reason string    `json:"reason" example:"slow: requests take longer than 1 s" doc:"Why, for people; empty for shared."`
	Since  time.Time `json:"since"`
}

func newLane(r db.Endpoint) lane {
	l := lane{State: r.Lane, Reason: r.LaneReason, Since: r.LaneChangedAt.UTC()}
	if r.Lane == ledger.LaneNone {
		l.State = "shared"
	}
	return l
}

func newRateLimit(r db.Endpoint) *rateLimit {
	if r.RateLimit == nil {
		return nil
	}
	return &rateLimit{Requests: *r.RateLimit, Per: r.RatePer, Burst: r.RateBurst}
}

// openLane prepares the lane of an endpoint that has got a rate limit.
func openLane(ctx context.Context, tx pgx.Tx, before, after db.Endpoint) error {
	if after.RateLimit == nil {
		return nil
	}

	if before.RateLimit == nil {
		n, err := db.New().CountLimitedEndpoints(ctx, tx)
		if err != nil {
			return err
		}
		if n > maxLimited {
			return problem.New(http.StatusConflict,
				fmt.Sprintf("%d endpoints have a rate limit, and more can't: remove one first", maxLimited))
		}
	}

	return db.New().InsertLane(ctx, tx, after.ID)
}
