package eventtype

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// List is what a list of event types is asked for.
type List struct {
	State  string `query:"state" enum:"active,deprecated,archived" doc:"Only types in this state."`
	Group  string `query:"group" maxLength:"255" doc:"Only types of this group."`
	Order  string `query:"order" enum:"asc,desc" default:"asc" doc:"By the time that they were described: asc begins with the oldest."`
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

// Path names an event type in a path.
type Path struct {
	Name string `path:"name" minLength:"1" maxLength:"255" doc:"The event type."`
}

// Pull is which part of the catalogue is asked for.
type Pull struct {
	EventType string `query:"event_type" maxLength:"255" doc:"Only this type, archived or not: a document that can be pushed. Default: all that are not archived."`
}

// VersionPath names a version of one.
type VersionPath struct {
	Path

	Version int32 `path:"version" minimum:"1"`
}

// Operation returns an operation of the OpenAPI document, by its id, under a tag.
func Operation(id, tag string) huma.Operation {
	all := operations()
	i := slices.IndexFunc(all, func(op huma.Operation) bool { return op.OperationID == id })
	if i < 0 {
		return huma.Operation{} // which no route takes
	}
	op := all[i]
	op.Tags = []string{tag}
	return op
}

func operations() []huma.Operation {
	return []huma.Operation{
		{
			OperationID: "push-catalog", Method: http.MethodPost, Path: "/api/catalog",
			Summary: "Push a document to the catalogue",
			Description: "Makes the event types of the document what it says, and answers with what differs. A schema that " +
				"changes is a new version of its type.",
		},
		{
			OperationID: "get-catalog", Method: http.MethodGet, Path: "/api/catalog",
			Summary: "Pull the catalogue as a document",
			Description: "What was pushed, type by type, with what was changed since. A key that is bound to a tenant " +
				"gets what is public.",
		},
		{
			OperationID: "list-undescribed-types", Method: http.MethodGet, Path: "/api/catalog/undescribed",
			Summary:     "List event types that are not described",
			Description: "Those that were seen in samples of the events and are not in the catalogue.",
		},

		{
			OperationID: "list-event-types", Method: http.MethodGet, Path: "/api/event-types",
			Summary:     "List event types",
			Description: "Those of the catalogue. A key that is bound to a tenant is shown what is public.",
		},
		{
			OperationID: "get-event-type", Method: http.MethodGet, Path: "/api/event-types/{name}",
			Summary: "Get an event type",
		},
		{
			OperationID: "get-event-type-version", Method: http.MethodGet,
			Path:    "/api/event-types/{name}/versions/{version}",
			Summary: "Get a version of an event type, and what it changed",
		},
		{
			OperationID: "update-event-type", Method: http.MethodPatch, Path: "/api/event-types/{name}",
			Summary: "Deprecate, hide or enforce an event type",
			Description: "It stops no delivery. The next push says again what the document says of the state and the " +
				"visibility.",
		},
		{
			OperationID: "delete-event-type", Method: http.MethodDelete, Path: "/api/event-types/{name}",
			Summary: "Delete an event type",
			Description: "With its versions: for one that was a mistake. What was in use is better archived. It stops no " +
				"delivery, and the next push of a document that has it makes it anew.",
		},
	}
}
