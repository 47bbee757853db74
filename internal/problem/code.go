package problem

import (
	"net/http"
	"slices"
)

// TypePrefix and a code make the type of a problem, which leads to its explanation.
const TypePrefix = "https://github.com/outhook/outhook/blob/main/docs/errors.md#"

// Code names a kind of problem for programs. Once published, it keeps its meaning and its status; texts may change.
type Code string

// The codes, by status. docs/errors.md says of each what it means and what to do.
const (
	InvalidBody    Code = "invalid_body"
	BodyIncomplete Code = "body_incomplete"

	InvalidKey Code = "invalid_api_key"

	ScopeInsufficient  Code = "scope_insufficient"
	OtherTenant        Code = "other_tenant"
	CrossOriginRefused Code = "cross_origin_refused"

	NotFound         Code = "not_found"
	RouteNotFound    Code = "route_not_found"
	MethodNotAllowed Code = "method_not_allowed"
	BodyTooSlow      Code = "body_too_slow"

	AlreadyExists       Code = "already_exists"
	IdempotencyConflict Code = "idempotency_conflict"
	IdempotencyKeyInUse Code = "idempotency_key_in_use"
	DeliveryPending     Code = "delivery_pending"
	DeliverySettled     Code = "delivery_settled"
	EventDue            Code = "event_due"
	EventWithdrawn      Code = "event_withdrawn"
	DeliveryInOrder     Code = "delivery_in_order"
	EndpointGone        Code = "endpoint_gone"
	EndpointNotEnabled  Code = "endpoint_not_enabled"
	EndpointLimit       Code = "endpoint_limit"
	UIDTaken            Code = "endpoint_uid_taken"
	URLTaken            Code = "endpoint_url_taken"
	SecretDiffers       Code = "secret_differs"
	RateLimitLimit      Code = "rate_limited_endpoint_limit"
	PayloadGone         Code = "payload_gone"
	TestCancelled       Code = "test_cancelled"
	OperationUnderWay   Code = "operation_under_way"
	OperationOver       Code = "operation_over"
	TwoSecretsLive      Code = "two_secrets_live"
	SecretLive          Code = "secret_live"
	BreakingChange      Code = "breaking_change"
	PortalOff           Code = "portal_off"

	PreconditionFailed Code = "precondition_failed"

	BodyTooLarge         Code = "body_too_large"
	PayloadTooLarge      Code = "payload_too_large"
	URLTooLong           Code = "url_too_long"
	UnsupportedMediaType Code = "unsupported_media_type"
	InvalidRequest       Code = "invalid_request"
	TooManyDeliveries    Code = "too_many_deliveries"
	AnswerTooLarge       Code = "answer_too_large"
	SchemaViolated       Code = "schema_violated"
	TypeUnknown          Code = "event_type_unknown"
	CatalogFull          Code = "catalog_full"

	RateLimited       Code = "rate_limited"
	TooManyGuesses    Code = "too_many_guesses"
	TooManyRequests   Code = "too_many_requests"
	TooManyTests      Code = "too_many_tests"
	TooManyOperations Code = "too_many_operations"

	InternalError       Code = "internal_error"
	ServerBusy          Code = "server_busy"
	DatabaseUnavailable Code = "database_unavailable"
	DatabaseTimeout     Code = "database_timeout"
	IdempotencyKeyHeld  Code = "idempotency_key_held"
	OutcomeUnknown      Code = "outcome_unknown"
	TestTimeout         Code = "test_timeout"
	LoopDetected        Code = "loop_detected"
)

// Kind is what is known of a code.
type Kind struct {
	Code   Code
	Status int    // HTTP's
	Doc    string // what it means and what to do: Markdown
}

// kinds are in the order of docs/errors.md, which is made of them: by status, and first what a status says by itself.
//
//nolint:gochecknoglobals // a constant table
var kinds = []Kind{
	{InvalidBody, 400, "The body is empty, no JSON, or no UTF-8. Nothing was done: mend the request."},
	{BodyIncomplete, 400, "The connection or the body ended before Content-Length was reached. Nothing was done: " +
		"repeat the request."},

	{InvalidKey, 401, "There is no valid API key in `Authorization: Bearer <key>`: it is missing, misspelt, revoked " +
		"or expired."},

	{ScopeInsufficient, 403, "The key is valid, but its scope does not allow this request. `detail` names those that " +
		"do."},
	{OtherTenant, 403, "The key is bound to a tenant, and the request names another."},
	{CrossOriginRefused, 403, "A page of another site sent this request to River UI."},

	{RouteNotFound, 404, "There is no such path. `/docs` lists what there is."},
	{NotFound, 404, "Nothing has this id: it never was, is deleted, has expired with the retention, or belongs to a " +
		"tenant that the key may not see."},
	{MethodNotAllowed, 405, "The path is right, the method is not: the header Allow names those that are."},
	{BodyTooSlow, 408, "The body came too slowly. Nothing was done: repeat the request."},

	{AlreadyExists, 409, "Another object has what must be unique."},
	{IdempotencyConflict, 409, "The idempotency key belongs to an earlier request with another content. Nothing was " +
		"done: use a new key for something new."},
	{IdempotencyKeyInUse, 409, "A request with this Idempotency-Key is under way: repeat the request after Retry-After " +
		"to get its answer."},
	{DeliveryPending, 409, "The delivery is pending, so it can't be replayed: wait, cancel it, or send it at once " +
		"with `\"now\": true`."},
	{DeliverySettled, 409, "The delivery has ended, so it can't be cancelled."},
	{EventDue, 409, "The event is not for later, or its `deliver_at` has come, so it can't be taken " +
		"back. Its deliveries can be cancelled one by one."},
	{EventWithdrawn, 409, "The event was taken back before its `deliver_at`, so it is not delivered any more. " +
		"Publish it anew."},
	{DeliveryInOrder, 409, "The delivery has succeeded, and its endpoint gets it in order: delivered again it would " +
		"come after others that follow it. Order it with force=true if that is what you want."},
	{EndpointGone, 409, "The endpoint is disabled or deleted, so nothing can be delivered to it. Enable it first."},
	{EndpointNotEnabled, 409, "The endpoint is paused or disabled, so it can't be tested. Enable it first."},
	{EndpointLimit, 409, "The tenant has as many endpoints as it may have: delete one first."},
	{UIDTaken, 409, "Another endpoint of the tenant has this uid. `detail` names its id."},
	{URLTaken, 409, "Another endpoint of the tenant has this url, and the server wants them to differ " +
		"(`OUTHOOK_UNIQUE_URLS`). `detail` names its id: each event would be delivered twice."},
	{SecretDiffers, 409, "The endpoint that is replaced has another secret, and keeps it: leave `secret` out, or " +
		"rotate it."},
	{RateLimitLimit, 409, "As many endpoints have a rate limit as may: remove one first."},
	{PayloadGone, 409, "The event's payload has been deleted, so it can't be delivered again."},
	{TestCancelled, 409, "The test was cancelled before it was sent: the endpoint was disabled or deleted meanwhile, " +
		"or somebody cancelled the delivery."},
	{OperationUnderWay, 409, "The endpoint has a recover already that has not ended: wait for it, or cancel it."},
	{OperationOver, 409, "The operation has ended: it can't be paused, resumed or cancelled."},
	{TwoSecretsLive, 409, "Two secrets sign already: wait for the end of the overlap, or give `\"force\": true`, " +
		"which ends the older one now."},
	{SecretLive, 409, "This secret signs already: give another, or leave it out to get a new one."},
	{PortalOff, 409, "The server has no portal: start it with `OUTHOOK_PORTAL=true` and `OUTHOOK_PUBLIC_URL`."},

	{BreakingChange, 409, "The document changes event types so that receivers that were right may not be any more: " +
		"`errors` says which, and how. Nothing was done: give the change a new event type, or say " +
		"`\"allow_breaking\": true`."},

	{PreconditionFailed, 412, "The endpoint is not as `If-Match` or `If-None-Match` wants it: somebody changed, made or " +
		"deleted it meanwhile. Nothing was done: get it again, and repeat the request with its ETag."},

	{BodyTooLarge, 413, "The body, or an event in it, is larger than the server takes. `detail` and `errors` say how " +
		"large it may be."},
	{PayloadTooLarge, 413, "A payload is larger than the database can store."},
	{URLTooLong, 414, "The request's URL is too long."},
	{UnsupportedMediaType, 415, "The body must be JSON (`Content-Type: application/json`), without Content-Encoding."},
	{InvalidRequest, 422, "The request can be read, but breaks a rule: `errors` says which, and where. Nothing was " +
		"done."},
	{TooManyDeliveries, 422, "The events would make too many deliveries in one request. Nothing was stored: send " +
		"fewer events at a time."},
	{AnswerTooLarge, 422, "The answer is larger than is stored for an Idempotency-Key. Nothing was done: ask for less " +
		"at a time."},

	{SchemaViolated, 422, "The payload breaks the schema of its event type, which the catalogue says to `reject`: " +
		"`errors` says where, as a JSON pointer, and how. Nothing was stored."},
	{TypeUnknown, 422, "The event's type is not in the catalogue, and the server wants it to be " +
		"(`OUTHOOK_UNKNOWN_TYPES=reject`). Nothing was stored."},
	{CatalogFull, 422, "The catalogue would have more event types than it may, or take more room. Nothing was done."},

	{RateLimited, 429, "The key, or all keys together, send more requests than they may: wait for Retry-After."},
	{TooManyGuesses, 429, "Your address has tried too many keys that are not valid: wait for Retry-After. A valid " +
		"key passes."},
	{TooManyRequests, 429, "The key, or its tenant with all its keys, has as many requests under way as one may " +
		"have. Nothing was done: repeat the request after Retry-After."},
	{TooManyTests, 429, "As many tests are waiting as may, of the tenant's endpoints or of all. Nothing was done: " +
		"repeat the request after Retry-After."},
	{TooManyOperations, 429, "As many operations of the tenant are running as may. Nothing was done: wait until one has " +
		"ended, or pause or cancel one."},

	{InternalError, 500, "A fault of the server: its log tells more, by the answer's X-Request-Id. Whether something " +
		"was stored is not known: repeat the request with the same idempotency key."},
	{ServerBusy, 503, "The server or its database is busy, or is stopping. Nothing was done: repeat the request " +
		"after Retry-After."},
	{DatabaseUnavailable, 503, "The database can't be reached, or can't do this at the moment. Repeat the request, " +
		"with the same idempotency key if it stores something."},
	{DatabaseTimeout, 503, "The database took too long. Nothing was stored: narrow what is asked for, or repeat the " +
		"request later."},
	{IdempotencyKeyHeld, 503, "Another transaction has taken this idempotency key or ordering key and has not ended. " +
		"Nothing was stored: repeat the request after Retry-After."},
	{OutcomeUnknown, 503, "Whether the event was stored is not known in time. Repeat the request with the same " +
		"idempotency key: it is stored once."},
	{TestTimeout, 504, "The test's first attempt was not made in time: is a worker running?"},
	{LoopDetected, 508, "The request comes from a delivery of Outhook itself: an endpoint leads back to this API; or " +
		"more than 8 webhooks in a row led to it, by `outhook-depth`. Nothing was done."},
}

// Kinds returns all codes, by status.
func Kinds() []Kind { return slices.Clone(kinds) }

// Status returns the code's HTTP status.
func (c Code) Status() int {
	for _, kind := range kinds {
		if kind.Code == c {
			return kind.Status
		}
	}
	return http.StatusInternalServerError
}

// Passes tells whether the problem may have passed after the seconds that the answer's Retry-After says: each answer
// with such a code has that header, and no other.
func (c Code) Passes() bool {
	status := c.Status()
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || c == IdempotencyKeyInUse
}

// OfStatus returns the code of a status that says it all, for errors that are not ours.
func OfStatus(status int) Code {
	for _, kind := range kinds {
		if kind.Status == status {
			return kind.Code
		}
	}
	return InternalError
}
