package svix

import (
	"encoding/json"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

// operatorTenant is whose endpoints get operational events. It is no application.
const operatorTenant = "outhook.operator"

// operationalTypes are the types of Svix's operational webhooks that Outhook has something like, and what it calls
// that.
//
//nolint:gochecknoglobals // a constant table
var operationalTypes = map[string]string{
	"endpoint.disabled":         "outhook.endpoint.disabled",
	"message.attempt.exhausted": "outhook.delivery.failed",
	"message.attempt.failing":   "outhook.endpoint.failing",
	"message.attempt.recovered": "outhook.endpoint.recovered",
}

// operational answers a call about the operator's endpoints as one about an application's is answered.
func operational(answer func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		v.operator = true
		return answer(v)
	}
}

// operationalRoutes are the calls about endpoints that get operational events: below Path.
func operationalRoutes() map[string]func(*visit) error {
	const all, one = "/operational-webhook/endpoint", "/operational-webhook/endpoint/{endpoint}"

	return map[string]func(*visit) error{
		"POST " + all:                    operational(createEndpoint),
		"GET " + all:                     operational(listEndpoints),
		"GET " + one:                     operational(getEndpoint),
		"PUT " + one:                     operational(putEndpoint),
		"DELETE " + one:                  operational(deleteEndpoint),
		"GET " + one + "/headers":        operational(getHeaders),
		"PUT " + one + "/headers":        operational(putHeaders),
		"GET " + one + "/secret":         operational(getSecret),
		"POST " + one + "/secret/rotate": operational(rotateSecret),
	}
}

// setOperationalTypes puts Outhook's names of types in the place of Svix's.
func (in *endpointIn) setOperationalTypes(f *problem.Faults) {
	given, ok := in.members["event_types"].(json.RawMessage)
	var types []string
	if !ok || json.Unmarshal(given, &types) != nil {
		return // it is the API's to say
	}

	for i, name := range types {
		own, ok := operationalTypes[name]
		if !ok {
			f.Add(in.typesAt, "Outhook has no operational webhooks of the type "+name+": docs/svix.md")
			continue
		}
		types[i] = own
	}
	in.members["event_types"] = types
}

// shownTypes returns the types of an endpoint as Svix calls them.
func shownTypes(e client.Endpoint) []string {
	if e.TenantID != operatorTenant {
		return e.EventTypes
	}

	types := make([]string, len(e.EventTypes))
	for i, own := range e.EventTypes {
		types[i] = own
		for name, other := range operationalTypes {
			if other == own {
				types[i] = name
			}
		}
	}
	return types
}
