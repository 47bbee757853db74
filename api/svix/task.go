package svix

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

// Kinds of background tasks, and how they are.
const (
	taskRecover    = "endpoint.recover"
	taskReplay     = "endpoint.replay"
	taskBulkReplay = "endpoint.bulk-replay"

	taskRunning  = "running"
	taskFinished = "finished"
	taskFailed   = "failed"
)

// taskOut is an operation of the API's.
type taskOut struct {
	ID        string         `json:"id"`
	Status    string         `json:"status"`
	Task      string         `json:"task"`
	UpdatedAt time.Time      `json:"updatedAt"`
	Data      map[string]any `json:"data"`
}

func newTask(o client.Operation) (taskOut, error) {
	data := map[string]any{
		"messageCount": o.ReplayedCount, "skippedCount": o.SkippedCount, "since": o.Since, "until": o.Until,
	}
	if o.TenantID != nil {
		data["appUid"] = *o.TenantID
	}
	if o.EndpointID != nil {
		data["endpointId"] = svixID(endpointPrefix, *o.EndpointID)
	}
	return taskOut{svixID(taskPrefix, o.ID), taskStatus(o), taskKind(o), o.UpdatedAt, data}, nil
}

func taskStatus(o client.Operation) string {
	switch o.State {
	case "completed":
		return taskFinished
	case "cancelled":
		return taskFailed
	}
	return taskRunning
}

func taskKind(o client.Operation) string {
	switch {
	case o.Kind != "recover":
		return taskBulkReplay
	case o.Missed:
		return taskReplay
	}
	return taskRecover
}

func listTasks(v *visit) error {
	status, kind := v.param("status"), v.param("task")
	l := oneID(taskPrefix, "/api/operations", nil, func(o client.Operation) string { return o.ID })
	if err := l.order(v, "descending"); err != nil {
		return err
	}
	if status != "" || kind != "" {
		l.keep = func(o client.Operation) bool {
			return (status == "" || status == taskStatus(o)) && (kind == "" || kind == taskKind(o))
		}
	}
	return page(v, l, newTask)
}

func getTask(v *visit) error {
	id, ok := parseID(taskPrefix, v.PathValue("task"))
	if !ok {
		return errNotFound()
	}
	var o client.Operation
	if err := v.get("/api/operations/"+id.String(), nil, &o); err != nil {
		return err
	}
	return v.replyTask(http.StatusOK, o)
}

func (v *visit) replyTask(status int, o client.Operation) error {
	out, err := newTask(o)
	if err != nil {
		return err
	}
	return v.reply(status, out)
}

// replayIn says what to deliver again.
type replayIn struct {
	Since json.RawMessage `json:"since"`
	Until json.RawMessage `json:"until"`

	EventTypes []string        `json:"eventTypes"`
	Channel    json.RawMessage `json:"channel"`
	Tag        json.RawMessage `json:"tag"`
	Status     *int            `json:"status"`
	Class      json.RawMessage `json:"statusCodeClass"`
}

// order returns the members that all orders have.
func (in *replayIn) order() map[string]any {
	body := map[string]any{}
	if isGiven(in.Since) {
		body["since"] = in.Since
	}
	if isGiven(in.Until) {
		body["until"] = in.Until
	}
	return body
}

func recoverEndpoint(v *visit) error { return v.recover(false) }

func replayMissing(v *visit) error { return v.recover(true) }

func (v *visit) recover(missed bool) error {
	var in replayIn
	if err := v.decode(&in); err != nil {
		return err
	}

	e, err := v.endpoint()
	if err != nil {
		return err
	}
	body := in.order()
	if missed {
		body["missed"] = true
	}
	return v.start(endpointPath(e, "/recover"), body)
}

func (v *visit) start(path string, body any) error {
	var o client.Operation
	if err := v.ask(order{method: http.MethodPost, path: path, body: body, key: v.key()}, &o); err != nil {
		return err
	}
	return v.replyTask(http.StatusAccepted, o)
}

func bulkReplay(v *visit) error {
	var in replayIn
	if err := v.decode(&in); err != nil {
		return err
	}
	body := in.order()
	body["states"] = []string{"succeeded", "failed", "cancelled"}
	if err := in.filter(body); err != nil {
		return err
	}

	e, err := v.endpoint()
	if err != nil {
		return err
	}
	body["tenant_id"], body["endpoint_id"] = e.TenantID, e.ID
	return v.start("/api/operations", body)
}

// filter adds what only a bulk replay has.
func (in *replayIn) filter(body map[string]any) error {
	var f problem.Faults
	others := map[string]json.RawMessage{"channel": in.Channel, "tag": in.Tag, "statusCodeClass": in.Class}
	for name, value := range others {
		if isGiven(value) {
			f.Add("body."+name, "is not supported by Outhook: docs/svix.md")
		}
	}

	if in.Status != nil {
		state := map[int]string{statusSuccess: "succeeded", statusFail: "failed", statusCanceled: "cancelled"}[*in.Status]
		if state == "" {
			f.Add("body.status", "must be 0, 2 or 4: what is pending is not sent again")
		}
		body["states"] = []string{state}
	}
	if len(in.EventTypes) > 0 {
		body["event_types"] = in.EventTypes
	}
	return f.Problem(problem.InvalidRequest)
}

const (
	// usualStats is how far back an endpoint's statistics go if nobody says.
	usualStats = 28 * 24 * time.Hour

	// maxStatSteps is how many steps an answer of the API's may have, less some for their rounding.
	maxStatSteps = 1400

	// maxPendingPages bounds how many pages of pending deliveries are counted: 1,000 of them.
	maxPendingPages = 5
)

// getStats counts what ended in a time, as exactly as the API remembers it, and what is pending.
func getStats(v *visit) error {
	since, err := v.timeParam("since")
	if err != nil {
		return err
	}
	until, err := v.timeParam("until")
	if err != nil {
		return err
	}
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	if until.IsZero() {
		until = time.Now()
	}
	if since.IsZero() {
		since = until.Add(-usualStats)
	}

	step := max(60, int(math.Ceil(until.Sub(since).Seconds()/maxStatSteps)))
	var steps client.Series
	query := url.Values{
		"endpoint_id": {e.ID}, "tenant_id": {e.TenantID}, "step_s": {strconv.Itoa(step)},
		"from": {since.Format(time.RFC3339Nano)}, "to": {until.Format(time.RFC3339Nano)},
	}
	if err := v.get("/api/stats/series", query, &steps); err != nil {
		return err
	}
	out := map[string]int{"success": 0, "fail": 0, "canceled": 0, "pending": 0, "sending": 0}
	for _, s := range steps.Items {
		out["success"] += s.Deliveries.Succeeded
		out["fail"] += s.Deliveries.Failed
		out["canceled"] += s.Deliveries.Cancelled
	}
	if err := v.countPending(e, out); err != nil {
		return err
	}
	return v.reply(http.StatusOK, out)
}

func (v *visit) countPending(e client.Endpoint, out map[string]int) error {
	query := url.Values{
		"endpoint_id": {e.ID}, "tenant_id": {e.TenantID}, "state": {statePending}, "limit": {strconv.Itoa(maxAPILimit)},
	}

	for range maxPendingPages {
		var some struct {
			Items []client.Delivery
			Next  *string `json:"next_cursor"`
		}
		if err := v.get("/api/deliveries", query, &some); err != nil {
			return err
		}
		for _, d := range some.Items {
			out[statusTexts[deliveryStatus(d)]]++
		}
		if some.Next == nil {
			break
		}
		query.Set("cursor", *some.Next)
	}
	return nil
}
