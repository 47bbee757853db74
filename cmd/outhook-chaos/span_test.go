package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is a time by its seconds.
func at(seconds float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func TestSpans(t *testing.T) {
	t.Parallel()
	list := join(span{at(5), at(7)}, span{at(1), at(3)}, span{at(2), at(4)}, span{at(9), at(9)})
	require.Equal(t, spans{{at(1), at(4)}, {at(5), at(7)}}, list)
	require.Equal(t, 5*time.Second, list.length())
	require.Equal(t, spans{{at(3), at(4)}, {at(5), at(6)}}, list.during(span{at(3), at(6)}))
	require.Empty(t, list.during(span{at(4), at(5)}))
	require.Equal(t, spans{{at(3), at(4)}, {at(6), at(7)}}, list.both(spans{{at(3), at(4.5)}, {at(6), at(8)}}))
}

func TestOnesTurnComesWhenNobodyIsServedWhoWasDueEarlier(t *testing.T) {
	t.Parallel()
	l := line{}
	l.serve(span{at(10), at(10)}, at(1))
	l.serve(span{at(10), at(10)}, at(9))
	l.serve(span{at(11), at(11)}, at(8))
	require.Equal(t, bucket, join(l.before(span{at(5), at(20)}, at(7))...).length(), "only the first was due earlier")
	require.Equal(t, 2*bucket, join(l.before(span{at(5), at(20)}, at(8))...).length())
	require.Empty(t, l.before(span{at(10.5), at(10.9)}, at(8)))
}
