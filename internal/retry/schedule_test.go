package retry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/retry"
)

func TestParseSchedule(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want retry.Schedule
		err  string
	}{
		{in: "1m,2m,4m", want: retry.Schedule{time.Minute, 2 * time.Minute, 4 * time.Minute}},
		{in: " 5s , 1h ", want: retry.Schedule{5 * time.Second, time.Hour}},
		{in: "fast", want: retry.Fast()},
		{in: "standard", want: retry.Standard()},
		{in: "168h", want: retry.Schedule{retry.MaxDelay}},
		{in: "", err: "it is empty"},
		{in: "1m,,2m", err: "delay 2 is no duration"},
		{in: "1m,soon", err: "delay 2 is no duration"},
		{in: "500ms", err: "delay 1 must be whole seconds"},
		{in: "1500ms", err: "delay 1 must be whole seconds"},
		{in: "169h", err: "delay 1 must be whole seconds"},
		{in: "-1m", err: "delay 1 must be whole seconds"},
		{in: strings.Repeat("1m,", 30) + "1m", err: "it has 31 delays"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			t.Parallel()
			got, err := retry.Parse(tc.in)
			if tc.err != "" {
				require.ErrorIs(t, err, retry.ErrInvalid)
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.Equal(t, got, retry.FromSeconds(got.Seconds()))
		})
	}
}

func TestScheduleDelay(t *testing.T) {
	t.Parallel()
	s := retry.Fast()
	for failures, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute} {
		d, ok := s.Delay(failures)
		require.True(t, ok)
		require.Equal(t, want, d)
	}
	for _, failures := range []int{-1, 0, 4} {
		_, ok := s.Delay(failures)
		require.False(t, ok, failures)
	}
}

// FuzzSchedule: what is accepted is within the limits and survives being written and read again.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"1m,2m,4m", "standard", "1h30m", "9223372036854775807ns", "1e3s", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := retry.Parse(in)
		if err != nil {
			require.ErrorIs(t, err, retry.ErrInvalid)
			return
		}
		require.LessOrEqual(t, len(s), retry.MaxDelays)
		for i, d := range s {
			require.GreaterOrEqual(t, d, retry.MinDelay)
			require.LessOrEqual(t, d, retry.MaxDelay)
			got, ok := s.Delay(i + 1)
			require.True(t, ok)
			require.Equal(t, d, got)
		}
		again, err := retry.Parse(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}
