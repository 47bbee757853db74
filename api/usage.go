package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

// usage is what was used in a time.
type usage struct {
	From         time.Time `json:"from" doc:"The beginning of the hour, day or month (UTC), or the request's from."`
	To           time.Time `json:"to" doc:"Its end, or the request's to."`
	TenantID     *string   `json:"tenant_id" doc:"Null if not grouped by tenant."`
	Type         *string   `json:"type" doc:"The event type. Null if not grouped by type."`
	Events       int64     `json:"events" doc:"Events that were enqueued in that time."`
	Deliveries   int64     `json:"deliveries" doc:"Their deliveries."`
	Attempts     int64     `json:"attempts" doc:"Attempts that began in that time, at events of whatever age."`
	PayloadBytes int64     `json:"payload_bytes" doc:"The bytes of the events' payloads."`
	Final        bool      `json:"final" doc:"It will not change any more."`
}

type listUsageInput struct {
	From     moment   `query:"from" doc:"From this time on, a whole hour: a part of one is left off. Default: the beginning of this month (UTC)."`
	To       moment   `query:"to" doc:"Before this time, in the same way. Default: now."`
	TenantID string   `query:"tenant_id" maxLength:"255" doc:"Only this tenant's."`
	Type     string   `query:"type" maxLength:"255" doc:"Only of this event type: invoice.paid, or invoice.* for each type below invoice."`
	GroupBy  []string `query:"group_by" enum:"hour,day,month,tenant,type,none" maxItems:"3" doc:"What is added up apart, with commas: one of hour, day and month, and tenant and type. none: nothing. Default: day and tenant."`
	Limit    int32    `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"The most items of a page."`
	Cursor   string   `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addUsage() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-usage", Method: http.MethodGet, Path: "/api/usage", Tags: []string{tagDelivery},
			Summary: "What tenants have used, for bills",
			Description: "Counted from the log when an hour has ended, which takes up to an hour, and again until a day " +
				"later, for what was committed late: then it is final and exact. Kept for 400 days, also after its " +
				"events have left; it leaves with a tenant that is erased. What nothing was used in has no item.",
		},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listUsage)
}

// usageRow is a row of the list, and its place in it.
type usageRow struct {
	db.ListUsageRow

	place int32
}

func (s *Server) listUsage(ctx context.Context, in *listUsageInput) (*pageOutput[usage], error) {
	f := newPaging(ctx, orderAscending, in.Limit, in.Cursor)
	groups := in.GroupBy
	if len(groups) == 0 {
		groups = []string{"day", "tenant"}
	}

	p := db.ListUsageParams{
		TenantID: f.tenant(in.TenantID), ByTenant: slices.Contains(groups, "tenant"), ByType: slices.Contains(groups, "type"),
		MaxRows: f.maxRows(),
	}
	p.Type, p.TypePrefix = f.eventType(in.Type)
	p.Unit = f.unit(groups)
	if after := f.after(1)[0]; after != nil {
		_, p.SkipRows = cursor.Unpack(*after)
	}

	var final time.Time
	return list(ctx, s, f, func(tx pgx.Tx) (rows []usageRow, err error) {
		if p.Since, p.Until, err = usageSpan(ctx, tx, in); err != nil {
			return nil, err
		}
		if final, err = db.New().GetUsageFinal(ctx, tx); err != nil {
			return nil, err
		}
		found, err := db.New().ListUsage(ctx, tx, p)
		for i, r := range found {
			rows = append(rows, usageRow{r, p.SkipRows + int32(i) + 1})
		}
		return rows, err
	}, always(func(r usageRow) usage {
		return newUsage(r.ListUsageRow, p, final)
	}), func(r usageRow) []uuid.UUID { return []uuid.UUID{cursor.Pack(time.UnixMicro(0), r.place)} })
}

// unit returns the time that is added up.
func (f *filters) unit(groups []string) (unit string) {
	for _, g := range []string{"hour", "day", "month"} {
		switch {
		case !slices.Contains(groups, g):
		case unit != "":
			f.fail(problem.Invalid("query.group_by", "must name one of hour, day and month at most"))
		default:
			unit = g
		}
	}
	return unit
}

// usageSpan returns the whole hours that are asked for.
func usageSpan(ctx context.Context, tx pgx.Tx, in *listUsageInput) (since, until time.Time, err error) {
	now, err := db.New().GetTransactionTime(ctx, tx)
	if err != nil {
		return since, until, err
	}

	now = now.UTC()
	since, until = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), now
	if at := bound(in.To); at != nil {
		until = at.UTC()
	}
	if at := bound(in.From); at != nil {
		since = at.UTC()
	}
	since, until = since.Add(time.Hour-1).Truncate(time.Hour), until.Truncate(time.Hour)
	return since, until, nil
}

func newUsage(r db.ListUsageRow, p db.ListUsageParams, final time.Time) usage {
	u := usage{
		From: r.Begin.UTC(), To: p.Until, Events: r.Events, Deliveries: r.Deliveries, Attempts: r.Attempts,
		PayloadBytes: r.PayloadBytes,
	}
	switch p.Unit {
	case "hour":
		u.To = u.From.Add(time.Hour)
	case "day":
		u.To = u.From.AddDate(0, 0, 1)
	case "month":
		u.To = u.From.AddDate(0, 1, 0)
	}
	if p.ByTenant {
		u.TenantID = &r.TenantID
	}
	if p.ByType {
		u.Type = &r.Type
	}

	// Of a part of a day the rest is not asked for.
	if u.From.Before(p.Since) {
		u.From = p.Since
	}
	if u.To.After(p.Until) {
		u.To = p.Until
	}
	u.Final = !u.To.After(final)
	return u
}
