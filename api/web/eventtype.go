package web

import (
	"net/url"
	"strconv"
	"time"
)

// EventTypes is a page of the catalogue.
type EventTypes struct {
	Filters     []Input
	Filtered    bool
	Rows        []EventTypeRow
	Paging      Paging
	Undescribed []UndescribedRow // types that were seen and are not described
}

// EventTypeRow is an event type of a list.
type EventTypeRow struct {
	Name, Title, Group string
	State              Mark
	Version            int
	Sample             Mark // what samples of its events showed
	Public             string
}

// UndescribedRow is a type that was seen.
type UndescribedRow struct {
	Name   string
	Events int
	Last   time.Time
}

// EventType is an event type with all that is known of it.
type EventType struct {
	EventTypeRow

	Description string
	Flags       string // "": none
	Enforce     string
	Guard       string // "": none
	Subscribers string
	Changed     time.Time

	// Broken is the last event of a sample that broke the schema; nil: none did.
	Broken *Broken

	Schema   string
	Examples []string
	Versions []EventTypeVersion
	EditHref string // "": whoever looks may not change it
}

// Broken is an event that broke its schema.
type Broken struct{ EventID, Where, How string }

// EventTypeVersion is a version of a schema.
type EventTypeVersion struct {
	Version  int
	At       time.Time
	Breaking bool
	Note     string
	Changes  []Difference
	Schema   string // "": it is the newest, which stands above
}

// Difference is what a version changed.
type Difference struct {
	Where, What string
	Breaking    bool
}

// EventTypeHref leads to an event type.
func EventTypeHref(name string) string { return "/console/event-types/" + url.PathEscape(name) }

func versionName(v int) string { return "Version " + strconv.Itoa(v) }
