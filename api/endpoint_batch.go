package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// maxEndpointBatch is the most endpoints of a batch: each takes some ten statements, and all of them one transaction.
const maxEndpointBatch = 100

// newEndpoints documents the body that creates many endpoints.
type newEndpoints struct {
	_ struct{} `additionalProperties:"false"`

	Endpoints []newEndpoint `json:"endpoints" nullable:"false" minItems:"1" maxItems:"100" doc:"As for one."`
}

// endpointBatch is the answer for many endpoints.
type endpointBatch struct {
	Endpoints []endpoint `json:"endpoints" nullable:"false" doc:"One for each of the request, in the same order, with its secret."`
}

type postEndpointsOutput struct{ Body endpointBatch }

func (s *Server) postEndpoints(ctx context.Context, _ *struct{}) (*postEndpointsOutput, error) {
	edits, err := s.decodeEndpoints(ctx, bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	rows := make([]db.Endpoint, len(edits))
	err = s.changeEndpoints(ctx, func(tx pgx.Tx) (err error) {
		for i, edit := range edits {
			if rows[i], err = s.insertEndpoint(ctx, tx, edit, "create-endpoints"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	out := &postEndpointsOutput{Body: endpointBatch{Endpoints: make([]endpoint, len(rows))}}
	for i, row := range rows {
		if out.Body.Endpoints[i], err = newEndpointAnswer(row); err != nil {
			return nil, err
		}
		out.Body.Endpoints[i].Secret = edits[i].secret.Reveal()
	}
	return out, nil
}

// decodeEndpoints reads the body that creates many endpoints. What is wrong with them is told together.
func (s *Server) decodeEndpoints(ctx context.Context, body []byte) (edits []*endpointEdit, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return nil, err
	}

	var list json.RawMessage
	var faults problem.Faults
	strictjson.EachMember(object, "body", &faults, func(name string, value json.RawMessage) bool {
		if name == "endpoints" {
			list = value
		}
		return name == "endpoints"
	})
	if list == nil || list[0] != '[' {
		faults.Add("body.endpoints", "must be an array of endpoints")
		return nil, faults.Problem(problem.InvalidRequest)
	}

	strictjson.EachElement(list, func(i int, value json.RawMessage) bool {
		at := strictjson.ElementLocation("body.endpoints", i)
		switch {
		case i >= maxEndpointBatch:
			faults.Add("body.endpoints", fmt.Sprintf("must hold at most %d endpoints", maxEndpointBatch))
			return false
		case value[0] != '{':
			faults.Add(at, "must be an object")
			return true
		}

		edit := s.newEdit(at)
		edit.decodeNew(value, requestOf(ctx).key.tenantID)
		edits = append(edits, edit)
		for _, fault := range edit.faults {
			faults.Add(fault.Location, fault.Message)
		}
		return len(faults) < problem.MaxDetails
	})
	if len(edits) == 0 {
		faults.Add("body.endpoints", "must hold at least one endpoint")
	}
	if err := faults.Problem(problem.InvalidRequest); err != nil {
		return nil, err
	}

	for _, edit := range edits {
		if err := checkOwn(ctx, edit.row.TenantID, edit.at+".tenant_id"); err != nil {
			return nil, err
		}
	}
	return edits, nil
}
