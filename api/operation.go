package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	joboperation "github.com/outhook/outhook/jobs/operation"
)

// operation is an order to replay many deliveries, carried out in the background.
type operation struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	Kind          string     `json:"kind" enum:"recover,replay"`
	State         string     `json:"state" enum:"running,paused,completed,cancelled" doc:"completed: everything that matched was given to the workers. How their deliveries end, each of them says itself."`
	TenantID      *string    `json:"tenant_id" doc:"Null: any."`
	EndpointID    *uuid.UUID `json:"endpoint_id" format:"uuid" nullable:"true" doc:"Null: any."`
	EventTypes    []string   `json:"event_types" nullable:"false" doc:"Empty: any."`
	States        []string   `json:"states" nullable:"false"`
	Missed        bool       `json:"missed" doc:"Whether events that were enqueued while the endpoint was disabled are delivered too."`
	Since         time.Time  `json:"since"`
	Until         time.Time  `json:"until"`
	TotalCount    *int64     `json:"total_count" doc:"How many deliveries matched when it began. Null: not counted (yet): it has not begun, there are very many, states has succeeded, or missed is true."`
	ReplayedCount int64      `json:"replayed_count" doc:"How many were given to the workers again."`
	SkippedCount  int64      `json:"skipped_count" doc:"How many were left alone: their endpoint is disabled or deleted, their payload is gone, or they changed in the meantime."`
	LastError     *string    `json:"last_error" doc:"What went wrong last, while it is being tried again. Null: nothing."`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
	CompletedAt   *time.Time `json:"completed_at" doc:"When it was completed or cancelled."`
}

type operationInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The operation's id."`
}

type operationOutput struct{ Body operation }

type newOperationOutput struct {
	Location string `header:"Location"`
	Body     operation
}

type listOperationsInput struct {
	TenantID   string `query:"tenant_id" maxLength:"255" doc:"Only operations with this tenant."`
	EndpointID string `query:"endpoint_id" maxLength:"256" doc:"Only operations with this endpoint: its id, or its uid."`
	State      string `query:"state" enum:"running,paused,completed,cancelled" doc:"Only operations in this state."`
	Order      string `query:"order" enum:"asc,desc" default:"desc" doc:"By time: asc begins with the oldest."`
	Limit      int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most items of a page."`
	Cursor     string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before."`
}

func (s *Server) addOperations() {
	op := func(id, method, path, summary, description string, status int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Tags: []string{tagOperations}, Summary: summary,
			Description: description, DefaultStatus: status,
		}
	}
	const all, one = "/api/operations", "/api/operations/{id}"

	register(s, route{
		Operation: op("recover-endpoint", http.MethodPost, "/api/endpoints/{id}/recover", "Replay what an endpoint missed",
			"Replays, in the background, the deliveries that failed and those that were cancelled because the endpoint "+
				"was disabled or deleted; not those that a person cancelled. With missed, events that were enqueued "+
				"while it was disabled are delivered too. Enable the endpoint first. While one is under way, another "+
				"is refused (409).",
			http.StatusAccepted),
		errors: codes{
			problem.NotFound, problem.OperationUnderWay, problem.TooManyOperations, problem.EndpointGone,
		},
		access: operateAccess, portal: grant.Replay, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newRecover](), limit: maxSmallBody,
	}, s.recoverEndpoint)
	register(s, route{
		Operation: op("create-operation", http.MethodPost, all, "Replay deliveries by a filter",
			"Replays, in the background, all deliveries that were settled in a range of time and match. Each gets new "+
				"attempts with the whole retry schedule, behind live traffic. What is replayed no longer matches, so "+
				"an order that is repeated, or cut short by a crash, replays nothing twice. A key that is bound to a "+
				"tenant replays that tenant's deliveries, also without tenant_id. At most 100 operations of a tenant run at "+
				"the same time (429), and tenants take turns.", http.StatusAccepted),
		errors: codes{problem.TooManyOperations},
		access: operateAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[newReplay](), limit: maxSmallBody,
	}, s.postOperation)

	register(s, route{
		Operation: op("list-operations", http.MethodGet, all, "List operations",
			"A key that is bound to a tenant sees the operations with that tenant_id.", http.StatusOK),
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listOperations)
	register(s, route{
		Operation: op("get-operation", http.MethodGet, one, "Get an operation and its progress", "",
			http.StatusOK),
		errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getOperation)

	s.addPreviews()
	s.addOperationMoves(func(verb, summary, description string) huma.Operation {
		return op(verb+"-operation", http.MethodPost, one+"/"+verb, summary, description,
			http.StatusOK)
	})
}

// addOperationMoves adds what pauses, resumes and cancels an operation; op describes one.
func (s *Server) addOperationMoves(op func(verb, summary, description string) huma.Operation) {
	moves := []struct {
		verb, summary, description string
		do                         func(context.Context, pgx.Tx, uuid.UUID) (db.Operation, error)
	}{
		{
			"pause", "Pause an operation",
			"It stops after the chunk that it is at. What was replayed is delivered.", joboperation.Pause,
		},
		{"resume", "Go on with a paused operation", "It goes on where it stopped.", joboperation.Resume},
		{
			"cancel", "Give up an operation",
			"It ends after the chunk that it is at. What was replayed is delivered.", joboperation.Cancel,
		},
	}

	for _, move := range moves {
		register(s, route{
			Operation: op(move.verb, move.summary, move.description),
			errors:    codes{problem.NotFound, problem.OperationOver, problem.TooManyOperations},
			access:    operateAccess, timeout: s.cfg.Timeouts.Query,
		}, func(ctx context.Context, in *operationInput) (*operationOutput, error) {
			return s.moveOperation(ctx, in.ID, move.verb+"-operation", move.do)
		})
	}
}

// newOperationAnswer hides the text of an error from a tenant: it is the operator's, and may name the database.
func newOperationAnswer(r db.Operation, key principal) operation {
	a := operation{
		ID: r.ID, Kind: r.Kind, State: r.State, TenantID: r.TenantID, EndpointID: r.EndpointID,
		EventTypes: r.EventTypes, States: r.States, Missed: r.Missed, Since: r.Since.UTC(), Until: r.Until.UTC(),
		TotalCount: r.TotalCount, ReplayedCount: r.ReplayedCount, SkippedCount: r.SkippedCount, LastError: r.LastError,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), CompletedAt: pg.UTC(r.CompletedAt),
	}

	if r.LastError != nil && key.tenantID != "" {
		trouble := "the server is in trouble: it tries again"
		a.LastError = &trouble
	}
	return a
}

// tenantOf returns the tenant whose operation it is. "": nobody's, since it replays the deliveries of any.
func tenantOf(r db.Operation) string {
	if r.TenantID == nil {
		return ""
	}
	return *r.TenantID
}

func (s *Server) recoverEndpoint(ctx context.Context, in *EndpointInput) (*newOperationOutput, error) {
	filter, err := decodeFilter(bodyOf(ctx), true)
	if err != nil {
		return nil, err
	}

	return s.startOperation(ctx, func(tx pgx.Tx) (row db.Operation, d done, err error) {
		n, err := s.lookUpEndpoint(ctx, tx, *in)
		if err != nil {
			return row, d, err
		}

		row, err = joboperation.Recover(ctx, tx, n.ID, filter.Filter)
		detail := map[string]any{"operation_id": row.ID, "missed": row.Missed}
		return row, done{"recover-endpoint", n.TenantID, objectEndpoint, n.ID.String(), detail}, err
	})
}

func (s *Server) postOperation(ctx context.Context, _ *struct{}) (*newOperationOutput, error) {
	filter, err := decodeFilter(bodyOf(ctx), false)
	if err != nil {
		return nil, err
	}

	if filter.TenantID == nil {
		filter.TenantID = requestOf(ctx).key.tenant()
	} else if err := checkOwn(ctx, *filter.TenantID, "body.tenant_id"); err != nil {
		return nil, err
	}

	return s.startOperation(ctx, func(tx pgx.Tx) (row db.Operation, _ done, err error) {
		if err := filter.findEndpoint(ctx, tx); err != nil {
			return row, done{}, err
		}

		row, err = joboperation.Replay(ctx, tx, filter.Filter)
		detail := map[string]any{
			"endpoint_id": row.EndpointID, "event_types": row.EventTypes, "states": row.States,
			"since": row.Since.UTC(), "until": row.Until.UTC(),
		}
		return row, done{"create-operation", tenantOf(row), objectOperation, row.ID.String(), detail}, err
	})
}

func (s *Server) startOperation(
	ctx context.Context, start func(pgx.Tx) (db.Operation, done, error),
) (*newOperationOutput, error) {
	var row db.Operation
	err := s.change(ctx, func(tx pgx.Tx) (err error) {
		var d done
		if row, d, err = start(tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, d)
	})
	if err != nil {
		return nil, err
	}

	return &newOperationOutput{
		Location: "/api/operations/" + row.ID.String(),
		Body:     newOperationAnswer(row, requestOf(ctx).key),
	}, nil
}

func (s *Server) listOperations(ctx context.Context, in *listOperationsInput) (*pageOutput[operation], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	tenantID := f.tenant(in.TenantID)
	p := db.ListOperationsParams{
		Cursor: f.after(1)[0], Ascending: f.ascending, MaxRows: f.maxRows(), TenantID: tenantID,
		EndpointID: f.endpoint(ctx, s.cfg.Pool, in.EndpointID, tenantID), State: textOrNull(in.State),
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.Operation, error) {
		return db.New().ListOperations(ctx, tx, p)
	}, func(r db.Operation) (operation, error) {
		return newOperationAnswer(r, f.key), nil
	}, func(r db.Operation) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) getOperation(ctx context.Context, in *operationInput) (*operationOutput, error) {
	row, err := getOperation(ctx, s.cfg.Pool, in.ID)
	if err != nil {
		return nil, err
	}
	return &operationOutput{Body: newOperationAnswer(row, requestOf(ctx).key)}, nil
}

// getOperation returns pgx.ErrNoRows also if it is not to be seen by the request's key.
func getOperation(ctx context.Context, conn db.DBTX, id uuid.UUID) (db.Operation, error) {
	row, err := db.New().GetOperation(ctx, conn, id)
	if err == nil {
		err = checkVisible(ctx, tenantOf(row))
	}
	return row, err
}

func (s *Server) moveOperation(
	ctx context.Context, id uuid.UUID, action string,
	do func(context.Context, pgx.Tx, uuid.UUID) (db.Operation, error),
) (*operationOutput, error) {
	var row db.Operation
	err := s.change(ctx, func(tx pgx.Tx) (err error) {
		if _, err = getOperation(ctx, tx, id); err != nil {
			return err
		}
		if row, err = do(ctx, tx, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, done{action, tenantOf(row), objectOperation, row.ID.String(), nil})
	})
	if err != nil {
		return nil, err
	}

	return &operationOutput{Body: newOperationAnswer(row, requestOf(ctx).key)}, nil
}
