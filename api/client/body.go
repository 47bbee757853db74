package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// put puts the body of a call into its request, unless another was given.
func (r *Request) put(in any) error {
	var keyed, events bool
	switch body := in.(type) {
	case NewEvent:
		keyed, events = body.keyed(), true
	case NewBatch:
		keyed, events = !slices.ContainsFunc(body.Events, func(e NewEvent) bool { return !e.keyed() }), true
	}

	if r.Body != nil {
		r.takesKey = r.takesKey && !events // its key may be in there
		return nil
	}
	r.keyed = keyed

	data, err := encode(in)
	if string(data) != "null" { // which is no body
		r.Body = data
	}
	return err
}

// keyed tells whether the event has an idempotency key.
func (e NewEvent) keyed() bool { return e.IdempotencyKey != nil && *e.IdempotencyKey != "" }

// encode encodes a body. Payloads keep their bytes, which encoding/json would compact and escape.
func encode(in any) ([]byte, error) {
	switch body := in.(type) {
	case NewEvent:
		return encodeEvent(body)
	case NewBatch:
		events := make([][]byte, len(body.Events))
		for i, e := range body.Events {
			data, err := encodeEvent(e)
			if err != nil {
				return nil, err
			}
			events[i] = data
		}

		body.Events = nil
		return splice(body, "events", slices.Concat([]byte("["), bytes.Join(events, []byte(",")), []byte("]")))
	}
	return json.Marshal(in)
}

func encodeEvent(e NewEvent) ([]byte, error) {
	payload := e.Payload
	e.Payload = nil
	if payload == nil {
		return json.Marshal(e)
	}
	if !json.Valid(payload) {
		return nil, errors.New("the payload is not JSON")
	}
	return splice(e, "payload", payload)
}

// splice encodes an object whose member is null, and gives that member its value. A quotation mark inside of a string
// is escaped, so the member is nowhere else.
func splice(object any, member string, value []byte) ([]byte, error) {
	data, err := json.Marshal(object)
	name := []byte(`"` + member + `":`)
	return bytes.Replace(data, append(slices.Clone(name), "null"...), append(name, value...), 1), err
}
