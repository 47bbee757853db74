package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/jobs/lane"
)

// Who has a setting that was removed is told that it is gone, and what holds.
func TestARemovedSettingStopsTheStart(t *testing.T) {
	for name, holds := range removed() {
		t.Run(name, func(t *testing.T) {
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, variablePrefix), "_", "-"))
			for _, args := range [][]string{{flag, "7"}, {flag + "=7"}} {
				_, err := output(t, serveArgs("postgres://127.0.0.1:1/none", args...)...)
				require.Equal(t, exitUsage, codeOf(err))
				require.ErrorContains(t, err, flag+" is no setting any more: "+holds)
			}

			t.Setenv(name, "7")
			for _, args := range [][]string{{"serve"}, {"dev"}, {"config", "dev"}} {
				_, err := output(t, args...)
				require.Equal(t, exitUsage, codeOf(err))
				require.ErrorContains(t, err, name+" is no setting any more: "+holds)
			}
			_, err := output(t, "version")
			require.NoError(t, err)
		})
	}
}

// What is said to hold does.
func TestWhatHoldsInPlaceOfRemovedSettings(t *testing.T) {
	t.Parallel()
	cfg := server.DefaultConfig()
	for name, value := range map[string]any{
		"OUTHOOK_BULK_RATE": lane.BulkRatePerProcessor, "OUTHOOK_DISABLE_FAILURES": cfg.Jobs.Health.DisableFailures,
		"OUTHOOK_FAILING_FAILURES": cfg.Jobs.Health.FailingFailures, "OUTHOOK_KEPT_JOB_RATE": cfg.Jobs.Deliver.KeptJobRate,
		"OUTHOOK_MAX_BATCH_BYTES": cfg.API.Limits.MaxBatchBytes, "OUTHOOK_MAX_BULK_WORKERS": cfg.Jobs.River.MaxBulkWorkers,
		"OUTHOOK_MAX_LANES": cfg.Jobs.Lane.MaxLanes, "OUTHOOK_MAX_LIMITED_WORKERS": cfg.Jobs.Lane.MaxLimitedWorkers,
		"OUTHOOK_MAX_REQUESTS": cfg.API.Limits.MaxRequests, "OUTHOOK_MAX_RETRY_AFTER": short(retry.MaxAfter),
		"OUTHOOK_REPLAY_BACKLOG": cfg.Jobs.Operation.Backlog,
	} {
		require.Contains(t, removed()[name], fmt.Sprint(value), name)
	}
}
