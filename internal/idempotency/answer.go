package idempotency

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// Answer is a whole answer to a request, which is not sent yet. It is the [http.ResponseWriter] that records it, too:
// the zero value is ready for that.
type Answer struct {
	// Status is the HTTP status. 0: there is no answer yet, and Body is a note (Store.ChangeFirst).
	Status int

	// Fields are the header fields that the handler has set.
	Fields http.Header

	// Body is the body, byte for byte.
	Body []byte
}

// Header returns the header to fill.
func (a *Answer) Header() http.Header {
	if a.Fields == nil {
		a.Fields = http.Header{}
	}
	return a.Fields
}

// WriteHeader notes the status.
func (a *Answer) WriteHeader(status int) { a.Status = status }

// Write adds to the body. It never fails.
func (a *Answer) Write(p []byte) (int, error) {
	a.Body = append(a.Body, p...)
	return len(p), nil
}

// head is what is stored of an answer before its body: a line of JSON.
type head struct {
	Asked  string      `json:"asked"` // a hash of the request, in hexadecimal digits
	Status int         `json:"status"`
	Header http.Header `json:"header"`
}

func encode(asked string, a *Answer) ([]byte, error) {
	line, err := json.Marshal(head{asked, a.Status, a.Fields})
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return append(append(line, '\n'), a.Body...), nil
}

func decode(data []byte) (asked string, a *Answer, err error) {
	line, body, _ := bytes.Cut(data, []byte("\n"))
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return "", nil, fmt.Errorf("reading a stored answer: %w", err)
	}
	return h.Asked, &Answer{Status: h.Status, Fields: h.Header, Body: body}, nil
}
