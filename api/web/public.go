package web

import (
	"net/url"
	"strconv"
)

// Public is what is around a page that everybody may see. It says nothing of who made it.
type Public struct {
	Base  string // of the assets
	Title string // of the whole
}

// PublicGroup is a group of event types.
type PublicGroup struct {
	Name string // "": none
	Rows []PublicRow
}

// PublicRow is an event type of a list.
type PublicRow struct {
	Name, Title string
	Deprecated  bool
}

// PublicEventType is an event type.
type PublicEventType struct {
	PublicRow

	Description string
	Members     []PublicMember
	Examples    []string
	Versions    []int // newest first
}

// PublicMember is one of a payload's.
type PublicMember struct {
	Path, Type  string
	Required    bool
	Description string
}

func publicHref(name string) string { return "/catalog/" + url.PathEscape(name) }

func schemaHref(name string, version int) string {
	return publicHref(name) + "/" + strconv.Itoa(version) + ".schema.json"
}
