package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	// defaultOverlap is how long an old secret goes on signing after a rotation: a day to bring the new one to the
	// receiver.
	defaultOverlap = 24 * 60 * 60
	maxOverlap     = 30 * 24 * 60 * 60

	// maxLiveSecrets bounds the signatures in a request's header, and the secrets that a thief could have.
	maxLiveSecrets = 2
)

// rotation documents the body that rotates a secret; decodeRotation reads it.
type rotation struct {
	_ struct{} `additionalProperties:"false"`

	OverlapSeconds *int32  `json:"overlap_seconds,omitempty" nullable:"true" minimum:"0" maximum:"2592000" default:"86400" doc:"How long the old secret goes on signing beside the new one. 0: it ends at once, for a secret that has leaked."`
	Secret         *string `json:"secret,omitempty" nullable:"true" doc:"whsec_ and the base64 of 24 to 64 bytes. Absent: a new one of 32 bytes."`
	Force          bool    `json:"force,omitempty" doc:"With two live secrets, end the older one now."`
}

// replacement is the answer of a rotation.
type replacement struct {
	Secret            string     `json:"secret" doc:"The new secret: it signs from now on."`
	PreviousExpiresAt *time.Time `json:"previous_expires_at" doc:"Until when the one before it signs too. Null: it has ended."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (replacement) SchemaName() string { return "Rotated" }

type replacementOutput struct{ Body replacement }

// liveSecret is a secret that signs.
type liveSecret struct {
	Secret    string     `json:"secret"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at" doc:"The end of its rotation's overlap. Null: it is the current one."`
}

type secretsOutput struct {
	Body struct {
		Secrets []liveSecret `json:"secrets" nullable:"false" doc:"Newest first."`
	}
}

func (s *Server) addSecrets() {
	register(s, route{
		Operation: endpointOperation("rotate-secret", http.MethodPost, "/{id}/rotate-secret", "Replace the secret that signs",
			"Both secrets sign until the overlap ends, so that the receiver can change over at any moment of it. "+
				"At most two are live: a third rotation within the overlap needs force, which ends the oldest."),
		errors: codes{problem.NotFound, problem.TwoSecretsLive, problem.SecretLive},
		access: tenantAccess, portal: grant.RotateSecrets, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[rotation](), limit: maxSmallBody, optional: true,
	}, s.rotateSecret)

	register(s, route{
		Operation: endpointOperation("get-secret", http.MethodGet, "/{id}/secret", "Get the secrets that sign", ""),
		errors:    codes{problem.NotFound},
		access:    tenantAccess, portal: grant.ReadSecrets, timeout: s.cfg.Timeouts.Query,
	}, s.getSecret)
}

// order of a rotation.
type rotationOrder struct {
	overlap int32
	secret  signature.Secret
	force   bool
}

// decodeRotation reads the body of a rotation, which may be absent.
func decodeRotation(body []byte) (rotationOrder, error) {
	o := rotationOrder{overlap: defaultOverlap, secret: signature.NewSecret()}
	if len(body) == 0 {
		return o, nil
	}
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return o, err
	}

	e := &endpointEdit{memberReader: memberReader{at: "body"}, secret: o.secret}
	strictjson.EachMember(object, "body", &e.faults, func(name string, value json.RawMessage) bool {
		switch name {
		case "overlap_seconds":
			o.overlap = overlap(value, &e.faults)
		case "secret":
			e.setSecret(value)
		case "force":
			o.force = strictjson.Bool(value, "body.force", &e.faults)
		default:
			return false
		}
		return true
	})

	o.secret = e.secret
	return o, e.faults.Problem(problem.InvalidRequest)
}

func overlap(value json.RawMessage, f *problem.Faults) int32 {
	if strictjson.IsNull(value) {
		return defaultOverlap
	}

	before := len(*f)
	n := strictjson.Integer(value, "body.overlap_seconds", f)
	if len(*f) == before && (n < 0 || n > maxOverlap) {
		f.Add("body.overlap_seconds", fmt.Sprintf("must be 0 to %d", maxOverlap))
	}
	return n
}

func (s *Server) rotateSecret(ctx context.Context, in *EndpointInput) (*replacementOutput, error) {
	order, err := decodeRotation(bodyOf(ctx))
	if err != nil {
		return nil, err
	}

	out := &replacementOutput{Body: replacement{Secret: order.secret.Reveal()}}
	err = s.change(ctx, func(tx pgx.Tx) error {
		// The lock lets one rotation after the other see the secrets.
		row, err := lockNamedEndpoint(ctx, tx, *in)
		if err != nil {
			return err
		}
		if out.Body.PreviousExpiresAt, err = s.replaceSecret(ctx, tx, row.ID, order); err != nil {
			return err
		}
		detail := map[string]any{"overlap_seconds": order.overlap, "force": order.force}
		return s.audit(ctx, tx, done{"rotate-secret", row.TenantID, objectEndpoint, row.ID.String(), detail})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// replaceSecret stores a new secret and begins the end of the current one, whose time it returns.
func (s *Server) replaceSecret(
	ctx context.Context, tx pgx.Tx, id uuid.UUID, order rotationOrder,
) (*time.Time, error) {
	q := db.New()
	live, err := q.ListLiveSecrets(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if err := s.checkRotation(live, order); err != nil {
		return nil, err
	}

	var expires *time.Time
	if len(live) > 0 {
		current := live[0].ID
		if order.overlap == 0 {
			current = 0 // no row has it: all go
		}
		if err := q.KeepOneSecret(ctx, tx, id, current); err != nil {
			return nil, err
		}
		if order.overlap > 0 {
			if expires, err = q.ExpireSecret(ctx, tx, float64(order.overlap), id, current); err != nil {
				return nil, err
			}
			expires = pg.UTC(expires)
		}
	}

	keyID, sealed := s.cfg.Keyring.Seal(order.secret.Bytes(), id[:])
	return expires, q.InsertEndpointSecret(ctx, tx, id, keyID, sealed)
}

// checkRotation refuses a third live secret, and one that is live already.
func (s *Server) checkRotation(live []db.EndpointSecret, order rotationOrder) error {
	if len(live) >= maxLiveSecrets && !order.force {
		until := ""
		if at := live[1].ExpiresAt; at != nil {
			until = " until " + at.UTC().Format(time.RFC3339)
		}
		return problem.New(problem.TwoSecretsLive, "two secrets are live"+until+
			": wait, or repeat with \"force\": true, which ends the older one now")
	}

	for _, row := range live {
		secret, err := s.openSecret(row)
		if err != nil && order.force {
			continue // one that can't be read any more must not be in the way of its successor
		}
		if err != nil {
			return err
		}
		if secret.Reveal() == order.secret.Reveal() {
			return problem.New(problem.SecretLive, "this secret is live already: leave secret out to get a new one")
		}
	}
	return nil
}

func (s *Server) openSecret(row db.EndpointSecret) (signature.Secret, error) {
	raw, err := s.cfg.Keyring.Open(row.KeyID, row.Sealed, row.EndpointID[:])
	if err != nil {
		return signature.Secret{}, fmt.Errorf("decrypting a secret of endpoint %s: %w", row.EndpointID, err)
	}
	return signature.SecretFromBytes(raw)
}

func (s *Server) getSecret(ctx context.Context, in *EndpointInput) (*secretsOutput, error) {
	out := &secretsOutput{}
	out.Body.Secrets = []liveSecret{}
	err := s.change(ctx, func(tx pgx.Tx) error {
		endpoint, err := s.lookUpEndpoint(ctx, tx, *in)
		if err != nil {
			return err
		}

		rows, err := db.New().ListLiveSecrets(ctx, tx, endpoint.ID)
		if err != nil {
			return err
		}
		for _, row := range rows {
			secret, err := s.openSecret(row)
			if err != nil {
				return err
			}
			out.Body.Secrets = append(out.Body.Secrets, liveSecret{
				Secret: secret.Reveal(), CreatedAt: row.CreatedAt.UTC(), ExpiresAt: pg.UTC(row.ExpiresAt),
			})
		}

		return s.audit(ctx, tx, done{"get-secret", endpoint.TenantID, objectEndpoint, endpoint.ID.String(), nil})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
