package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
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
			return problem.New(problem.RateLimitLimit,
				fmt.Sprintf("%d endpoints have a rate limit, and more can't: remove one first", maxLimited))
		}
	}

	return db.New().InsertLane(ctx, tx, after.ID)
}

func (e *endpointEdit) setInFlight(value json.RawMessage) {
	e.row.MaxInFlight = defaultInFlight
	if strictjson.IsNull(value) {
		return
	}
	e.row.MaxInFlight = e.bounded(value, e.at+".max_in_flight", maxInFlight)
}

// bounded reads a number from 1 to most.
func (e *endpointEdit) bounded(value json.RawMessage, at string, most int32) int32 {
	before := len(e.faults)
	n := strictjson.Integer(value, at, &e.faults)
	if len(e.faults) == before && (n < 1 || n > most) {
		e.faults.Add(at, fmt.Sprintf("must be 1 to %d", most))
	}
	return n
}

func (e *endpointEdit) setRateLimit(value json.RawMessage) {
	at := e.at + ".rate_limit"
	e.row.RateLimit, e.row.RatePer, e.row.RateBurst = nil, perSecond, 1
	switch {
	case strictjson.IsNull(value):
		return
	case value[0] != '{':
		e.faults.Add(at, `must be an object like {"requests": 50, "per": "second", "burst": 1}`)
		return
	}

	strictjson.EachMember(value, at, &e.faults, func(name string, value json.RawMessage) bool {
		location := strictjson.MemberLocation(at, name)
		switch name {
		case "requests":
			n := e.bounded(value, location, maxRate)
			e.row.RateLimit = &n
		case "per":
			e.row.RatePer = strictjson.Text(value, location, &e.faults)
			if e.row.RatePer != perSecond && e.row.RatePer != perMinute {
				e.faults.Add(location, "must be second or minute")
			}
		case "burst":
			e.row.RateBurst = e.bounded(value, location, maxRate)
		default:
			return false
		}
		return true
	})

	if e.row.RateLimit == nil {
		e.faults.Add(at+".requests", "is required")
	}
}
