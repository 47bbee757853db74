package egress_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// net/http lets a dial go on after its request: with many hosts that never answer, for ever more goroutines.
func TestDialEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		select {
		case ended <- struct{}{}:
		default: // both address families are looked up
		}
		return nil, ctx.Err()
	}}
	res := postRequest(t, setup(t, egress.Config{Resolver: resolver}), egress.Request{
		URL: "http://hanging.example", Body: []byte("{}"), Timeout: 50 * time.Millisecond,
	})
	require.Equal(t, egress.TimedOut, res.Outcome)
	select {
	case <-ended:
	case <-time.After(3 * time.Second): // the resolver by itself gives up after 5 s
		t.Fatal("the look-up still runs")
	}
}
