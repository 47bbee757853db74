package svix

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/idempotency"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// visit is a call that is being answered.
type visit struct {
	*http.Request

	w   http.ResponseWriter
	api *API

	operator bool // it is about the operator's endpoints, and no application's
}

// order is a request to Outhook's API.
type order struct {
	method, path string     // the path is escaped
	query        url.Values // nil: none
	body         any        // nil: none; bytes are sent as they are

	key string // its Idempotency-Key; "": none
	new bool   // it must make something new
}

// ask sends a request to the API and decodes the answer into out, unless that is nil. Its error is a
// [*problem.Error] if the API has refused.
func (v *visit) ask(o order, out any) error {
	r, err := v.request(o)
	if err != nil {
		return err
	}

	a := &idempotency.Answer{Status: http.StatusOK}
	v.api.outhook.ServeHTTP(a, r)
	if after := a.Header().Get("Retry-After"); after != "" {
		v.w.Header().Set("Retry-After", after)
	}

	switch {
	case a.Status >= http.StatusBadRequest:
		refusal := &problem.Error{}
		if err := json.Unmarshal(a.Body, refusal); err != nil {
			return fmt.Errorf("reading the API's refusal: %w", err)
		}
		return refusal
	case out == nil:
		return nil
	}

	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	return nil
}

// request makes a request that belongs to the call: it has its context, its id, its client's address and its trace.
func (v *visit) request(o order) (*http.Request, error) {
	body, isRaw := o.body.([]byte)
	if !isRaw && o.body != nil {
		var err error
		if body, err = strictjson.Encode(o.body); err != nil {
			return nil, err
		}
	}
	target := o.path
	if len(o.query) > 0 {
		target += "?" + o.query.Encode()
	}

	r, err := http.NewRequestWithContext(v.Context(), o.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.RequestURI, r.RemoteAddr, r.Host, r.TLS = target, v.RemoteAddr, v.Host, v.TLS // links begin as the call did
	r.Header.Set("X-Request-Id", v.w.Header().Get("X-Request-Id"))
	for _, name := range []string{"X-Forwarded-For", "Traceparent", "Outhook-Depth"} {
		if values := v.Header.Values(name); len(values) > 0 {
			r.Header[name] = values
		}
	}

	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if o.key != "" {
		r.Header.Set(idempotency.Header, o.key)
	}
	if o.new {
		r.Header.Set("If-None-Match", "*")
	}
	return r, nil
}

// get is ask for what is there.
func (v *visit) get(path string, query url.Values, out any) error {
	return v.ask(order{method: http.MethodGet, path: path, query: query}, out)
}

// key returns the Idempotency-Key of the one request to the API that changes something for this call, "" if the call
// has none. Svix's belong to a URL, those of the API to nothing; and they may be longer there.
func (v *visit) key() string {
	given := v.Header.Get(idempotency.Header)
	if given == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(v.Method + " " + v.URL.Path + "?" + v.URL.RawQuery + "\n" + given))
	return encodeID("svix:", sum[:idSize])
}

// repeats tells whether the call may be the repetition of one. An SDK draws a key for each call of a program, and says
// when it sends it again.
func (v *visit) repeats() bool {
	given := v.Header.Get(idempotency.Header)
	return v.Header.Get("Svix-Retry-Count") != "" || given != "" && !strings.HasPrefix(given, "auto_")
}

// done answers without a body: an SDK of Go reads JSON from any other answer.
func (v *visit) done() error {
	v.w.WriteHeader(http.StatusNoContent)
	return nil
}

// reply answers with JSON.
func (v *visit) reply(status int, body any) error {
	data, err := strictjson.Encode(body)
	if err != nil {
		return err
	}
	return v.replyRaw(status, data)
}

func (v *visit) replyRaw(status int, data []byte) error {
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(data) // a client that is gone is no error
	return nil
}

// decode reads the body. Members that in does not know are left out, as Svix does: SDKs send newer ones.
func (v *visit) decode(in any) error {
	body, err := io.ReadAll(v.Body)
	if err != nil {
		return problem.New(problem.BodyIncomplete, "the body ended before it was complete")
	}

	err = json.Unmarshal(body, in)
	if err == nil && utf8.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return nil // it was scanned once: a payload may be long
	}
	if _, err := strictjson.ParseObject(body); err != nil {
		return err
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return problem.Invalid("body."+wrong.Field, "is of the wrong type")
	}
	if err != nil {
		return problem.New(problem.InvalidBody, "the body can't be read")
	}
	return nil
}

// Parameters of the query. What is wrong is refused; what is not given is the zero value.

func (v *visit) param(name string) string { return v.URL.Query().Get(name) }

func (v *visit) boolParam(name string, usual bool) (bool, error) {
	text := v.param(name)
	if text == "" {
		return usual, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, problem.Invalid("query."+name, "must be true or false")
	}
	return value, nil
}

func (v *visit) timeParam(name string) (time.Time, error) {
	text := v.param(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, problem.Invalid("query."+name, "must be a time like 2026-01-02T15:04:05Z")
	}
	return at, nil
}

// listParam returns the parts of a parameter that is a list with commas.
func (v *visit) listParam(name string) []string {
	var parts []string
	for _, text := range v.URL.Query()[name] {
		for part := range strings.SplitSeq(text, ",") {
			if part != "" {
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// refuseParams refuses parameters that ask for what Outhook has not. Without them more would be shown than was asked
// for.
func (v *visit) refuseParams(names ...string) error {
	for _, name := range names {
		if text := v.param(name); text != "" && text != "false" {
			return problem.Invalid("query."+name, "is not supported by Outhook: docs/svix.md")
		}
	}
	return nil
}
