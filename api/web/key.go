package web

import "time"

// Keys is a page of the list of API keys.
type Keys struct {
	Filters  []Input
	Filtered bool
	Rows     []KeyRow
	Paging   Paging
	Fresh    *FreshKey // that was just made; nil: none was
}

// KeyRow is an API key of a list.
type KeyRow struct {
	ID, Name, Scope string
	Tenant          string // "": all
	State           Mark
	Created         time.Time
	Used, Ends      *time.Time // nil: never
	Actions         []Action
}

// FreshKey is a key that is shown once.
type FreshKey struct{ Name, Scope, Tenant, Text string }
