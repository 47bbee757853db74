package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

type putEndpointInput struct {
	EndpointInput
	PutConditions

	DryRun bool `query:"dry_run" doc:"Check all of it and answer what there would be, without writing anything."`
}

// errDryRun rolls back what a request only asked about.
var errDryRun = errors.New("dry run")

type putEndpointOutput struct {
	EntityTag

	Status   int
	Location string `header:"Location"`
	Body     endpoint
}

// putEndpoint makes an endpoint what the body says: a new one, or the one that is there.
func (s *Server) putEndpoint(ctx context.Context, in *putEndpointInput) (*putEndpointOutput, error) {
	edit, err := s.decodePut(ctx, in)
	if err != nil {
		return nil, err
	}

	var row db.Endpoint
	var created bool
	err = s.changeEndpoints(ctx, func(tx pgx.Tx) error {
		before, err := lockNamed(ctx, tx, in.ID, edit.row.TenantID)
		if err != nil {
			return err
		}
		etag := ""
		if created = before == nil; !created {
			etag = etagOf(*before)
		}
		if err := in.check(objectEndpoint, etag); err != nil {
			return err
		}

		if created {
			edit.different = nil // of a try before
			row, err = s.insertEndpoint(ctx, tx, edit, "put-endpoint")
			if refusal, ok := errors.AsType[*problem.Error](err); ok && refusal.Code == problem.UIDTaken {
				err = &racedError{refusal} // nothing had the uid a moment ago
			}
		} else {
			row, err = s.replaceEndpoint(ctx, tx, *before, edit)
		}
		if err == nil && in.DryRun {
			return errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return nil, err
	}

	answer, err := s.answerEndpoint(ctx, row)
	if err != nil {
		return nil, err
	}
	out := &putEndpointOutput{Status: http.StatusOK, EntityTag: answer.EntityTag, Body: answer.Body}
	out.Body.Changed = edit.different
	if created {
		out.Status = http.StatusCreated
	}
	if created && !in.DryRun { // the id and the secret of a dry run are nobody's
		out.Location, out.Body.Secret = locationOf(row), edit.secret.Reveal()
	}
	return out, nil
}

// decodePut reads the body of a PUT, whose endpoint the path names.
func (s *Server) decodePut(ctx context.Context, in *putEndpointInput) (*endpointEdit, error) {
	f := newFilters(ctx)
	own := f.text("query.tenant_id", in.TenantID)
	if f.err != nil {
		return nil, f.err
	}

	isID := uuid.Validate(in.ID) == nil
	if !isID && !isUID(in.ID) {
		return nil, problem.Invalid("path.id", endpointRule)
	}

	edit, err := s.decodeNewEndpoint(ctx, bodyOf(ctx), own)
	if err != nil {
		return nil, err
	}
	if own != nil && *own != edit.row.TenantID {
		return nil, problem.Invalid("body.tenant_id", "differs from tenant_id in the query")
	}

	if !isID {
		if edit.row.UID != nil && *edit.row.UID != in.ID {
			return nil, problem.Invalid("body.uid", "differs from the path's: PATCH changes it")
		}
		edit.row.UID = &in.ID
	}
	return edit, nil
}

// lockNamed returns a tenant's endpoint. Nil: nothing has this uid. Nobody chooses an id: one that is not there is not
// found.
func lockNamed(ctx context.Context, tx pgx.Tx, name, tenantID string) (*db.Endpoint, error) {
	id, err := findEndpoint(ctx, tx, name, &tenantID, "path.id", "body.tenant_id")
	var row db.Endpoint
	if err == nil {
		row, err = lockEndpoint(ctx, tx, id)
	}

	switch {
	case errors.Is(err, pgx.ErrNoRows) && isUID(name):
		return nil, nil //nolint:nilnil // nil is an answer: there is none
	case err != nil:
		return nil, err
	}
	return &row, nil
}

// replaceEndpoint makes a locked endpoint what an edit says. Its secret stays, and so does its status, which the
// workers set too.
func (s *Server) replaceEndpoint(
	ctx context.Context, tx pgx.Tx, before db.Endpoint, edit *endpointEdit,
) (db.Endpoint, error) {
	if edit.secretGiven {
		if err := s.checkSecret(ctx, tx, before, edit); err != nil {
			return before, err
		}
	}

	after := *edit
	after.row.ID, after.row.Status, after.row.SecretHeaders = before.ID, before.Status, before.SecretHeaders
	if after.row.UID == nil && !slices.Contains(edit.members, "uid") {
		after.row.UID = before.UID
	}
	if after.secretHeaders == nil {
		after.secretHeaders = map[string]string{}
	}
	row, err := s.updateEndpoint(ctx, tx, before, &after, "put-endpoint")
	edit.different = after.different
	return row, err
}

// checkSecret refuses a secret that is not the current one.
func (s *Server) checkSecret(ctx context.Context, tx pgx.Tx, before db.Endpoint, edit *endpointEdit) error {
	live, err := db.New().ListLiveSecrets(ctx, tx, before.ID)
	if err != nil {
		return err
	}

	if len(live) > 0 {
		secret, err := s.openSecret(live[0])
		if err != nil {
			return err
		}
		if secret.Reveal() == edit.secret.Reveal() {
			return nil
		}
	}
	return problem.New(problem.SecretDiffers, "the endpoint has another secret, which a replacement keeps: "+
		"leave secret out, or rotate it with POST /api/endpoints/{id}/rotate-secret",
		problem.Detail{Location: "body.secret", Message: "is not the endpoint's current one"})
}
