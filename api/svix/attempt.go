package svix

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/problem"
)

// Statuses of Svix. Sending is a failure that is not the last one.
const (
	statusSuccess = iota
	statusPending
	statusFail
	statusSending
	statusCanceled
)

// statusTexts are the names of statuses; an SDK refuses an answer without one.
//
//nolint:gochecknoglobals // a constant table
var statusTexts = []string{"success", "pending", "fail", "sending", "canceled"}

// States of deliveries and what else the API calls things.
const (
	statePending     = "pending"
	outcomeSucceeded = "succeeded"
	triggerManual    = "manual"
)

type attemptOut struct {
	ID         string              `json:"id"`
	MsgID      string              `json:"msgId"`
	EndpointID string              `json:"endpointId"`
	URL        string              `json:"url"`
	Response   string              `json:"response"`
	StatusCode int                 `json:"responseStatusCode"`
	DurationMS int                 `json:"responseDurationMs"`
	Status     int                 `json:"status"`
	StatusText string              `json:"statusText"`
	Trigger    int                 `json:"triggerType"`
	Timestamp  time.Time           `json:"timestamp"`
	Msg        *messageWithPayload `json:"msg,omitempty"`
}

// seen is an attempt and what it belongs to.
type seen struct {
	client.Attempt

	delivery client.Delivery
	url      string
}

func (a seen) event() uuid.UUID { return idOf(a.delivery.EventID) }

// status returns the attempt's, with expanded statuses or without.
func (a seen) status(expanded bool) int {
	last := a.Number == a.delivery.AttemptCount
	switch {
	case a.Outcome == outcomeSucceeded:
		return statusSuccess
	case expanded && last && a.delivery.State == statePending:
		return statusSending
	}
	return statusFail
}

func (a seen) out(expanded bool) attemptOut {
	status := a.status(expanded)
	out := attemptOut{
		ID: attemptID(a.event(), idOf(a.EndpointID), a.Number), MsgID: svixID(messagePrefix, a.delivery.EventID),
		EndpointID: svixID(endpointPrefix, a.EndpointID), URL: a.url, Status: status, StatusText: statusTexts[status],
		Timestamp: a.StartedAt,
	}

	switch { // what was answered, or why nothing was
	case a.ResponseBody != nil:
		out.Response = *a.ResponseBody
	case a.StatusCode == nil && a.Error != nil:
		out.Response = *a.Error
	}
	if a.StatusCode != nil {
		out.StatusCode = *a.StatusCode
	}
	if a.DurationMS != nil {
		out.DurationMS = *a.DurationMS
	}
	if a.Trigger == triggerManual {
		out.Trigger = 1
	}
	return out
}

// attemptFilters are the parameters of lists of attempts.
type attemptFilters struct {
	filters

	status, class int // -1: any
	expanded      bool
	content       bool
}

func (v *visit) attemptFilters(t client.Tenant) (f attemptFilters, err error) {
	if f.filters, err = v.filters(t); err != nil {
		return f, err
	}

	f.status, err = v.oneOf("status", statusSuccess, statusPending, statusFail, statusSending, statusCanceled)
	if err != nil {
		return f, err
	}
	if f.class, err = v.oneOf("status_code_class", 0, 100, 200, 300, 400, 500); err != nil {
		return f, err
	}
	if f.expanded, err = v.boolParam("expanded_statuses", false); err != nil {
		return f, err
	}
	f.content, err = v.boolParam("with_content", true)
	return f, err
}

// oneOf reads a parameter that is one of some numbers, -1 if it is not given.
func (v *visit) oneOf(name string, known ...int) (int, error) {
	text := v.param(name)
	if text == "" {
		return -1, nil
	}
	for _, n := range known {
		if strconv.Itoa(n) == text {
			return n, nil
		}
	}
	return 0, problem.Invalid("query."+name, "is none of those that there are")
}

func (f attemptFilters) wants(a seen) bool {
	code := 0
	if a.StatusCode != nil {
		code = *a.StatusCode / 100 * 100
	}
	return (f.status < 0 || f.status == a.status(f.expanded)) && (f.class < 0 || f.class == code)
}

// urls finds the URLs of endpoints, each once.
type urls struct {
	v     *visit
	t     client.Tenant
	found map[string]client.Endpoint
}

func newURLs(v *visit, t client.Tenant) *urls {
	return &urls{v: v, t: t, found: map[string]client.Endpoint{}}
}

// of returns an endpoint, of which nothing but the id is known if it is deleted.
func (u *urls) of(id string) (client.Endpoint, error) {
	if e, ok := u.found[id]; ok {
		return e, nil
	}
	e := client.Endpoint{}
	err := u.v.get("/api/endpoints/"+id, url.Values{"tenant_id": {u.t.TenantID}}, &e)
	if err != nil && !isNotFound(err) {
		return e, err
	}
	e.ID = id
	u.found[id] = e
	return e, nil
}

// endpointParam returns the endpoint that a list is filtered by, in the API's words.
func (v *visit) endpointParam() string {
	text := v.param("endpoint_id")
	if id, ok := parseID(endpointPrefix, text); ok {
		return id.String()
	}
	return text
}

// listAttemptsOfMessage lists by the attempts' times, newest first.
func listAttemptsOfMessage(v *visit) error {
	t, id, err := v.message()
	if err != nil {
		return err
	}
	f, err := v.attemptFilters(t)
	if err != nil {
		return err
	}
	before, _ := v.timeParam("before") // they are checked
	after, _ := v.timeParam("after")
	e, err := v.event(t, id)
	if err != nil {
		return err
	}
	if !f.filters.wants(e.Type) || !f.has(e.Labels) {
		return replyPage(v, span{}, []attemptOut{}, true, nil, nil)
	}

	deliveries, ends := map[string]client.Delivery{}, newURLs(v, t)
	for _, d := range e.Deliveries {
		deliveries[d.EndpointID] = d
	}
	query := url.Values{"bodies": {strconv.FormatBool(f.content)}}
	if name := v.endpointParam(); name != "" {
		query.Set("endpoint_id", name)
	}

	of := func(a client.Attempt) seen { return seen{Attempt: a, delivery: deliveries[a.EndpointID]} }
	l := attemptList(id, query)
	l.keep = func(a client.Attempt) bool {
		return f.wants(of(a)) && (before.IsZero() || a.StartedAt.Before(before)) &&
			(after.IsZero() || a.StartedAt.After(after))
	}
	return page(v, l, func(a client.Attempt) (attemptOut, error) {
		end, err := ends.of(a.EndpointID)
		one := of(a)
		one.url = end.URL
		return one.out(f.expanded), err
	})
}

// attemptList is the list of an event's attempts.
func attemptList(event uuid.UUID, query url.Values) lister[client.Attempt] {
	return lister[client.Attempt]{
		path: "/api/events/" + event.String() + "/attempts", query: query, descending: true, ids: 2,
		position: func(a client.Attempt) []uuid.UUID {
			return []uuid.UUID{cursor.Pack(a.StartedAt, int32(a.Number)), idOf(a.EndpointID)} //nolint:gosec // as the API has it
		},

		write: func(at []uuid.UUID) string { return encodeID(attemptPrefix, append(at[0][:], at[1][:]...)) },
		read: func(text string) ([]uuid.UUID, bool) {
			raw, ok := decodeID(attemptPrefix, text, 2*idSize)
			if !ok {
				return nil, false
			}
			return []uuid.UUID{uuid.UUID(raw[:idSize]), uuid.UUID(raw[idSize:])}, true
		},
	}
}

func getAttempt(v *visit) error {
	t, id, err := v.message()
	if err != nil {
		return err
	}
	endpoint, number, ok := parseAttemptID(v.PathValue("attempt"), id)
	if !ok {
		return errNotFound()
	}
	path := "/api/deliveries/" + id.String() + "/" + endpoint.String()
	var d client.Delivery
	if err := v.get(path, url.Values{"tenant_id": {t.TenantID}}, &d); err != nil {
		return err
	}

	attempts, err := v.attemptsOf(d, true, false)
	if err != nil {
		return err
	}
	end, err := newURLs(v, t).of(d.EndpointID)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if a.Number == number {
			return v.reply(http.StatusOK, seen{a, d, end.URL}.out(false))
		}
	}
	return errNotFound()
}

// attemptsOf returns all attempts of a delivery.
func (v *visit) attemptsOf(d client.Delivery, bodies, newestFirst bool) (all []client.Attempt, err error) {
	query := url.Values{
		"bodies": {strconv.FormatBool(bodies)}, "limit": {strconv.Itoa(maxAPILimit)}, "tenant_id": {d.TenantID},
		"order": {map[bool]string{false: "asc", true: "desc"}[newestFirst]},
	}

	for {
		var some struct {
			Items []client.Attempt
			Next  *string `json:"next_cursor"`
		}
		if err := v.get("/api/deliveries/"+d.EventID+"/"+d.EndpointID+"/attempts", query, &some); err != nil {
			return nil, err
		}
		all = append(all, some.Items...)
		if some.Next == nil {
			return all, nil
		}
		query.Set("cursor", *some.Next)
	}
}

// deliveryStatus returns a delivery's status.
func deliveryStatus(d client.Delivery) int {
	switch {
	case d.State == statePending && d.AttemptCount > 0:
		return statusSending
	case d.State == statePending:
		return statusPending
	case d.State == outcomeSucceeded:
		return statusSuccess
	case d.State == "cancelled":
		return statusCanceled
	}
	return statusFail
}

// deliveryOut is what Svix says of a message at an endpoint.
type deliveryOut struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	NextAttempt *time.Time `json:"nextAttempt,omitempty"`
}

func newDelivery(d client.Delivery) deliveryOut {
	status := deliveryStatus(d)
	return deliveryOut{Status: status, StatusText: statusTexts[status], NextAttempt: d.NextAttemptAt}
}

// deliveries returns a list of deliveries by the messages' times, newest first.
func (v *visit) deliveries(prefix string, query url.Values, one uuid.UUID) lister[client.Delivery] {
	ofEvent := prefix == endpointPrefix
	return lister[client.Delivery]{
		path: "/api/deliveries", query: query, descending: true, ids: 2,
		position: func(d client.Delivery) []uuid.UUID { return []uuid.UUID{idOf(d.EventID), idOf(d.EndpointID)} },

		write: func(at []uuid.UUID) string {
			if ofEvent {
				return encodeID(prefix, at[1][:])
			}
			return encodeID(prefix, at[0][:])
		},
		read: func(text string) ([]uuid.UUID, bool) {
			other, ok := parseID(prefix, text)
			if ofEvent {
				return []uuid.UUID{one, other}, ok
			}
			return []uuid.UUID{other, one}, ok
		},
	}
}

// listAttemptedMessages lists the messages of an endpoint.
func listAttemptedMessages(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	e, err := v.endpointOf(t)
	if err != nil {
		return err
	}
	if err := v.refuseParams("channel", "tag"); err != nil { // a delivery has none
		return err
	}
	f, err := v.attemptFilters(t)
	if err != nil {
		return err
	}

	f.query.Set("endpoint_id", e.ID)
	c := &contents{v: v, t: t, with: f.content}
	l := v.deliveries(messagePrefix, f.query, idOf(e.ID))
	if f.status >= 0 || len(f.types) > 1 {
		l.keep = func(d client.Delivery) bool {
			return f.filters.wants(d.Type) && (f.status < 0 || f.status == deliveryStatus(d))
		}
	}
	type out struct {
		messageWithPayload
		deliveryOut
	}
	return page(v, l, func(d client.Delivery) (out, error) {
		m, err := c.message(d.EventID, newMessage(d.EventID, d.Type, d.CreatedAt, nil, nil))
		return out{m, newDelivery(d)}, err
	})
}

// listAttemptedDestinations lists the endpoints of a message.
func listAttemptedDestinations(v *visit) error {
	t, id, err := v.message()
	if err != nil {
		return err
	}
	if _, err := v.event(t, id); err != nil {
		return err
	}

	ends := newURLs(v, t)
	l := v.deliveries(endpointPrefix, url.Values{"tenant_id": {t.TenantID}, "event_id": {id.String()}}, id)
	type out struct {
		endpointOut
		deliveryOut
	}
	return page(v, l, func(d client.Delivery) (out, error) {
		e, err := ends.of(d.EndpointID)
		if err != nil {
			return out{}, err
		}
		end, err := newEndpoint(e)
		return out{end, newDelivery(d)}, err
	})
}

// resendMessage has a message delivered again at once.
func resendMessage(v *visit) error {
	t, id, err := v.message()
	if err != nil {
		return err
	}
	e, err := v.endpointOf(t)
	if err != nil {
		return err
	}

	path := "/api/deliveries/" + id.String() + "/" + e.ID + "/replay"
	o := order{method: http.MethodPost, path: path, query: url.Values{"now": {"true"}}, key: v.key()}
	if err := v.ask(o, nil); err != nil {
		return err
	}
	return v.reply(http.StatusAccepted, map[string]any{})
}
