package svix

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/outhook/outhook/internal/problem"
)

const (
	// Mount is what an SDK is given as its server's URL, behind the host.
	Mount = "/svix"

	// Path is where the calls are.
	Path = Mount + "/api/v1"
)

// IsCall tells whether a route is one of the calls.
func IsCall(route string) bool { return strings.HasPrefix(route, Mount+"/") }

// API answers the calls as an [http.Handler]. Create one with [New].
type API struct {
	outhook http.Handler
	logger  *slog.Logger
	mux     *http.ServeMux
	known   *audience
}

// New returns what answers Svix's calls by asking Outhook's API. A request to the API is made for the call that it
// answers, and has its context, by which the API knows who asks. logger gets what goes wrong here.
func New(outhook http.Handler, logger *slog.Logger) *API {
	a := &API{outhook: outhook, logger: logger, mux: http.NewServeMux(), known: newAudience()}
	all := routes()
	maps.Copy(all, operationalRoutes())
	for pattern, answer := range all {
		method, path, _ := strings.Cut(pattern, " ")
		a.mux.HandleFunc(method+" "+Path+path, a.serve(answer))
	}
	a.mux.HandleFunc("/", a.serve(notOffered))
	return a
}

// ServeHTTP answers a call. Old SDKs put a slash at the end of paths.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/") {
		at := *r.URL
		at.Path, at.RawPath = strings.TrimRight(at.Path, "/"), strings.TrimRight(at.RawPath, "/")
		r = r.WithContext(r.Context()) // a copy
		r.URL = &at
	}
	a.mux.ServeHTTP(w, r)
}

func (a *API) serve(answer func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := answer(&visit{Request: r, w: w, api: a})
		if err == nil {
			return
		}

		_, isProblem := errors.AsType[*problem.Error](err)
		if _, isFault := errors.AsType[*fault](err); !isProblem && !isFault {
			a.logger.LogAttrs(r.Context(), slog.LevelError, "answering a call of Svix's", slog.String("route", r.Pattern),
				slog.String("error", err.Error()), slog.String("request_id", w.Header().Get("X-Request-Id")))
		}
		WriteError(w, err)
	}
}

// notOffered answers what Outhook has not, or Svix has not either.
func notOffered(*visit) error {
	return problem.New(problem.RouteNotFound, "Outhook has no such call: docs/svix.md lists what it has")
}

// routes are the calls: below Path.
func routes() map[string]func(*visit) error {
	const endpoint = "/app/{app}/endpoint/{endpoint}"
	const message = "/app/{app}/msg/{msg}"

	return map[string]func(*visit) error{
		"GET /health":      health,
		"GET /health/ping": health,

		"POST /auth/app-portal-access/{app}": giveAccess,
		"POST /auth/app/{app}/expire-all":    endAccess,

		"POST /app":         createApplication,
		"GET /app":          listApplications,
		"GET /app/{app}":    getApplication,
		"PUT /app/{app}":    putApplication,
		"PATCH /app/{app}":  patchApplication,
		"DELETE /app/{app}": deleteApplication,

		"POST /app/{app}/endpoint":       createEndpoint,
		"GET /app/{app}/endpoint":        listEndpoints,
		"GET " + endpoint:                getEndpoint,
		"PUT " + endpoint:                putEndpoint,
		"PATCH " + endpoint:              patchEndpoint,
		"DELETE " + endpoint:             deleteEndpoint,
		"GET " + endpoint + "/headers":   getHeaders,
		"PUT " + endpoint + "/headers":   putHeaders,
		"PATCH " + endpoint + "/headers": patchHeaders,
		"GET " + endpoint + "/stats":     getStats,

		"POST " + endpoint + "/send-example": sendExample,

		"GET " + endpoint + "/secret":          getSecret,
		"POST " + endpoint + "/secret/rotate":  rotateSecret,
		"POST " + endpoint + "/recover":        recoverEndpoint,
		"POST " + endpoint + "/replay-missing": replayMissing,
		"POST " + endpoint + "/bulk-replay":    bulkReplay,
		"GET /background-task":                 listTasks,
		"GET /background-task/{task}":          getTask,

		"POST /event-type":          createEventType,
		"GET /event-type":           listEventTypes,
		"GET /event-type/{name}":    getEventType,
		"PUT /event-type/{name}":    putEventType,
		"PATCH /event-type/{name}":  patchEventType,
		"DELETE /event-type/{name}": deleteEventType,

		"POST /app/{app}/msg":                 createMessage,
		"GET /app/{app}/msg":                  listMessages,
		"GET " + message:                      getMessage,
		"DELETE " + message + "/content":      expungeMessage,
		"POST /app/{app}/msg/bulk-expunge":    expungeMessages,
		"POST /app/{app}/msg/precheck/active": precheckMessage,

		"GET /app/{app}/attempt/msg/{msg}":                listAttemptsOfMessage,
		"GET /app/{app}/attempt/endpoint/{endpoint}":      listAttemptsOfEndpoint,
		"GET " + endpoint + "/msg":                        listAttemptedMessages,
		"GET " + message + "/endpoint":                    listAttemptedDestinations,
		"GET " + message + "/attempt/{attempt}":           getAttempt,
		"POST " + message + "/endpoint/{endpoint}/resend": resendMessage,
	}
}

func health(v *visit) error { return v.done() }
