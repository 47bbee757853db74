package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
)

// maxSeriesEndpoints and maxEndpointSteps bound one answer: rows of a month, with as many workers as usual, are added
// up in a quarter of a second.
const (
	maxSeriesEndpoints = 100
	maxEndpointSteps   = 200
)

// endpointSteps is how an endpoint did, step by step.
type endpointSteps struct {
	EndpointID uuid.UUID `json:"endpoint_id" format:"uuid"`
	Succeeded  []int64   `json:"succeeded" nullable:"false" doc:"How many attempts succeeded, for each step."`
	Failed     []int64   `json:"failed" nullable:"false" doc:"How many attempts did not, for each step."`
}

// endpointSeries is how some endpoints did, step by step.
type endpointSeries struct {
	Steps

	Items []endpointSteps `json:"items" nullable:"false" doc:"One for each endpoint that is there, in the order in which they are asked for."`
}

type endpointSeriesInput struct {
	StepsInput

	EndpointID []string `query:"endpoint_id" required:"true" minItems:"1" maxItems:"100" doc:"Which: their ids, with commas."`
}

type endpointSeriesOutput struct{ Body endpointSeries }

func (s *Server) addEndpointSeries() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "get-endpoint-series", Method: http.MethodGet, Path: "/api/stats/series/endpoints",
			Tags: []string{tagDelivery}, Summary: "How some endpoints did, step by step, for small charts in a list",
			Description: "Attempts that ended, as GET /api/stats/series counts them for one. An endpoint that is not there, " +
				"or not the key's tenant's, is left out.",
		},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getEndpointSeries)
}

func (s *Server) getEndpointSeries(ctx context.Context, in *endpointSeriesInput) (*endpointSeriesOutput, error) {
	f := newFilters(ctx)
	ids := f.ids("query.endpoint_id", in.EndpointID)
	if f.err != nil {
		return nil, f.err
	}

	out := &endpointSeriesOutput{}
	err := s.read(ctx, func(tx pgx.Tx) error {
		now, err := db.New().GetTransactionTime(ctx, tx)
		if err != nil {
			return err
		}
		if out.Body.Steps, err = in.span(now.UTC(), maxEndpointSteps); err != nil {
			return err
		}
		return out.Body.read(ctx, tx, ids, f.key.tenant())
	})
	return out, err
}

// read fills in the steps of each endpoint.
func (v *endpointSeries) read(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, tenantID *string) error {
	rows, err := db.New().SumEndpointRollups(ctx, tx, db.SumEndpointRollupsParams{
		EndpointIDs: ids, TenantID: tenantID, Since: v.From, Until: v.To,
		StepSeconds: int32(v.StepS), //nolint:gosec // a week at most
	})
	if err != nil {
		return err
	}

	n := v.count()
	of := make(map[uuid.UUID]endpointSteps, len(ids))
	for _, r := range rows {
		steps, ok := of[r.EndpointID]
		if !ok {
			steps = endpointSteps{r.EndpointID, make([]int64, n), make([]int64, n)}
			of[r.EndpointID] = steps
		}
		if r.Step >= 0 {
			steps.Succeeded[r.Step], steps.Failed[r.Step] = r.Succeeded, r.Failed
		}
	}

	v.Items = []endpointSteps{}
	for _, id := range ids {
		if steps, ok := of[id]; ok {
			v.Items = append(v.Items, steps)
			delete(of, id) // one that is asked for twice is told once
		}
	}
	return nil
}
