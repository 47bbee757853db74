package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/jobs"
	"github.com/outhook/outhook/jobs/deliver"
	"github.com/outhook/outhook/jobs/erasure"
	"github.com/outhook/outhook/jobs/operation"
	"github.com/outhook/outhook/jobs/reconcile"
	"github.com/outhook/outhook/jobs/retention"
)

// A job's kind and its arguments are stored: a version that renames one can't work what another has enqueued.
func TestStoredJobs(t *testing.T) {
	t.Parallel()
	event := uuid.MustParse("0198c9a0-0000-7000-8000-000000000001")
	endpoint := uuid.MustParse("0198c9a0-0000-7000-8000-000000000002")
	other := uuid.MustParse("0198c9a0-0000-7000-8000-000000000003")
	base := 4

	for _, c := range []struct {
		args river.JobArgs
		want string
	}{
		{deliver.Args{EventID: event, EndpointID: endpoint}, `deliver {"event_id":"EVENT","endpoint_id":"ENDPOINT"}`},
		{
			deliver.Args{EventID: event, EndpointID: endpoint, Base: &base, Repaired: true, Probe: true},
			`deliver {"event_id":"EVENT","endpoint_id":"ENDPOINT","base":4,"repaired":true,"probe":true}`,
		},
		{erasure.Args{ErasureID: other}, `erase {"erasure_id":"OTHER"}`},
		{operation.Args{OperationID: other}, `operate {"operation_id":"OTHER"}`},
		{reconcile.Args{}, `reconcile {}`},
		{retention.Args{}, `retain {}`},
		{jobs.TendArgs{}, `tend {}`},
	} {
		args, err := json.Marshal(c.args)
		require.NoError(t, err)
		names := strings.NewReplacer("EVENT", event.String(), "ENDPOINT", endpoint.String(), "OTHER", other.String())
		require.Equal(t, names.Replace(c.want), c.args.Kind()+" "+string(args))
	}
}
