package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/docspage"
	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

const (
	schemaPrefix  = "#/components/schemas/"
	tagEvents     = "Events"
	tagEndpoints  = "Endpoints"
	tagDelivery   = "Deliveries"
	tagOperations = "Operations"
	tagTenants    = "Tenants"
	tagKeys       = "Keys"
	tagPortal     = "Portal"
	tagWorkers    = "Workers"
	tagPauses     = "Pauses"
	tagAudit      = "Audit"
	tagFind       = "Find"
	tagCatalog    = "Catalog"

	securityScheme = "key"

	// Keys of huma.Operation.Metadata that document reads.
	metaBody     = "body"
	metaOptional = "optional"
	metaOK       = "ok"
	metaKeyed    = "keyed"
)

// newHuma returns huma on Echo without its own pages, hooks and links.
func newHuma(e *echo.Echo, version string) huma.API {
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:        "3.1.0",
			Info:           info(version),
			Tags:           tags(),
			OnAddOperation: []huma.AddOpFunc{document},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry(schemaPrefix, schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					securityScheme: {
						Type: "http", Scheme: "bearer",
						Description: "An API key: OUTHOOK_API_KEY, or one made with POST /api/keys or `outhook keys create`. " +
							"An operation names the scopes of the keys that it admits.",
					},
				},
			},
		},
		Formats: map[string]huma.Format{
			"application/json": {Marshal: strictjson.Write, Unmarshal: json.Unmarshal},
			"json":             {Marshal: strictjson.Write, Unmarshal: json.Unmarshal}, // problem+json
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{withoutInput},
	}

	// Answers get new members within a major version; bodies say no themselves.
	cfg.AllowAdditionalPropertiesByDefault = true
	api := humaecho.New(e, cfg)

	// There is one format, whatever a client accepts, and with an odd Accept huma would call it by another name.
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		humaecho.Unwrap(ctx).Request().Header.Del(echo.HeaderAccept)
		next(ctx)
	})
	return api
}

func info(version string) *huma.Info {
	return &huma.Info{
		Title:   "Outhook",
		Version: version,
		License: &huma.License{Name: "MIT", Identifier: "MIT"},

		Description: "Outhook delivers webhooks from Postgres. Record an event here, or with outhook.enqueue in the " +
			"transaction that it reports, and it is signed, sent to each subscribed endpoint of its tenant, tried " +
			"again, and logged.\n\n" +
			"Every request carries `Authorization: Bearer <key>`. Times are RFC 3339 in UTC. An error is an RFC 9457 " +
			"problem. A key that is bound to a tenant sees nothing of another: what is not its own does not exist " +
			"(404). A list has `next_cursor`: give it back as `cursor` to get the next page; it is null at the end. " +
			"The header Link says the same. A cursor belongs to its list, order and filters. HEAD is answered wherever GET " +
			"is, with the same headers and no body. " +
			"If an answer has Retry-After (429, 503, and 409 with `idempotency_key_in_use`), wait for so many seconds and " +
			"repeat the request.",
	}
}

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: tagEvents, Description: "An event is one fact of a tenant: a type and a payload, immutable. " +
			"It makes one delivery for each subscribed endpoint."},
		{Name: tagEndpoints, Description: "An endpoint is a tenant's URL, with a secret that signs and the event types " +
			"that it is subscribed to."},
		{Name: tagDelivery, Description: "A delivery is one event for one endpoint: pending, succeeded, failed or " +
			"cancelled. An attempt is one HTTP request of it."},

		{Name: tagCatalog, Description: "What the team's code says of the event types: titles, schemas in versions, " +
			"examples. A type needs no entry: events of any may be enqueued."},
		{Name: tagFind, Description: "Whatever somebody has at hand, an id of a log, a host, a key: what it is, and where."},
		{Name: tagOperations, Description: "An operation is an order to replay many deliveries, carried out in the " +
			"background: it can be watched, paused, resumed and cancelled."},
		{Name: tagWorkers, Description: "Who delivers, and what waits for them: for whoever runs Outhook."},
		{Name: tagPauses, Description: "Maintenance: nothing is delivered, or nothing of a tenant, and nothing is lost. " +
			"An endpoint alone is paused by its status."},
		{Name: tagTenants, Description: "A tenant is a label that you choose; there is nothing to create. " +
			"Who wants a name, a contact and data of their own for one makes an entry. What belongs to a tenant can be erased."},

		{Name: tagKeys, Description: "An API key has a scope: admin (everything), tenant (everything with the objects " +
			"of its tenant), operate (replay, recover, pause, test, and read), publish (only enqueue) or read (only read). " +
			"Keys of the scopes operate, publish and read may be bound to a tenant too. A session is a key for a browser."},
		{Name: tagPortal, Description: "Links that open the portal: your customers' own pages, of one tenant each, for as " +
			"long and as much as the link says. A session is good for the operations with x-portal-capability, if it has that."},
		{Name: tagAudit, Description: "Who created, changed, replayed, cancelled, deleted or saw what, and when. " +
			"Enqueueing is not in here: the event is its own record."},
	}
}

// schemaName names the document's schemas by their Go types, unless a type says another name itself. Clients are
// generated from the document, so a name in it stays when the type's changes.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if named, ok := reflect.TypeAssert[interface{ SchemaName() string }](reflect.New(t)); ok {
		return named.SchemaName()
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// document completes an operation of the OpenAPI document: the body that we decode ourselves, an answer that we encode
// ourselves, and our problems instead of huma's.
func document(oapi *huma.OpenAPI, op *huma.Operation) {
	schemas := oapi.Components.Schemas
	if t, ok := op.Metadata[metaBody].(reflect.Type); ok && t != nil {
		op.RequestBody = &huma.RequestBody{Required: op.Metadata[metaOptional] != true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(t, true, "")},
		}}
	}

	problems, _ := op.Metadata[metaCodes].(codes)
	for code, response := range op.Responses {
		status, err := strconv.Atoi(code)
		if err != nil || status >= http.StatusBadRequest {
			if names := problems.of(status); names != "" {
				response.Description = http.StatusText(status) + ": " + names
			}
			response.Content = map[string]*huma.MediaType{
				problem.MediaType: {Schema: schemas.Schema(reflect.TypeFor[problem.Error](), true, "")},
			}
			continue
		}

		if op.Metadata[metaKeyed] == true {
			if response.Headers == nil {
				response.Headers = map[string]*huma.Param{}
			}
			response.Headers[idempotency.ReplayedHeader] = replayedHeader()
		}
		if t, ok := op.Metadata[metaOK].(reflect.Type); ok && t != nil {
			response.Content = map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(t, true, "")}}
		}
	}
}

// addDocs serves the OpenAPI document, also as 3.0 for generators that know nothing newer, and a page made of it, which
// needs no scripts.
func (s *Server) addDocs() error {
	schemas := s.huma.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's problem and its details, which document has replaced
	delete(schemas, "ErrorDetail")
	complete(s.huma.OpenAPI())

	doc, err := json.MarshalIndent(s.huma.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	older, err := docspage.Older(s.huma.OpenAPI())
	if err != nil {
		return err
	}
	page, policy, err := docspage.Render(s.huma.OpenAPI())
	if err != nil {
		return fmt.Errorf("rendering the documentation: %w", err)
	}

	s.echo.GET("/openapi.json", func(c echo.Context) error {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, doc)
	})
	s.echo.GET("/openapi-3.0.json", func(c echo.Context) error {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, older)
	})
	s.echo.GET("/docs", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentSecurityPolicy, policy)
		return c.HTMLBlob(http.StatusOK, page)
	})
	s.echo.GET("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/docs") })
	return nil
}
