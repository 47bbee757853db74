package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/signature"
)

const formatStandard = "standard"

// endpointEdit is an endpoint that a body changes member by member.
type endpointEdit struct {
	memberReader

	row           db.Endpoint
	secret        signature.Secret
	secretGiven   bool              // in the body
	secretHeaders map[string]string // all that are to be; nil: those that are stored
	secretPatch   textPatch         // what the body gives of them
	cfg           *Config
	members       []string // the names of those that the body gives, sorted
	different     []string // those that are not as they were stored, sorted
}

// memberReader reads the members of an object in a request's body.
type memberReader struct {
	at     string // where the object stands in the request
	faults problem.Faults
}

// newEdit returns an endpoint with all members at their defaults, and a secret of its own.
func (s *Server) newEdit(at string) *endpointEdit {
	return &endpointEdit{
		memberReader: memberReader{at: at},
		row: db.Endpoint{
			EventTypes: []string{}, Labels: []string{}, Format: formatStandard,
			Headers: []byte(emptyJSONObject), SecretHeaders: []byte(emptyJSONObject), Metadata: []byte(emptyJSONObject),
			TimeoutMS: defaultTimeout, MaxInFlight: defaultInFlight,
			RatePer: perSecond, RateBurst: 1,
		},
		secret: signature.NewSecret(), cfg: &s.cfg,
	}
}

// textPatch is an object of texts as a change gives it: it is merged with what is stored member by member, and null
// removes one (RFC 7396). Nil: null, which removes all.
type textPatch map[string]*string

// Schema is that of the OpenAPI document.
func (textPatch) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, AdditionalProperties: &huma.Schema{Type: huma.TypeString, Nullable: true},
	}
}

// has tells whether it gives or removes a header, whatever its case.
func (p textPatch) has(name string) bool {
	for given := range p {
		if strings.EqualFold(given, name) {
			return true
		}
	}
	return false
}
