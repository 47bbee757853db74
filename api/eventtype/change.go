package eventtype

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// ChangeBody documents the body that changes an event type; DecodeChange reads it.
type ChangeBody struct {
	_ struct{} `additionalProperties:"false"`

	State      string `json:"state,omitempty" enum:"active,deprecated,archived" doc:"It stops no delivery."`
	Visibility string `json:"visibility,omitempty" enum:"public,flagged,hidden"`
	Enforce    string `json:"enforce,omitempty" enum:"none,warn,reject,guard" doc:"guard lets the transaction fail that enqueues a payload of another form."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (ChangeBody) SchemaName() string { return "EventTypeChange" }

// Change is what of an event type people change beside its document. Empty: as it is.
type Change struct{ State, Visibility, Enforce string }

// DecodeChange reads a body.
func DecodeChange(body []byte) (c Change, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return c, err
	}

	var f problem.Faults
	one := func(name string, value json.RawMessage, values ...string) string {
		at, before := "body."+name, len(f)
		text := strictjson.Text(value, at, &f)
		if len(f) == before && !slices.Contains(values, text) {
			f.Add(at, "must be one of "+strings.Join(values, ", "))
		}
		return text
	}
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		switch name {
		case "state":
			c.State = one(name, value, Active, Deprecated, Archived)
		case "visibility":
			c.Visibility = one(name, value, catalog.Public, catalog.Flagged, catalog.Hidden)
		case "enforce":
			c.Enforce = one(name, value, EnforceNone, EnforceWarn, EnforceReject, EnforceGuard)
		default:
			return false
		}
		return true
	})
	return c, f.Problem(problem.InvalidRequest)
}

// Lock returns an event type that is to be changed.
func Lock(ctx context.Context, tx pgx.Tx, name string) (row db.LockEventTypeRow, err error) {
	if !catalog.ValidName(name) {
		return row, gone()
	}
	if _, err := db.New().LockCatalog(ctx, tx); err != nil {
		return row, err
	}
	row, err = db.New().LockEventType(ctx, tx, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, gone()
	}
	return row, err
}

// Run changes a type that is locked, and returns what was changed by its names, with the new values.
func (c Change) Run(ctx context.Context, tx pgx.Tx, row db.LockEventTypeRow) (changed map[string]any, err error) {
	changed = map[string]any{}
	for _, m := range []struct {
		name  string
		value string
		now   *string
	}{
		{"state", c.State, &row.State}, {"visibility", c.Visibility, &row.Visibility}, {"enforce", c.Enforce, &row.Enforce},
	} {
		if m.value != "" && m.value != *m.now {
			changed[m.name], *m.now = m.value, m.value
		}
	}
	if len(changed) == 0 {
		return nil, nil //nolint:nilnil // nothing was changed
	}

	if _, err := db.New().UpdateEventType(ctx, tx, paramsOf(row)); err != nil {
		return nil, fmt.Errorf("writing an event type: %w", err)
	}
	return changed, db.New().ChangeCatalog(ctx, tx, nil)
}

// Delete deletes a type that is locked.
func Delete(ctx context.Context, tx pgx.Tx, name string) error {
	if err := db.New().DeleteEventType(ctx, tx, name); err != nil {
		return fmt.Errorf("deleting an event type: %w", err)
	}
	return db.New().ChangeCatalog(ctx, tx, nil)
}
