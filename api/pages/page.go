package pages

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/outhook/outhook/api/web"
)

// MaxForm bounds what a form sends, in bytes.
const MaxForm = 128 << 10

// NewNonce returns what a page's policy and its script have in common.
func NewNonce() string {
	b := make([]byte, 16)
	rand.Read(b) // never returns an error: crypto/rand ends the process instead
	return base64.RawStdEncoding.EncodeToString(b)
}

// Write renders a page whole, so that one that fails is none, and sends it.
func Write(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
	return nil
}

// Sent returns the fields of a form by name, with \n at the ends of lines; several of one name stand in lines. It must
// be read before any of it is used: what is too long has no fields at all.
func Sent(r *http.Request) (map[string]string, error) {
	if err := r.ParseForm(); err != nil {
		if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, Refusal(http.StatusRequestEntityTooLarge,
				"the form is longer than "+web.Count(int(tooLong.Limit))+" bytes")
		}
		return nil, Refusal(http.StatusBadRequest, "this is no form")
	}

	t := map[string]string{}
	for name, values := range r.PostForm {
		t[name] = PlainLines(strings.Join(values, "\n"))
	}
	return t, nil
}

// PlainLines ends the lines of a form's text as others do: a browser's end with \r\n.
func PlainLines(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}
