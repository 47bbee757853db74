package pages

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
)

// Faults are what is wrong with a form, by the field's name; "": with the whole of it.
type Faults map[string]string

// AsRefusal returns the API's refusal.
func AsRefusal(err error) (*client.Error, bool) { return errors.AsType[*client.Error](err) }

// IsGone tells whether the API has nothing of that id, or shows it to somebody else.
func IsGone(err error) bool {
	refused, ok := AsRefusal(err)
	return ok && refused.Status == http.StatusNotFound
}

// IsBusy tells whether the API gave up because the database takes too long.
func IsBusy(err error) bool {
	refused, ok := AsRefusal(err)
	return ok && refused.Status == http.StatusServiceUnavailable
}

// Refusal is an answer of the API, or as if it were one.
func Refusal(status int, detail string) error {
	return &client.Error{Problem: client.Problem{Status: status, Detail: detail}}
}

// FaultsOf sorts what the API refuses by the fields of a form: fieldOf names that of a member. Of an error that no
// other text in the form would cure, ok is false.
func FaultsOf(err error, fieldOf func(member string) string) (f Faults, status int, ok bool) {
	refused, ok := AsRefusal(err)
	if !ok {
		return nil, 0, false
	}
	switch refused.Status {
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusConflict:
	default:
		return nil, 0, false
	}

	f = Faults{}
	for _, d := range refused.Errors {
		member, rest := d.Location, ""
		member, _ = strings.CutPrefix(member, "body")
		member, _ = strings.CutPrefix(member, "query")
		member, _ = strings.CutPrefix(member, ".")
		if i := strings.IndexAny(member, ".["); i >= 0 {
			member, rest = member[:i], within(member[i:])
		}
		if field := fieldOf(member); field != "" && f[field] == "" {
			f[field] = Sentence(strings.TrimSpace(rest + " " + d.Message))
		}
	}
	if len(f) == 0 {
		f[""] = Sentence(refused.Error())
	}
	return f, refused.Status, true
}

// within names a place in a member: [2] is the third entry, .name is a name.
func within(rest string) string {
	if at, found := strings.CutPrefix(rest, "["); found {
		at, _, _ = strings.Cut(at, "]")
		if n, err := strconv.Atoi(at); err == nil {
			return "entry " + strconv.Itoa(n+1)
		}
	}
	return strings.TrimPrefix(rest, ".")
}

// Sentence begins with a capital letter and ends with a full stop.
func Sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
