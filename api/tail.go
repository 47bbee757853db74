package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

const (
	// followOverlap is how far a reader that has caught up goes back: an attempt is recorded within milliseconds of its
	// end, in a group of at most a second or two on a busy machine.
	followOverlap = 10 * time.Second

	// followStart is how long before its end an attempt may have started, and how long one whose worker died is shown.
	// It is the 40 s of FollowAttempts: the longest timeout, 30 s, and some room.
	followStart = 40 * time.Second

	// maxFollowBack bounds since: a reader who wants more reads the reports.
	maxFollowBack = 7 * 24 * time.Hour
)

// followedAttempt is an attempt in the log that is followed, without headers and bodies.
type followedAttempt struct {
	EventID    uuid.UUID `json:"event_id" format:"uuid"`
	EndpointID uuid.UUID `json:"endpoint_id" format:"uuid"`
	Number     int32     `json:"number" example:"1"`
	TenantID   string    `json:"tenant_id" example:"acme"`
	Type       string    `json:"type" example:"invoice.paid" doc:"The event type."`
	Trigger    string    `json:"trigger" enum:"scheduled,manual"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS *int32    `json:"duration_ms" doc:"Null if the worker died."`
	Outcome    string    `json:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown"`
	StatusCode *int32    `json:"status_code" doc:"Null if no answer came."`
	Error      *string   `json:"error" doc:"A class and a short text."`
	RemoteAddr *string   `json:"remote_addr" doc:"The address that was connected to."`

	Phases
}

// followedPage is a page of a log that has no end.
type followedPage struct {
	Items      []followedAttempt `json:"items" nullable:"false"`
	NextCursor string            `json:"next_cursor" doc:"Give it back as cursor to go on, now or later."`
	More       bool              `json:"more" doc:"True if there is more at once; else ask again after a second."`
}

type followOutput struct{ Body followedPage }

type followInput struct {
	TenantID   string    `query:"tenant_id" maxLength:"255" doc:"Only attempts for this tenant."`
	EndpointID string    `query:"endpoint_id" maxLength:"256" doc:"Only attempts at this endpoint: its id, or its uid."`
	Type       string    `query:"type" maxLength:"255" doc:"Only attempts of this event type: invoice.paid, or invoice.* for each type below invoice."`
	Outcome    []string  `query:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown" maxItems:"6" doc:"Only these outcomes, with commas."`
	StatusCode int32     `query:"status_code" minimum:"100" maximum:"599" doc:"Only attempts that were answered with this status."`
	Since      time.Time `query:"since" doc:"Without a cursor: attempts that ended at this time or later, at most 7 days ago. Default: from now on."`
	Limit      int32     `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"The most items of a page."`
	Cursor     string    `query:"cursor" maxLength:"400" doc:"next_cursor of the page before."`
}

// followCursor is a reader's position. It passes over the log from From on, page by page; when it has caught up, the
// next pass begins followOverlap before the time at which this one began, so that what became visible late is seen.
type followCursor struct {
	From    time.Time   `json:"f"`
	Began   time.Time   `json:"b"`
	After   *time.Time  `json:"a,omitempty"`
	IDs     []uuid.UUID `json:"i,omitempty"` // of the event and the endpoint
	Attempt *int32      `json:"n,omitempty"`
}

func (s *Server) addTail() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "follow-attempts", Method: http.MethodGet, Path: "/api/attempts", Tags: []string{tagDelivery},
			Summary: "Follow the attempts as they end",
			Description: "Oldest first. The list has no end: next_cursor is always there. A reader that has caught up " +
				"reads the last 10 seconds again, because an attempt is recorded after it ended: skip those that you " +
				"have, by event_id, endpoint_id, number and outcome. An attempt that was recorded later than that, " +
				"after trouble with the database, is not shown here; GET /api/events/{id}/attempts and SQL show all.",
		},
		access: readAccess, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.followAttempts)
}

func (s *Server) followAttempts(ctx context.Context, in *followInput) (*followOutput, error) {
	f := newFilters(ctx)
	tenantID := f.tenant(in.TenantID)
	p := db.FollowAttemptsParams{
		TenantID:   tenantID,
		EndpointID: f.endpoint(ctx, s.cfg.Pool, in.EndpointID, tenantID), Outcomes: listOf(in.Outcome),
		StatusCode: numberOrNull(in.StatusCode), MaxRows: in.Limit + 1,
	}
	p.Type, p.TypePrefix = f.eventType(in.Type)
	if f.err != nil {
		return nil, f.err
	}

	cursor, err := decodeFollowCursor(in.Cursor)
	if err != nil {
		return nil, err
	}

	// An attempt of this moment may be of an event of any age: the pages of all days are merged.
	var rows []db.FollowAttemptsRow
	started := false
	err = s.readLog(ctx, logSpan{}, func(tx pgx.Tx, part stretch) (more bool, err error) {
		if !started {
			now, err := db.New().GetTransactionTime(ctx, tx)
			if err != nil {
				return false, err
			}
			cursor.start(now, in.Since)
			cursor.apply(&p)
			started = true
		}

		p.Low, p.High = part.low, part.high
		some, err := db.New().FollowAttempts(ctx, tx, p)
		rows = append(rows, some...)
		return true, err
	})
	if err != nil {
		return nil, err
	}

	slices.SortFunc(rows, inOrderOfEnd)
	return newFollowedPage(rows[:min(len(rows), int(p.MaxRows))], in.Limit, cursor)
}

// inOrderOfEnd is the order of FollowAttempts.
func inOrderOfEnd(a, b db.FollowAttemptsRow) int {
	return cmp.Or(a.EndedAt.Compare(b.EndedAt), bytes.Compare(a.EventID[:], b.EventID[:]),
		bytes.Compare(a.EndpointID[:], b.EndpointID[:]), cmp.Compare(a.Number, b.Number))
}

// apply makes a query go on at the cursor.
func (c *followCursor) apply(p *db.FollowAttemptsParams) {
	p.FromTime, p.StartedFrom = c.From, c.From.Add(-followStart)
	if c.After != nil {
		p.AfterTime, p.AfterEventID, p.AfterEndpointID = c.After, &c.IDs[0], &c.IDs[1]
		p.AfterNumber = c.Attempt
	}
}

// start begins a pass if the cursor is at none.
func (c *followCursor) start(now, since time.Time) {
	if c.From.IsZero() {
		if c.From = since; since.IsZero() {
			c.From = now
		}
	}

	if oldest := now.Add(-maxFollowBack); c.From.Before(oldest) {
		c.From = oldest
	}
	if c.Began.IsZero() {
		c.Began = now
	}
}

func newFollowedPage(rows []db.FollowAttemptsRow, limit int32, c followCursor) (*followOutput, error) {
	out := &followOutput{}
	if out.Body.More = len(rows) > int(limit); out.Body.More {
		rows = rows[:limit]
		last := rows[limit-1]
		c.After, c.IDs, c.Attempt = &last.EndedAt, []uuid.UUID{last.EventID, last.EndpointID}, &last.Number
	} else {
		// Never back behind the place where the reader began.
		next := followCursor{From: c.Began.Add(-followOverlap)}
		if next.From.Before(c.From) {
			next.From = c.From
		}
		c = next
	}

	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	out.Body.NextCursor = base64.RawURLEncoding.EncodeToString(data)

	out.Body.Items = make([]followedAttempt, len(rows))
	for i, r := range rows {
		out.Body.Items[i] = followedAttempt{
			EventID: r.EventID, EndpointID: r.EndpointID, Number: r.Number, TenantID: r.TenantID, Type: r.Type,
			Trigger: string(r.Trigger), StartedAt: r.StartedAt.UTC(), DurationMS: r.DurationMS,
			Outcome: string(r.Outcome), StatusCode: r.StatusCode, Error: r.Error, RemoteAddr: r.RemoteAddr,
			Phases: Phases{r.DNSUs, r.ConnectUs, r.TLSUs, r.FirstByteUs},
		}
	}
	return out, nil
}

func decodeFollowCursor(text string) (c followCursor, err error) {
	if text == "" {
		return c, nil
	}

	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}

	position := []bool{c.After != nil, len(c.IDs) == 2, c.Attempt != nil}
	if err != nil || c.From.IsZero() || slices.Contains(position, true) && slices.Contains(position, false) {
		return c, problem.Invalid("query.cursor", "is not a next_cursor of this list")
	}
	return c, nil
}
