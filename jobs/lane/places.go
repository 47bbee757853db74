package lane

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/outhook/outhook/db"
)

// places are how many deliveries of one kind of lane may be under way. One tenant has three quarters of them at most,
// so that another's begin while all of its own hang.
type places struct {
	most, free int
	active     int            // lanes in which something waits or is under way
	lanes      map[string]int // of them, each tenant's
	taken      map[string]int // places, each tenant's
}

func newPlaces(most int) *places {
	return &places{most: most, free: most, lanes: make(map[string]int), taken: make(map[string]int)}
}

// note notes what a lane has and wants.
func (p *places) note(n db.LookAtLanesRow) {
	p.take(n.TenantID, int(n.InFlight))
	if n.InFlight > 0 || n.Waits {
		p.active++
		p.lanes[n.TenantID]++
	}
}

func (p *places) take(tenantID string, count int) {
	p.free -= count
	p.taken[tenantID] += count
}

// left returns how many places a tenant may take.
func (p *places) left(tenantID string) int {
	return min(p.free, p.most-p.most/4-p.taken[tenantID])
}

// share returns how many places each of a tenant's lanes may have: what it would have if all lanes shared alike, or if
// tenants did and then their lanes, whichever is more. Who has less comes first.
func (p *places) share(tenantID string) int {
	ofTenant := p.most / max(len(p.lanes), 1) / max(p.lanes[tenantID], 1)
	return max(p.most/max(p.active, 1), ofTenant, 1)
}

// inTurn returns the lanes in the order in which they get places: the first of each tenant, then the second. The first
// tenant is the one with the least under way, and its first lane likewise.
func inTurn(rows []db.LookAtLanesRow) []db.LookAtLanesRow {
	type share struct{ lane, tenantID string }
	taken := make(map[share]int)
	for _, n := range rows {
		taken[share{n.Lane, n.TenantID}] += int(n.InFlight)
	}

	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b db.LookAtLanesRow) int { return cmp.Compare(a.InFlight, b.InFlight) })
	turns := make(map[uuid.UUID]int, len(rows))
	for _, n := range rows {
		turns[n.ID] = taken[share{n.Lane, n.TenantID}]
		if n.Waiting > 0 {
			taken[share{n.Lane, n.TenantID}]++
		}
	}

	slices.SortStableFunc(rows, func(a, b db.LookAtLanesRow) int { return cmp.Compare(turns[a.ID], turns[b.ID]) })
	return rows
}
