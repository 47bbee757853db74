package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	maxReplays     = 1000      // deliveries of one request
	maxReplayBytes = 256 << 10 // its body: twice what they take
	replayChunk    = 100       // deliveries of one transaction
)

// deliveryRef documents a delivery that is named.
type deliveryRef struct {
	_ struct{} `additionalProperties:"false"`

	EventID    uuid.UUID `json:"event_id" format:"uuid"`
	EndpointID uuid.UUID `json:"endpoint_id" format:"uuid"`
}

// replaysOrder documents the body that replays a list; decodeReplays reads it.
type replaysOrder struct {
	_ struct{} `additionalProperties:"false"`

	Deliveries []deliveryRef `json:"deliveries" nullable:"false" minItems:"1" maxItems:"1000" doc:"Which to deliver again."`
	Now        *bool         `json:"now,omitempty" nullable:"false" doc:"Bring the next attempts of pending ones forward to now, and wait for no deliver_at."`
	DryRun     *bool         `json:"dry_run,omitempty" nullable:"false" doc:"Order nothing: say which would be replayed, and what is in the way of the others."`
}

// replayResult is what came of the order for one delivery.
type replayResult struct {
	EventID    uuid.UUID `json:"event_id" format:"uuid"`
	EndpointID uuid.UUID `json:"endpoint_id" format:"uuid"`
	Replayed   bool      `json:"replayed" doc:"With dry_run: whether it would be."`
	Code       *string   `json:"code" example:"delivery_pending" doc:"Why it was not replayed: the code of the problem that the order for it alone would get. Null if it was."`
	Detail     *string   `json:"detail" doc:"The same in words."`
}

// replayResults is the answer for a list.
type replayResults struct {
	Results []replayResult `json:"results" nullable:"false" doc:"One for each delivery, in the same order."`
}

type replaysOutput struct{ Body replayResults }

func (s *Server) addReplays() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "replay-deliveries", Method: http.MethodPost, Path: "/api/deliveries/replay",
			Tags: []string{tagDelivery}, Summary: "Deliver a list again",
			Description: "As for one, up to 1,000 at a time, behind live traffic. What can't be replayed, or is not there, " +
				"says so in its result and is in nobody's way. If no answer comes, repeat the request: what was " +
				"replayed is pending then. To replay by a filter, use POST /api/operations.",
		},
		access: operateAccess, costly: true, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[replaysOrder](), limit: maxReplayBytes,
	}, s.replayDeliveries)
}

func (s *Server) replayDeliveries(ctx context.Context, _ *struct{}) (*replaysOutput, error) {
	keys, how, err := decodeReplays(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	// In the order in which everybody locks them, and some days at a time, as lists are read.
	todo := slices.Clone(keys)
	slices.SortFunc(todo, func(x, y ledger.Key) int {
		if c := bytes.Compare(x.EventID[:], y.EventID[:]); c != 0 {
			return c
		}
		return bytes.Compare(x.EndpointID[:], y.EndpointID[:])
	})

	results := make(map[ledger.Key]error, len(todo))
	for len(todo) > 0 {
		part := nextReplays(todo)
		if err = s.replayPart(ctx, part, how, results); err != nil {
			break
		}
		todo = todo[len(part):]
	}

	// What is committed is told, whatever becomes of the rest. With an Idempotency-Key, all is one transaction.
	if err != nil && (len(todo) == len(keys) || requestOf(ctx).keyed != nil) {
		return nil, err
	}
	for _, key := range todo {
		results[key] = s.problem(ctx, err)
	}
	return newReplayResults(keys, results), nil
}

// nextReplays returns those that the next transaction is for.
func nextReplays(todo []ledger.Key) []ledger.Key {
	n := 1
	for n < min(len(todo), replayChunk) && pg.DayOf(todo[n].EventID) < pg.DayOf(todo[0].EventID)+listDays {
		n++
	}
	return todo[:n]
}

// replayPart replays some deliveries, in one transaction, and adds what came of each to results.
func (s *Server) replayPart(
	ctx context.Context, keys []ledger.Key, how ledger.How, results map[ledger.Key]error,
) error {
	var ordered map[ledger.Key]ledger.Ordered
	err := s.change(ctx, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, pg.ByKey+"; "+pg.SurviveCrash); err != nil {
			return err
		}
		if ordered, err = ledger.ReplayMany(ctx, tx, keys, requestOf(ctx).key.tenant(), how); err != nil {
			return err
		}
		if how.DryRun {
			return nil
		}

		var tenantIDs, objectIDs []string
		for _, key := range keys {
			if o, ok := ordered[key]; ok && o.Err == nil {
				tenantIDs = append(tenantIDs, o.TenantID)
				objectIDs = append(objectIDs, key.EventID.String()+"/"+key.EndpointID.String())
			}
		}
		d := done{action: "replay-deliveries", objectType: objectDelivery, detail: map[string]any{"now": how.Now}}
		return s.auditMany(ctx, tx, d, tenantIDs, objectIDs)
	})
	if err != nil {
		return err
	}

	for _, key := range keys {
		results[key] = ledger.ErrNotFound
		if o, ok := ordered[key]; ok {
			results[key] = o.Err
		}
	}
	return nil
}

func newReplayResults(keys []ledger.Key, results map[ledger.Key]error) *replaysOutput {
	out := &replaysOutput{Body: replayResults{Results: make([]replayResult, len(keys))}}
	for i, key := range keys {
		r := replayResult{EventID: key.EventID, EndpointID: key.EndpointID, Replayed: results[key] == nil}
		if !r.Replayed {
			p := problemOf(results[key])
			code := string(p.Code)
			r.Code, r.Detail = &code, &p.Detail
		}
		out.Body.Results[i] = r
	}
	return out
}

// decodeReplays reads the body that replays a list. It stops at the first delivery that is wrong.
func decodeReplays(body []byte) (keys []ledger.Key, how ledger.How, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, how, err
	}

	var list json.RawMessage
	var f problem.Faults
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch name {
		case "deliveries":
			list = value
		case "now":
			how.Now = strictjson.Bool(value, "body.now", &f)
		case "dry_run":
			how.DryRun = strictjson.Bool(value, "body.dry_run", &f)
		default:
			return false
		}
		return true
	})
	if list == nil || list[0] != '[' {
		f.Add("body.deliveries", "must be an array of deliveries")
		return nil, how, f.Problem(problem.InvalidRequest)
	}

	given := map[ledger.Key]bool{}
	strictjson.EachElement(list, func(i int, value json.RawMessage) bool {
		at := strictjson.ElementLocation("body.deliveries", i)
		key := decodeKey(value, at, &f)
		if i >= maxReplays {
			f.Add("body.deliveries", fmt.Sprintf("must hold at most %d deliveries", maxReplays))
		} else if given[key] {
			f.Add(at, "is given twice")
		}
		keys, given[key] = append(keys, key), true
		return len(f) == 0
	})
	if len(keys) == 0 {
		f.Add("body.deliveries", "must hold at least one delivery")
	}
	return keys, how, f.Problem(problem.InvalidRequest)
}

func decodeKey(value json.RawMessage, at string, f *problem.Faults) (key ledger.Key) {
	if value[0] != '{' {
		f.Add(at, "must be an object with event_id and endpoint_id")
		return key
	}

	given := 0
	strictjson.EachMember(value, at, f, func(name string, value json.RawMessage) bool {
		var to *uuid.UUID
		switch name {
		case "event_id":
			to = &key.EventID
		case "endpoint_id":
			to = &key.EndpointID
		default:
			return false
		}

		given++
		id, err := uuid.Parse(strictjson.Text(value, at+"."+name, f))
		if err != nil {
			f.Add(at+"."+name, "must be a UUID")
		}
		*to = id
		return true
	})
	if given < 2 {
		f.Add(at, "needs event_id and endpoint_id")
	}
	return key
}
