package web

import (
	"net/url"
	"strings"
	"time"
)

// Tenants is the list of tenants that somebody has noted something of, and of those that were busy.
type Tenants struct {
	Open     Input // the label of one
	Rows     []TenantRow
	Paging   Paging
	Used     []UsedTenant
	UsedMore bool // there are more
	Noting   bool // whether who looks may note something

	UsedNotice string // why it is missing; "": it is not
}

// TenantRow is a tenant's entry in a list.
type TenantRow struct {
	Label, Name, Contact string

	Since time.Time
}

// UsedTenant is what a tenant has used this month.
type UsedTenant struct {
	Label string
	Used  Usage
}

// Usage is what was used in a time.
type Usage struct{ Events, Deliveries, Attempts, Bytes int }

// Tenant is one, with an entry or without.
type Tenant struct {
	TenantRow

	HasEntry  bool
	Unknown   bool // it has nothing else either
	Updated   time.Time
	Metadata  []Header
	Pauses    []TenantPause // those that hold for it, as far as who looks may know
	Erasure   *Erasure      // nil: none was just ordered
	Tiles     []Tile
	Charts    *Activity // nil: not known
	Endpoints []EndpointRow
	More      bool // it has more of them
	Days      []UsageDay
	Actions   []Action // those that are wanted often
	Others    []Action
	NewHref   string // of an endpoint; "": who looks may make none

	Notice, EndpointsNotice, DaysNotice, PausesNotice, ErasureNotice string // why something is missing; "": it is not
}

// TenantPause keeps deliveries back: the tenant's, or all.
type TenantPause struct {
	By, Reason string
	At         time.Time
	All        bool
}

// Erasure is how far the erasing of a tenant is.
type Erasure struct {
	Completed *time.Time // nil: it is running
	Counts    []Header
}

// UsageDay is what was used on a day.
type UsageDay struct {
	Day   string
	Used  Usage
	Final bool
	share float64 // of the busiest day's events, in percent
}

// Compared returns the days with what is drawn of them: how many events there were, beside the busiest of them.
func Compared(days []UsageDay) []UsageDay {
	most := 0
	for _, d := range days {
		most = max(most, d.Used.Events)
	}
	for i := range days {
		if most > 0 {
			days[i].share = 100 * float64(days[i].Used.Events) / float64(most)
		}
	}
	return days
}

// TenantHref returns the path of a tenant's page.
func TenantHref(label string) string { return "/console/tenants/" + url.PathEscape(label) }

// OfTenant returns the path of a list of one tenant's alone; "": of everybody's.
func OfTenant(path, label string) string {
	if label == "" {
		return path
	}
	mark := "?"
	if strings.Contains(path, mark) {
		mark = "&"
	}
	return path + mark + "tenant=" + Query(label)
}
