package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

type listEndpointsInput struct {
	TenantID  string            `query:"tenant_id" maxLength:"255" doc:"Only endpoints of this tenant."`
	ID        []string          `query:"id" maxItems:"200" doc:"Only these endpoints: their ids, with commas. One that is not there, or not the key's tenant's, is left out."`
	UID       string            `query:"uid" maxLength:"256" doc:"Only the endpoint with this uid, one of each tenant."`
	Status    string            `query:"status" enum:"enabled,paused,disabled" doc:"Only endpoints with this status."`
	Health    string            `query:"health" enum:"healthy,failing,disabled" doc:"Only endpoints whose health has this state."`
	URLHost   string            `query:"url_host" maxLength:"255" example:"example.com" doc:"Only endpoints whose url has this host, whatever its case; with a port, only that port as it is written in the url."`
	EventType string            `query:"event_type" maxLength:"255" example:"invoice.paid" doc:"Only endpoints that are subscribed to events of this type."`
	Label     string            `query:"label" maxLength:"64" doc:"Only endpoints that have this label."`
	Metadata  map[string]string `query:"metadata,deepObject,explode" doc:"Only endpoints whose metadata has these values: metadata[plan]=gold."`
	Order     string            `query:"order" enum:"asc,desc" default:"asc" doc:"By time: asc begins with the oldest."`
	Limit     int32             `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor    string            `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) listEndpoints(ctx context.Context, in *listEndpointsInput) (*pageOutput[endpoint], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEndpointsParams{
		Cursor: f.after(1)[0], Ascending: f.ascending, MaxRows: f.maxRows(),
		TenantID: f.tenant(in.TenantID), EndpointIDs: f.ids("query.id", in.ID), UID: f.text("query.uid", in.UID),
		Status: textOrNull(in.Status), Health: textOrNull(in.Health), URLHost: f.text("query.url_host", in.URLHost),
		Label: f.text("query.label", in.Label), EventType: f.text("query.event_type", in.EventType),
		Metadata: f.metadata(in.Metadata),
	}
	var healths map[uuid.UUID]db.EndpointHealth

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.Endpoint, error) {
		rows, err := db.New().ListEndpoints(ctx, tx, p)
		if err != nil {
			return nil, err
		}
		healths, err = healthsOf(ctx, tx, rows)
		return rows, err
	}, func(r db.Endpoint) (endpoint, error) {
		e, err := newEndpointAnswer(r)
		e.Health = newEndpointHealth(r.Status, healths[r.ID])
		return e, err
	}, func(r db.Endpoint) []uuid.UUID { return []uuid.UUID{r.ID} })
}

// metadata returns the object that an endpoint's metadata has to hold.
func (f *filters) metadata(given map[string]string) json.RawMessage {
	if len(given) > maxMetadata {
		f.fail(problem.Invalid("query.metadata", fmt.Sprintf("must have at most %d entries", maxMetadata)))
	}
	if given == nil {
		given = map[string]string{}
	}
	for name, value := range given {
		f.text("query.metadata", name)
		f.text("query.metadata", value)
	}

	data, err := json.Marshal(given)
	if err != nil {
		f.fail(fmt.Errorf("encoding a filter by metadata: %w", err)) // not for a map of strings
	}
	return data
}
