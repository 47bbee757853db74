package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// maxReason bounds why something is paused, in characters.
	maxReason = 255

	// maxPauses bounds the list of pauses.
	maxPauses = 1000

	// objectDeliveries is what a pause of everything is of, in the audit trail.
	objectDeliveries = "deliveries"
)

// pause is that of all deliveries, or of a tenant's.
type pause struct {
	TenantID *string   `json:"tenant_id" example:"acme" doc:"Whose deliveries are paused. Null: all."`
	PausedAt time.Time `json:"paused_at"`
	PausedBy string    `json:"paused_by" example:"alice" doc:"As in the audit trail."`
	Reason   string    `json:"reason" example:"their data centre moves"`
}

// pauses are those that hold.
type pauses struct {
	Pauses []pause `json:"pauses" nullable:"false" doc:"That of everything first, then by tenant."`
}

// resumption says what an order has resumed.
type resumption struct {
	Ended *pause `json:"ended,omitempty" doc:"The pause that has ended. Absent: nothing was paused."`
}

// newPause documents the body that pauses; decodePause reads it.
type newPause struct {
	_ struct{} `additionalProperties:"false"`

	All      *bool   `json:"all,omitempty" nullable:"true" doc:"true: all deliveries. Either this or tenant_id."`
	TenantID *string `json:"tenant_id,omitempty" nullable:"true" maxLength:"255" example:"acme" doc:"Only this tenant's."`
	Reason   string  `json:"reason" minLength:"1" maxLength:"255" example:"their data centre moves" doc:"Why, for people: it stands in the audit trail, and in why a delivery waits, where the tenant's keys see it, too."`
}

// newResumption documents the body that resumes; decodePause reads it.
type newResumption struct {
	_ struct{} `additionalProperties:"false"`

	All      *bool   `json:"all,omitempty" nullable:"true" doc:"true: the pause of everything. Either this or tenant_id."`
	TenantID *string `json:"tenant_id,omitempty" nullable:"true" maxLength:"255" example:"acme" doc:"The pause of this tenant."`
}

type (
	pausesOutput     struct{ Body pauses }
	pauseOutput      struct{ Body pause }
	resumptionOutput struct{ Body resumption }
)

func (s *Server) addPauses() {
	register(s, route{
		Operation: huma.Operation{
			OperationID: "pause-deliveries", Method: http.MethodPost, Path: "/api/pauses", Tags: []string{tagPauses},
			Summary: "Pause all deliveries, or a tenant's",
			Description: "Within 2 s no attempt begins any more; those that are under way end as they do. What is enqueued " +
				"meanwhile is stored as ever and waits, and so does what is due again; no attempt is counted. " +
				"Endpoints that are paused themselves are left alone. Operations go on, and what they replay waits. " +
				"A pause that holds already stays as it is.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[newPause](), limit: envelopeBytes,
	}, s.pauseDeliveries)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "resume-deliveries", Method: http.MethodPost, Path: "/api/pauses/resume", Tags: []string{tagPauses},
			Summary: "End a pause",
			Description: "Everything goes on at once, at the rate of the workers. A tenant's pause and that of everything are " +
				"two: each ends by itself.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[newResumption](), limit: envelopeBytes,
	}, s.resumeDeliveries)

	register(s, route{
		Operation: huma.Operation{
			OperationID: "list-pauses", Method: http.MethodGet, Path: "/api/pauses", Tags: []string{tagPauses},
			Summary: "List what is paused",
			Description: "At most 1,000. Endpoints that are paused themselves are not in it, nor queues that somebody has " +
				"paused in River UI.",
		},
		access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listPauses)
}

func newPauseAnswer(p db.Pause) pause {
	return pause{TenantID: textOrNull(p.TenantID), PausedAt: p.PausedAt.UTC(), PausedBy: p.PausedBy, Reason: p.Reason}
}

func (s *Server) pauseDeliveries(ctx context.Context, _ *struct{}) (*pauseOutput, error) {
	out := &pauseOutput{}
	return out, s.orderPause(ctx, "pause-deliveries", true, func(tx pgx.Tx, o pauseOrder) error {
		row, err := ledger.Pause(ctx, tx, o.tenantID, requestOf(ctx).key.name, o.reason)
		out.Body = newPauseAnswer(row)
		return err
	})
}

func (s *Server) resumeDeliveries(ctx context.Context, _ *struct{}) (*resumptionOutput, error) {
	out := &resumptionOutput{}
	return out, s.orderPause(ctx, "resume-deliveries", false, func(tx pgx.Tx, o pauseOrder) error {
		row, err := ledger.Resume(ctx, tx, o.tenantID)
		if row != nil {
			ended := newPauseAnswer(*row)
			out.Body.Ended = &ended
		}
		return err
	})
}

// orderPause carries an order out, and writes it into the audit trail.
func (s *Server) orderPause(
	ctx context.Context, action string, withReason bool, do func(pgx.Tx, pauseOrder) error,
) error {
	order, err := decodePause(bodyOf(ctx), withReason)
	if err != nil {
		return err
	}

	return s.change(ctx, func(tx pgx.Tx) error {
		if err := do(tx, order); err != nil {
			return err
		}
		return s.audit(ctx, tx, order.done(action))
	})
}

func (s *Server) listPauses(ctx context.Context, _ *struct{}) (*pausesOutput, error) {
	out := &pausesOutput{pauses{Pauses: []pause{}}}
	return out, s.read(ctx, func(tx pgx.Tx) error {
		rows, err := db.New().ListPauses(ctx, tx, maxPauses)
		for _, r := range rows {
			out.Body.Pauses = append(out.Body.Pauses, newPauseAnswer(r))
		}
		return err
	})
}

// pauseOrder is what is to be paused or resumed.
type pauseOrder struct {
	tenantID string // ledger.PauseAll: everything
	all      bool
	reason   string
	detail   map[string]any // for the audit trail
}

// done is the order as it enters the audit trail.
func (o pauseOrder) done(action string) done {
	d := done{action, o.tenantID, objectTenant, o.tenantID, o.detail}
	if o.all {
		d.objectType, d.objectID = objectDeliveries, "all"
	}
	return d
}

// decodePause reads the body that pauses, with a reason, or resumes.
func decodePause(body []byte, withReason bool) (o pauseOrder, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return o, err
	}

	var f problem.Faults
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch {
		case name == "all":
			o.all = !strictjson.IsNull(value) && strictjson.Bool(value, "body.all", &f)
		case name == "tenant_id":
			if !strictjson.IsNull(value) {
				o.tenantID = tenantID(value, "body.tenant_id", &f)
			}
		case name == "reason" && withReason:
			o.reason = strictjson.Text(value, "body.reason", &f)
			o.detail = map[string]any{"reason": o.reason}
		default:
			return false
		}
		return true
	})

	switch length := utf8.RuneCountInString(o.reason); {
	case len(f) > 0:
	case o.all == (o.tenantID != ""):
		f.Add("body", "must have either tenant_id, or all, which is true")
	case withReason && (length == 0 || length > maxReason):
		f.Add("body.reason", "must have 1 to 255 characters")
	}
	return o, f.Problem(problem.InvalidRequest)
}
