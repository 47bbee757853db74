package api

import (
	"context"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/api/eventtype"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

type (
	pushedOutput      struct{ Body eventtype.Report }
	catalogOutput     struct{ Body eventtype.Document }
	undescribedOutput struct{ Body eventtype.UndescribedTypes }
	typeVersionOutput struct{ Body eventtype.VersionDetails }
	eventTypeOutput   struct {
		EntityTag

		Body eventtype.Details
	}
)

type changeEventTypeInput struct {
	eventtype.Path
	Preconditions
}

// maxNamed bounds the event types that an entry of the audit trail names.
const maxNamed = 100

func (s *Server) addCatalog() {
	register(s, route{
		Operation: eventtype.Operation("push-catalog", tagCatalog),
		errors:    codes{problem.BreakingChange, problem.CatalogFull}, access: adminAccess, timeout: s.cfg.Timeouts.Store,
		body: reflect.TypeFor[eventtype.NewPush](), limit: eventtype.MaxBody,
	}, s.pushCatalog)
	register(s, route{
		Operation: eventtype.Operation("get-catalog", tagCatalog),
		errors:    codes{problem.NotFound}, access: readAccess, costly: true, timeout: s.cfg.Timeouts.Store,
	}, s.getCatalog)
	register(s, route{
		Operation: eventtype.Operation("list-undescribed-types", tagCatalog),
		access:    readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.listUndescribed)

	register(s, route{
		Operation: eventtype.Operation("list-event-types", tagCatalog),
		access:    readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listEventTypes)
	register(s, route{
		Operation: eventtype.Operation("get-event-type", tagCatalog),
		errors:    codes{problem.NotFound},
		access:    readAccess, portal: grant.View, costly: true, timeout: s.cfg.Timeouts.Query,
	}, s.getEventType)
	register(s, route{
		Operation: eventtype.Operation("get-event-type-version", tagCatalog),
		errors:    codes{problem.NotFound}, access: readAccess, timeout: s.cfg.Timeouts.Query,
	}, s.getTypeVersion)
	register(s, route{
		Operation: eventtype.Operation("update-event-type", tagCatalog),
		errors:    codes{problem.NotFound, problem.PreconditionFailed}, access: adminAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[eventtype.ChangeBody](), limit: maxSmallBody,
	}, s.patchEventType)
	register(s, route{
		Operation: eventtype.Operation("delete-event-type", tagCatalog),
		errors:    codes{problem.NotFound, problem.PreconditionFailed}, access: adminAccess, timeout: s.cfg.Timeouts.Query,
	}, s.deleteEventType)
}

// catalogOf returns the catalogue as the request's key is shown it.
func catalogOf(ctx context.Context) eventtype.Reader {
	tenant := requestOf(ctx).key.tenant()
	return eventtype.Reader{OnlyPublic: tenant != nil, TenantID: tenant}
}

func (s *Server) pushCatalog(ctx context.Context, _ *struct{}) (*pushedOutput, error) {
	push, err := eventtype.DecodePush(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	out := &pushedOutput{}
	defer s.checker.Forget()
	return out, s.change(ctx, func(tx pgx.Tx) error {
		if out.Body, err = push.Run(ctx, tx); err != nil || push.DryRun || len(out.Body.Types) == 0 {
			return err
		}
		names := out.Body.Changed()
		detail := map[string]any{
			"types": names[:min(len(names), maxNamed)], "type_count": len(names), "breaking": out.Body.Breaking,
		}
		return s.audit(ctx, tx, done{"push-catalog", "", objectCatalog, "", detail})
	})
}

func (s *Server) getCatalog(ctx context.Context, in *eventtype.Pull) (out *catalogOutput, err error) {
	out = &catalogOutput{}
	return out, s.read(ctx, func(tx pgx.Tx) error {
		out.Body, err = catalogOf(ctx).Document(ctx, tx, *in)
		return err
	})
}

func (s *Server) listUndescribed(ctx context.Context, _ *struct{}) (out *undescribedOutput, err error) {
	out = &undescribedOutput{}
	return out, s.read(ctx, func(tx pgx.Tx) error {
		out.Body, err = catalogOf(ctx).ListUndescribed(ctx, tx)
		return err
	})
}

func (s *Server) listEventTypes(ctx context.Context, in *eventtype.List,
) (*pageOutput[eventtype.EventType], error) {
	f := newPaging(ctx, in.Order, in.Limit, in.Cursor)
	p := db.ListEventTypesParams{
		State: textOrNull(in.State), GroupName: f.text("query.group", in.Group), OnlyPublic: f.key.tenant() != nil,
		Cursor: f.after(1)[0], Ascending: f.ascending, MaxRows: f.maxRows(),
	}

	return list(ctx, s, f, func(tx pgx.Tx) ([]db.ListEventTypesRow, error) {
		return db.New().ListEventTypes(ctx, tx, p)
	}, always(eventtype.NewEventType), func(r db.ListEventTypesRow) []uuid.UUID { return []uuid.UUID{r.ID} })
}

func (s *Server) getEventType(ctx context.Context, in *eventtype.Path) (out *eventTypeOutput, err error) {
	out = &eventTypeOutput{}
	return out, s.read(ctx, func(tx pgx.Tx) error {
		out.Body, err = catalogOf(ctx).Get(ctx, tx, in.Name)
		out.ETag = etagAt(out.Body.UpdatedAt)
		return err
	})
}

func (s *Server) getTypeVersion(ctx context.Context, in *eventtype.VersionPath) (out *typeVersionOutput, err error) {
	out = &typeVersionOutput{}
	return out, s.read(ctx, func(tx pgx.Tx) error {
		out.Body, err = catalogOf(ctx).GetVersion(ctx, tx, in.Name, in.Version)
		return err
	})
}

func (s *Server) patchEventType(ctx context.Context, in *changeEventTypeInput) (out *eventTypeOutput, err error) {
	wanted, err := eventtype.DecodeChange(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	out = &eventTypeOutput{}
	defer s.checker.Forget()
	return out, s.change(ctx, func(tx pgx.Tx) error {
		row, err := in.lock(ctx, tx)
		if err != nil {
			return err
		}

		changed, err := wanted.Run(ctx, tx, row)
		if err == nil && changed != nil {
			err = s.audit(ctx, tx, done{"update-event-type", "", objectEventType, in.Name, changed})
		}
		if err != nil {
			return err
		}
		out.Body, err = catalogOf(ctx).Get(ctx, tx, in.Name)
		out.ETag = etagAt(out.Body.UpdatedAt)
		return err
	})
}

// lock locks the type as it is wanted.
func (in *changeEventTypeInput) lock(ctx context.Context, tx pgx.Tx) (row db.LockEventTypeRow, err error) {
	if row, err = eventtype.Lock(ctx, tx, in.Name); err == nil {
		err = in.check("event type", etagAt(row.UpdatedAt))
	}
	return row, err
}

func (s *Server) deleteEventType(ctx context.Context, in *changeEventTypeInput) (*struct{}, error) {
	defer s.checker.Forget()
	return nil, s.change(ctx, func(tx pgx.Tx) error {
		if _, err := in.lock(ctx, tx); err != nil {
			return err
		}
		if err := eventtype.Delete(ctx, tx, in.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, done{"delete-event-type", "", objectEventType, in.Name, nil})
	})
}
