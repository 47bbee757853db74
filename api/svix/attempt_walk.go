package svix

import (
	"encoding/json"
	"maps"
	"math"
	"net/url"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/cursor"
)

// maxAsked bounds how many deliveries' attempts are asked for one page, where what matches is rare.
const maxAsked = 300

// walk goes through the attempts at an endpoint: its deliveries by their events, and the attempts of each. The API has
// them by delivery, as its log has.
type walk struct {
	v        *visit
	filters  attemptFilters
	endpoint client.Endpoint
	span     span

	event  uuid.UUID // of the attempt that the walk is at
	number int
	asked  int // requests
	items  []seen
}

// listAttemptsOfEndpoint lists by the messages' times, newest first, and the attempts at each by theirs.
func listAttemptsOfEndpoint(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	w := &walk{v: v}
	if w.endpoint, err = v.endpointOf(t); err != nil {
		return err
	}
	if err := v.refuseParams("channel", "tag"); err != nil { // a delivery has none
		return err
	}
	if w.filters, err = v.attemptFilters(t); err != nil {
		return err
	}
	withMsg, err := v.boolParam("with_msg", false)
	if err != nil {
		return err
	}
	if w.span, err = v.span(); err != nil {
		return err
	}
	done, err := w.collect()
	if err != nil {
		return err
	}

	data := make([]attemptOut, len(w.items))
	for i, a := range w.items {
		data[i] = a.out(w.filters.expanded)
		if withMsg { // Svix never shows its payload here
			m := newMessage(a.delivery.EventID, a.delivery.Type, a.delivery.CreatedAt, nil, nil)
			data[i].Msg = &messageWithPayload{m, json.RawMessage(noContent)}
		}
	}

	var first, last *string
	if len(data) > 0 {
		first, last = &data[0].ID, &data[len(data)-1].ID
	}
	if !done {
		at := attemptID(w.event, idOf(w.endpoint.ID), w.number)
		last = &at
	}
	return replyPage(v, w.span, data, done, first, last)
}

// collect reads a page, and tells whether it is the last one.
func (w *walk) collect() (done bool, err error) {
	w.filters.query.Set("endpoint_id", w.endpoint.ID)
	order := map[bool]string{false: "desc", true: "asc"}[w.span.back]
	w.filters.query.Set("order", order)

	var from []uuid.UUID
	if w.span.iterator != "" {
		endpoint := idOf(w.endpoint.ID)
		event, number, ok := parseAttemptID(w.span.iterator, endpoint)
		if !ok {
			return false, errIterator()
		}
		w.event, w.number, from = event, number, []uuid.UUID{event, endpoint}

		if full, err := w.rest(event, number); full || err != nil {
			return false, err
		}
	}
	return w.deliveries(cursor.Of("/api/deliveries", w.filters.query, order), from)
}

// rest takes the attempts of the delivery that the iterator is at which come after it.
func (w *walk) rest(event uuid.UUID, number int) (full bool, err error) {
	var d client.Delivery
	query := url.Values{"tenant_id": w.filters.query["tenant_id"]}
	err = w.v.get("/api/deliveries/"+event.String()+"/"+w.endpoint.ID, query, &d)
	if isNotFound(err) {
		return false, nil // it has left with its day
	}
	if err != nil {
		return false, err
	}
	return w.take(d, number)
}

// deliveries takes the attempts of the deliveries after a position.
func (w *walk) deliveries(list cursor.List, from []uuid.UUID) (done bool, err error) {
	query := url.Values{"limit": {"50"}}
	maps.Copy(query, w.filters.query)
	if from != nil {
		query.Set("cursor", list.Encode(from...))
	}

	for {
		var some struct {
			Items []client.Delivery
			Next  *string `json:"next_cursor"`
		}
		if err := w.v.get("/api/deliveries", query, &some); err != nil {
			return false, err
		}
		for _, d := range some.Items {
			if full, err := w.take(d, w.beforeFirst()); full || err != nil {
				return false, err
			}
		}

		if some.Next == nil {
			return true, nil
		}
		at, err := list.Decode(*some.Next, 2)
		if err != nil {
			return false, err
		}
		if w.event, w.number = at[0], w.afterLast(); w.asked >= maxAsked {
			return false, nil
		}
		query.Set("cursor", *some.Next)
	}
}

// beforeFirst and afterLast are numbers of attempts that all are between, in the direction of the walk.
func (w *walk) beforeFirst() int {
	if w.span.back {
		return 0
	}
	return math.MaxInt32
}

func (w *walk) afterLast() int {
	if w.span.back {
		return math.MaxInt32
	}
	return 0
}

// take takes the attempts of a delivery that come after a number, and tells whether the page is full, or has cost
// enough: the walk is at the last attempt that it has looked at then.
func (w *walk) take(d client.Delivery, number int) (full bool, err error) {
	if d.AttemptCount == 0 || !w.filters.filters.wants(d.Type) {
		return false, nil
	}
	if len(w.items) == w.span.limit || w.asked >= maxAsked {
		return true, nil
	}

	w.asked++
	attempts, err := w.v.attemptsOf(d, w.filters.content, !w.span.back)
	if err != nil {
		return false, err
	}
	for _, a := range attempts {
		if w.span.back && a.Number <= number || !w.span.back && a.Number >= number {
			continue
		}
		one := seen{Attempt: a, delivery: d, url: w.endpoint.URL}
		if !w.filters.wants(one) {
			continue
		}
		if len(w.items) == w.span.limit {
			return true, nil
		}
		w.items = append(w.items, one)
		w.event, w.number = one.event(), a.Number
	}
	return false, nil
}
