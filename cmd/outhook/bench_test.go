package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// figures are what is promised of bench --json.
type figures struct {
	Accepted      int64   `json:"accepted"`
	Delivered     int64   `json:"delivered"`
	AcceptedPerS  float64 `json:"accepted_per_s"`
	DeliveredPerS float64 `json:"delivered_per_s"`
	Lost          *int64  `json:"lost"`
	Duplicates    *int64  `json:"duplicates"`
	AcceptMS      latency `json:"accept_ms"`
	ReceiptMS     latency `json:"receipt_ms"`
	CPUPerEvent   float64 `json:"cpu_us_per_event"`
	WALPerEvent   float64 `json:"wal_bytes_per_event"`
	DiskPerEvent  float64 `json:"disk_bytes_per_event"`
}

type latency struct{ P50, P99 float64 }

type benchReport struct {
	figures

	Baselines map[string]figures
	Ratios    map[string]float64
}

func benchmark(t *testing.T, args ...string) (r benchReport) {
	t.Helper()
	out, err := output(t, append([]string{"bench", "--json", "--any-machine", "--duration", "1s", "--events", "1000"}, args...)...)
	require.NoError(t, err, out)
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	require.Positive(t, r.Accepted)
	require.Zero(t, *r.Lost)
	require.Zero(t, *r.Duplicates)
	return r
}

func TestBench(t *testing.T) {
	t.Parallel()

	t.Run("RESTBesideRiver", func(t *testing.T) {
		t.Parallel()
		r := benchmark(t, "rest", "--conns", "4", "--baseline", "river")
		for _, f := range []figures{r.figures, r.Baselines["river"]} {
			require.Equal(t, f.Accepted, f.Delivered)
			require.Positive(t, f.AcceptedPerS)
			require.Positive(t, f.DeliveredPerS)
			require.Positive(t, f.AcceptMS.P50)
			require.GreaterOrEqual(t, f.ReceiptMS.P99, f.ReceiptMS.P50)
			require.Positive(t, f.CPUPerEvent)
			require.Greater(t, f.WALPerEvent, 1024.0, "the payload is in it")
			require.Positive(t, f.DiskPerEvent)
		}
		require.InEpsilon(t, r.DeliveredPerS/r.Baselines["river"].DeliveredPerS, r.Ratios["river"], 0.01)
	})

	t.Run("EachEndpointOnceAlsoAfterRetries", func(t *testing.T) {
		t.Parallel()
		r := benchmark(t, "batch", "--rate", "20", "--batch-size", "3", "--endpoints", "2", "--fail-first", "1")
		require.Equal(t, int64(60), r.Accepted)
		require.Equal(t, int64(120), r.Delivered)
		require.Greater(t, r.ReceiptMS.P50, 1000.0, "the first attempt is refused and the second comes after 1 s")
	})

	t.Run("Drain", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, int64(1000), benchmark(t, "drain", "--baseline", "river").Delivered)
	})

	t.Run("ClientBesidePostgresWithoutWorkers", func(t *testing.T) {
		t.Parallel()
		r := benchmark(t, "client", "--conns", "4", "--workers", "0", "--baseline", "postgres", "--preload", "400")
		require.Zero(t, r.Delivered)
		require.InEpsilon(t, r.AcceptedPerS/r.Baselines["postgres"].AcceptedPerS, r.Ratios["postgres"], 0.01)
	})

	t.Run("TwoAPIsAndTwoWorkers", func(t *testing.T) {
		t.Parallel()
		r := benchmark(t, "rest", "--conns", "4", "--rate", "50", "--apis", "2", "--workers", "2")
		require.Equal(t, r.Accepted, r.Delivered)
	})

	t.Run("SeveralTenants", func(t *testing.T) {
		t.Parallel()
		r := benchmark(t, "rest", "--conns", "4", "--rate", "50", "--tenants", "3", "--endpoints", "2")
		require.Equal(t, 2*r.Accepted, r.Delivered)
	})

	t.Run("Viewers", func(t *testing.T) {
		t.Parallel()
		out, err := output(t, "bench", "rest", "--json", "--conns", "4", "--duration", "3s", "--rate", "50", "--viewers", "2")
		if err != nil { // so short a run has no steady figures
			require.ErrorContains(t, err, "a promise is broken")
		}
		var r struct {
			Runs     map[string][]figures
			Watching struct {
				MoreOfACore      *float64 `json:"more_of_a_core"`
				Watched, Control []struct{ Name string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		for _, name := range []string{"outhook", "unwatched", "again"} {
			require.Len(t, r.Runs[name], 1)
			require.Zero(t, *r.Runs[name][0].Lost)
		}
		require.NotNil(t, r.Watching.MoreOfACore)
		require.NotEmpty(t, r.Watching.Watched)
		require.NotEmpty(t, r.Watching.Control)
	})

	t.Run("AgainstAnotherBinary", func(t *testing.T) {
		t.Parallel()
		other, err := os.Executable()
		require.NoError(t, err)
		out, err := output(t, "bench", "rest", "--json", "--duration", "1s", "--rate", "20", "--pairs", "2", "--against", other)
		require.NoError(t, err, out)
		var r struct {
			Against []struct {
				Name                string
				Median, Least, Most float64
			}
			Runs map[string][]figures
		}
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		require.Len(t, r.Runs["outhook"], 2)
		require.Len(t, r.Runs["against"], 2)
		names := make([]string, len(r.Against))
		for i, ratio := range r.Against {
			names[i] = ratio.Name
			require.LessOrEqual(t, ratio.Least, ratio.Median, ratio.Name)
			require.LessOrEqual(t, ratio.Median, ratio.Most, ratio.Name)
		}
		require.Subset(t, names, []string{"accepted /s", "accept p50 ms", "CPU µs/event of worker"})
	})

	t.Run("Retention", func(t *testing.T) {
		t.Parallel()
		out, err := output(t, "bench", "retention", "--json", "--any-machine", "--preload", "4000", "--rate", "50", "--duration", "4s")
		require.NoError(t, err, out)
		var r struct {
			Events        int
			DroppedDays   int     `json:"dropped_days"`
			DroppedTables int     `json:"dropped_tables"`
			DropMS        float64 `json:"drop_ms"`
			BeforeMS      latency `json:"accept_before_ms"`
			DuringMS      latency `json:"accept_during_ms"`
			WALPerEvent   float64 `json:"wal_bytes_per_event"`
			Sizes         []struct {
				Table string
				Heap  float64 `json:"table_bytes"`
			} `json:"sizes_per_event"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &r), out)
		require.Equal(t, 4000, r.Events)
		require.Equal(t, 10, r.DroppedDays)
		require.Equal(t, 30, r.DroppedTables)
		require.Positive(t, r.DropMS)
		require.Positive(t, r.BeforeMS.P99)
		require.Positive(t, r.DuringMS.P99)
		require.Greater(t, r.WALPerEvent, 1024.0)
		require.Len(t, r.Sizes, 3)
		require.Equal(t, "events", r.Sizes[2].Table)
		require.Greater(t, r.Sizes[2].Heap, 1024.0)
	})

	t.Run("ARunningServer", func(t *testing.T) {
		t.Parallel()
		base := start(t, serveArgs(migrated(t))...).address(t)
		r := benchmark(t, "rest", "--url", base, "--key", testAPIKey, "--receiver-address", "127.0.0.1:0", "--rate", "50")
		require.Equal(t, int64(50), r.Accepted)
		require.Equal(t, int64(50), r.Delivered)
	})

	t.Run("RefusesWhatMakesNoSense", func(t *testing.T) {
		t.Parallel()
		for flag, args := range map[string][]string{
			"--conns":             {"--conns", "0"},
			"--payload-bytes":     {"--payload-bytes", "20"},
			"--url":               {"drain", "--url", "http://127.0.0.1:1"},
			"--baseline postgres": {"rest", "--baseline", "postgres"},
			"--workers 0":         {"drain", "--workers", "0"},
		} {
			_, err := output(t, append([]string{"bench"}, args...)...)
			require.ErrorContains(t, err, flag)
		}
	})
}
