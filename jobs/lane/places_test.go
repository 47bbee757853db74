package lane

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// However many lanes a tenant has, another's has its part of the places.
func TestTenantsShareThePlacesOfLanes(t *testing.T) {
	t.Parallel()
	p := newPlaces(200)
	var rows []db.LookAtLanesRow
	add := func(tenantID string, n int, inFlight int32) {
		for range n {
			row := db.LookAtLanesRow{
				ID: uuid.New(), TenantID: tenantID, Lane: ledger.LaneSlow, InFlight: inFlight, Waits: true, Waiting: 32,
			}
			rows = append(rows, row)
			p.note(row)
		}
	}
	add("greedy", 1000, 0)
	add("acme", 1, 0)
	add("busy", 2, 5)

	order := inTurn(rows)
	require.ElementsMatch(t, []string{"greedy", "acme"}, []string{order[0].TenantID, order[1].TenantID})
	require.Equal(t, "busy", order[10+2].TenantID, "it has ten under way")
	require.Equal(t, 150, p.left("greedy"))
	require.Equal(t, 140, p.left("busy"))
	require.Equal(t, 1, p.share("greedy"))
	require.Equal(t, 66, p.share("acme"))
	require.Equal(t, 33, p.share("busy"))
	p.take("greedy", 150)
	require.Zero(t, p.left("greedy"))
	require.Equal(t, 40, p.left("acme"))
}
