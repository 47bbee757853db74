package console

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// texts are the fields of a form, by name, with \n at the ends of lines. Several of one name stand in lines.
type texts map[string]string

// faults are what is wrong with a form.
type faults = pages.Faults

// tokenField holds what a form is repeated with: sent twice, it does what it does once.
const tokenField = "token"

// sent returns the fields of a form. It must be read before any of it is used: what is too long has none at all.
func (v *visit) sent() (texts, error) { return pages.Sent(v.Request) }

// needs refuses a page to those whose form the API would refuse.
func (v *visit) needs(scopes ...string) error {
	if v.may(scopes...) {
		return nil
	}
	return pages.Refusal(http.StatusForbidden, "this takes a key with the scope "+strings.Join(scopes, " or "))
}

// newToken is the hidden field of a form that must do once what it does.
func newToken() web.Input {
	return web.Input{Name: tokenField, Value: uuid.NewString(), Hidden: true}
}

// number is what the API gets of a field for a number: null for nothing, and for what is none the text, which it
// refuses.
func number(text string) any {
	text = strings.TrimSpace(text)
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return orNull(text)
}

// orNull returns nil for an empty text.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// words returns what stands in a text with white space or commas between.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// minuteLayout is how a browser writes a moment that somebody has chosen. Ours are in UTC, as the label says.
const minuteLayout = "2006-01-02T15:04"

// moment reads one. What is none is the zero time, which filters nothing.
func moment(text string) time.Time {
	for _, layout := range []string{minuteLayout, minuteLayout + ":05", time.RFC3339} {
		if at, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return at
		}
	}
	return time.Time{}
}

func (t texts) input(f faults, name, label, kind, placeholder, help string) web.Input {
	return web.Input{
		Name: name, Label: label, Type: kind, Value: t[name], Placeholder: placeholder, Help: help, Fault: f[name],
	}
}

// pick is a select; its options are value, label, and so on.
func (t texts) pick(f faults, name, label, help string, options ...string) web.Input {
	in := t.input(f, name, label, "select", "", help)
	for i := 0; i+1 < len(options); i += 2 {
		in.Options = append(in.Options, web.Option{
			Value: options[i], Label: options[i+1], Selected: options[i] == t[name],
		})
	}
	return in
}

// checks are check boxes of one name, of which some may be set.
func (t texts) checks(f faults, name, label, help string, options ...string) web.Input {
	in := t.input(f, name, label, "checkboxes", "", help)
	set := "\n" + t[name] + "\n"
	for i := 0; i+1 < len(options); i += 2 {
		in.Options = append(in.Options, web.Option{
			Value: options[i], Label: options[i+1], Selected: strings.Contains(set, "\n"+options[i]+"\n"),
		})
	}
	return in
}

// required marks a field that must be filled in.
func required(in web.Input) web.Input {
	in.Required = true
	return in
}

// showForm shows a form; again, with what is wrong with it, if status is that of a refusal.
func (v *visit) showForm(status int, title string, crumb web.Crumb, f web.Form) error {
	page := web.FormPage(v.shell(title), title, []web.Crumb{crumb}, f)
	return v.console.write(v.w, v.Request, cmp.Or(status, http.StatusOK), page)
}
