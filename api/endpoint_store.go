package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/sqlstate"
	"github.com/outhook/outhook/jobs/health"
)

// maxRaces is how often a change of what must be unique is tried. Each try but the last means that another request has
// committed in between, which the next one sees.
const maxRaces = 5

// statusReasonAPI is the reason of a status that was set here.
const statusReasonAPI = "api"

// changeEndpoints is changeUnique with uids and URLs. Where URLs are unique, the database keeps them so (serializable):
// there is no index for what is an option.
func (s *Server) changeEndpoints(ctx context.Context, do func(pgx.Tx) error) error {
	return s.changeUnique(ctx, s.endpointIsolation(), do)
}

// changeUnique runs do in a transaction, and again if another request was faster with what must be unique.
func (s *Server) changeUnique(ctx context.Context, level pgx.TxIsoLevel, do func(pgx.Tx) error) (err error) {
	if requestOf(ctx).keyed != nil {
		return s.change(ctx, do) // its transaction has the level, and it is the whole request that is tried again
	}

	options := pgx.TxOptions{IsoLevel: level}
	for range maxRaces {
		err = pgx.BeginTxFunc(ctx, s.cfg.Pool, options, do)
		if raced, ok := errors.AsType[*racedError](err); ok {
			err = raced.refusal
			continue
		}

		switch sqlstate.Of(err) {
		case sqlstate.UniqueViolation, sqlstate.SerializationFailure:
		default:
			return err
		}
	}
	return err
}

// racedError is a refusal for what another request has committed since the transaction first looked: the next try
// begins with that.
type racedError struct{ refusal error }

// Error is the refusal's.
func (e *racedError) Error() string { return e.refusal.Error() }

// Unwrap returns the refusal.
func (e *racedError) Unwrap() error { return e.refusal }

// endpointIsolation returns the isolation level of changes of endpoints.
func (s *Server) endpointIsolation() pgx.TxIsoLevel {
	if s.cfg.Limits.UniqueURLs {
		return pgx.Serializable
	}
	return ""
}

// insertEndpoint stores an endpoint and its sealed secret. Two requests at the same time can exceed the limit by one.
func (s *Server) insertEndpoint(
	ctx context.Context, tx pgx.Tx, edit *endpointEdit, action string,
) (row db.Endpoint, err error) {
	q, e := db.New(), edit.row
	n, err := q.CountEndpoints(ctx, tx, e.TenantID)
	if err != nil {
		return row, err
	}
	if n >= int64(s.cfg.Limits.MaxEndpoints) {
		return row, problem.New(problem.EndpointLimit,
			fmt.Sprintf("the tenant has %d endpoints already, and that is the limit: delete one first", n),
			problem.Detail{Location: edit.at, Message: "is one too many"})
	}
	if err := s.checkUnique(ctx, tx, db.Endpoint{}, e, edit.at); err != nil {
		return row, err
	}

	row, err = q.InsertEndpoint(ctx, tx, db.InsertEndpointParams{
		TenantID: e.TenantID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Headers: e.Headers,
		TimeoutMS: e.TimeoutMS, RetrySchedule: e.RetrySchedule, RetryJitter: e.RetryJitter, Metadata: e.Metadata,
		MaxInFlight: e.MaxInFlight, RateLimit: e.RateLimit, RatePer: e.RatePer, RateBurst: e.RateBurst, UID: e.UID,
		Filter: e.Filter, FilterPath: e.FilterPath, Labels: e.Labels, Format: e.Format, Ordered: e.Ordered,
	})
	if err != nil {
		return row, err
	}

	if row.SecretHeaders, err = s.setSecretHeaders(ctx, tx, row, edit); err != nil {
		return row, err
	}
	if err := openLane(ctx, tx, db.Endpoint{}, row); err != nil {
		return row, err
	}
	keyID, sealed := s.cfg.Keyring.Seal(edit.secret.Bytes(), row.ID[:])
	if err := q.InsertEndpointSecret(ctx, tx, row.ID, keyID, sealed); err != nil {
		return row, err
	}

	return row, s.audit(ctx, tx, done{action, row.TenantID, objectEndpoint, row.ID.String(), nil})
}

// setSecretHeaders stores the secret headers that a body gives, and returns those that the endpoint then has.
func (s *Server) setSecretHeaders(
	ctx context.Context, tx pgx.Tx, row db.Endpoint, edit *endpointEdit,
) (json.RawMessage, error) {
	if edit.secretHeaders == nil {
		return row.SecretHeaders, nil
	}

	sealed, err := s.cfg.Keyring.SealHeaders(edit.secretHeaders, row.ID[:])
	if err != nil {
		return nil, err
	}
	return sealed, db.New().SetSecretHeaders(ctx, tx, sealed, row.ID)
}

// updateEndpoint stores what an edit has made of a locked endpoint. What is the same as before is not written, and not
// audited either.
func (s *Server) updateEndpoint(
	ctx context.Context, tx pgx.Tx, before db.Endpoint, edit *endpointEdit, action string,
) (row db.Endpoint, err error) {
	changed := edit.changed(before)
	edit.different = changed
	if len(changed) == 0 {
		return before, nil
	}
	if err := s.checkUnique(ctx, tx, before, edit.row, edit.at); err != nil {
		return row, err
	}

	e := edit.row
	row, err = db.New().UpdateEndpoint(ctx, tx, db.UpdateEndpointParams{
		ID: e.ID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Headers: e.Headers,
		TimeoutMS: e.TimeoutMS, RetrySchedule: e.RetrySchedule, RetryJitter: e.RetryJitter, Metadata: e.Metadata,
		Status: e.Status, StatusReason: statusReasonAPI, UID: e.UID, Filter: e.Filter, FilterPath: e.FilterPath,
		Labels: e.Labels, Format: e.Format, Ordered: e.Ordered,
		MaxInFlight: e.MaxInFlight, RateLimit: e.RateLimit, RatePer: e.RatePer, RateBurst: e.RateBurst,
	})
	if err != nil {
		return row, err
	}
	if row.SecretHeaders, err = s.setSecretHeaders(ctx, tx, row, edit); err != nil {
		return row, err
	}

	detail := map[string]any{"members": changed}
	if row.Status != before.Status {
		detail["status"] = row.Status
	}
	d := done{action, row.TenantID, objectEndpoint, row.ID.String(), detail}
	if err := s.audit(ctx, tx, d); err != nil {
		return row, err
	}

	if err := openLane(ctx, tx, before, row); err != nil {
		return row, err
	}
	if before.Status == db.EndpointStatusDisabled && row.Status != before.Status {
		return row, health.Reset(ctx, tx, e.ID)
	}
	return row, nil
}

// changed returns the names of the members that an edit makes different, sorted.
func (e *endpointEdit) changed(before db.Endpoint) (names []string) {
	a, b := before, e.row
	for _, member := range []struct {
		name string
		same bool
	}{
		{"description", a.Description == b.Description},
		{"event_types", slices.Equal(a.EventTypes, b.EventTypes)},
		{"filter", bytes.Equal(a.Filter, b.Filter)},
		{"format", a.Format == b.Format},
		{"headers", maps.Equal(textsOf(a.Headers), textsOf(b.Headers))},
		{"labels", slices.Equal(a.Labels, b.Labels)},
		{"max_in_flight", a.MaxInFlight == b.MaxInFlight},
		{"metadata", maps.Equal(textsOf(a.Metadata), textsOf(b.Metadata))},
		{"ordered", a.Ordered == b.Ordered},
		{"rate_limit", same(a.RateLimit, b.RateLimit) && a.RatePer == b.RatePer && a.RateBurst == b.RateBurst},
		{"retry_jitter", same(a.RetryJitter, b.RetryJitter)},
		{"retry_schedule", (a.RetrySchedule == nil) == (b.RetrySchedule == nil) &&
			slices.Equal(a.RetrySchedule, b.RetrySchedule)},

		{"secret_headers", e.secretHeaders == nil || e.sameSecrets(a)},
		{"status", a.Status == b.Status},
		{"timeout_ms", a.TimeoutMS == b.TimeoutMS},
		{"uid", same(a.UID, b.UID)},
		{"url", a.URL == b.URL},
	} {
		if !member.same {
			names = append(names, member.name)
		}
	}
	return names
}

// same compares what may be absent.
func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// textsOf reads a stored object of texts.
func textsOf(object json.RawMessage) (m map[string]string) {
	_ = json.Unmarshal(object, &m) // nil for what is none, which is stored nowhere
	return m
}

// sameSecrets tells whether the secret headers are those that are stored.
func (e *endpointEdit) sameSecrets(before db.Endpoint) bool {
	_, names, err := signature.HeaderKeys(before.SecretHeaders)
	if err != nil || len(names) != len(e.secretHeaders) {
		return false
	}

	stored, err := e.cfg.Keyring.OpenHeaders(before.SecretHeaders, before.ID[:])
	if err != nil {
		return false // with a key that is gone: they are sealed anew
	}
	for name, value := range e.secretHeaders {
		if was, ok := stored[strings.ToLower(name)]; !ok || was != value {
			return false
		}
	}
	return true
}
