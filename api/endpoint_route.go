package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
)

func (s *Server) addEndpoints() {
	s.addNewEndpoints()

	register(s, route{
		Operation: endpointOperation("list-endpoints", http.MethodGet, "", "List endpoints, oldest first", ""),
		access:    readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.listEndpoints)

	got := endpointOperation("get-endpoint", http.MethodGet, "/{id}", "Get an endpoint",
		"Its ETag is that of what is configured: it stays the same while only health and lane change, so don't give it as "+
			"If-None-Match to watch those.")
	got.Responses = map[string]*huma.Response{"304": {Description: "Not Modified: it has an ETag of If-None-Match"}}
	register(s, route{
		Operation: got, errors: codes{problem.NotFound},
		access: readAccess, portal: grant.View, timeout: s.cfg.Timeouts.Query,
	}, s.getEndpoint)

	register(s, route{
		Operation: endpointOperation("update-endpoint", http.MethodPatch, "/{id}", "Change an endpoint",
			"A JSON merge patch (RFC 7396): members that are not given stay as they are, and null sets a member back to its "+
				"default. headers, secret_headers and metadata are merged member by member. What changes nothing is not "+
				"written. Disabling cancels the pending deliveries, in the background."),
		errors: codes{
			problem.NotFound, problem.RateLimitLimit, problem.UIDTaken, problem.URLTaken, problem.PreconditionFailed,
		},
		access: operateAccess, portal: grant.EditEndpoints, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[endpointChange](), limit: maxSmallBody,
	}, s.patchEndpoint)
	register(s, route{
		Operation: endpointOperation("delete-endpoint", http.MethodDelete, "/{id}", "Delete an endpoint",
			"Erases its secrets and cancels its pending deliveries, in the background. "+
				"Its past deliveries and attempts stay until the retention ends. Its uid is free again."),
		errors: codes{problem.NotFound, problem.PreconditionFailed},
		access: tenantAccess, portal: grant.EditEndpoints, timeout: s.cfg.Timeouts.Query,
	}, s.deleteEndpoint)
	s.addEndpointRevisions()
	s.addFilterPreview()
}

// addNewEndpoints adds what creates endpoints.
func (s *Server) addNewEndpoints() {
	created := endpointOperation("create-endpoint", http.MethodPost, "", "Create an endpoint",
		"The secret that signs its webhooks is in this answer and in no other.")
	created.DefaultStatus = http.StatusCreated
	register(s, route{
		Operation: created,
		errors:    codes{problem.EndpointLimit, problem.RateLimitLimit, problem.UIDTaken, problem.URLTaken},
		access:    tenantAccess, portal: grant.EditEndpoints, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newEndpoint](), limit: maxSmallBody,
		isolation: s.endpointIsolation(),
	}, s.postEndpoint)

	batch := endpointOperation("create-endpoints", http.MethodPost, "/batch", "Create many endpoints, all or none",
		"In one transaction. What is wrong is named by its place: body.endpoints[3].url.")
	batch.DefaultStatus = http.StatusCreated
	register(s, route{
		Operation: batch,
		errors:    codes{problem.EndpointLimit, problem.RateLimitLimit, problem.UIDTaken, problem.URLTaken},
		access:    tenantAccess, timeout: s.cfg.Timeouts.Query,
		body: reflect.TypeFor[newEndpoints](), limit: int64(s.cfg.Limits.MaxBatchBytes),
		isolation: s.endpointIsolation(),
	}, s.postEndpoints)

	put := endpointOperation("put-endpoint", http.MethodPut, "/{id}", "Create an endpoint, or replace it",
		"By its uid: 201 if there was none, and the answer has its secret; else 200. All members that are not given get "+
			"their defaults, but the secret and the status stay. What changes nothing is not written. By its id: only "+
			"replaces. With dry_run nothing is written: the answer is what it would be, without a secret.")
	put.Responses = map[string]*huma.Response{"201": {Description: "Created"}}
	register(s, route{
		Operation: put,
		errors: codes{
			problem.NotFound, problem.EndpointLimit, problem.RateLimitLimit, problem.UIDTaken, problem.URLTaken,
			problem.SecretDiffers, problem.PreconditionFailed,
		},
		access: tenantAccess, timeout: s.cfg.Timeouts.Query, body: reflect.TypeFor[newEndpoint](), limit: maxSmallBody,
		answer: reflect.TypeFor[endpoint](),
	}, s.putEndpoint)
}
