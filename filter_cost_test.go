package outhook_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

// An event that one of 100 filters wants costs at most 1.3 times one that goes to one endpoint without any: the median of
// pairs of runs in turn, each of transactions of one event.
func TestFiltersThatWantNothingAreCheap(t *testing.T) { //nolint:paralleltest // it measures
	if os.Getenv("OUTHOOK_TEST_LOAD") != "all" {
		t.Skip("it wants a quiet machine: set OUTHOOK_TEST_LOAD=all, as .ci/full does")
	}
	const pairs, events, most = 15, 150, 1.3
	b := setup(t)
	for i := range 100 {
		b.filtered(t, "filtered", fmt.Sprintf(`{"number": %d, "state": {"$in": ["paid", "late"]}}`, i))
	}
	payload := `{"state":"paid","number":17,"text":"` + strings.Repeat("x", 900) + `"}`
	run := func(of string) time.Duration {
		begin := time.Now()
		for range events {
			require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
				r, err := outhook.Enqueue(b.ctx, tx, outhook.Event{TenantID: of, Type: "invoice.paid", Payload: []byte(payload)})
				require.Equal(t, 1, r.DeliveryCount)
				return err
			}))
		}
		return time.Since(begin)
	}

	run(tenant)
	run("filtered")
	var ratios []float64
	for range pairs {
		without := run(tenant)
		ratios = append(ratios, run("filtered").Seconds()/without.Seconds())
	}
	slices.Sort(ratios)
	t.Logf("%.3f times (%.3f to %.3f)", ratios[pairs/2], ratios[0], ratios[pairs-1])
	require.LessOrEqual(t, ratios[pairs/2], most)
}
