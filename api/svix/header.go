package svix

import (
	"net/http"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
)

// sensitive are the headers whose values Svix does not show. In the API they are secret headers.
//
//nolint:gochecknoglobals // a constant table
var sensitive = []string{
	"x-auth-token", "x-api-key", "www-authenticate", "authorization", "proxy-authenticate", "proxy-authorization",
}

func isSensitive(name string) bool { return slices.Contains(sensitive, strings.ToLower(name)) }

// split parts headers into those that are shown and those that are not.
func split(headers map[string]string) (shown, secret map[string]string) {
	shown, secret = map[string]string{}, map[string]string{}
	for name, value := range headers {
		if isSensitive(name) {
			secret[name] = value
		} else {
			shown[name] = value
		}
	}
	return shown, secret
}

func getHeaders(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	return v.reply(http.StatusOK, map[string]any{"headers": e.Headers, "sensitive": e.SecretHeaderNames})
}

func putHeaders(v *visit) error {
	var in struct {
		Headers map[string]string `json:"headers"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	e, err := v.endpoint()
	if err != nil {
		return err
	}

	shown, secret := split(in.Headers)
	before := map[string]string{}
	for _, name := range e.SecretHeaderNames {
		before[name] = ""
	}
	return v.setHeaders(e, replacing(folded(e.Headers), folded(shown)), replacing(folded(before), folded(secret)))
}

func patchHeaders(v *visit) error {
	var in struct {
		Headers map[string]*string `json:"headers"`
		Delete  []string           `json:"deleteHeaders"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	e, err := v.endpoint()
	if err != nil {
		return err
	}

	shown, secret := map[string]*string{}, map[string]*string{}
	set := func(name string, value *string) {
		if isSensitive(name) || slices.ContainsFunc(e.SecretHeaderNames, equalFold(name)) {
			secret[strings.ToLower(name)] = value
		} else {
			shown[strings.ToLower(name)] = value
		}
	}
	for name, value := range in.Headers {
		set(name, value)
	}
	for _, name := range in.Delete {
		set(name, nil)
	}
	return v.setHeaders(e, shown, secret)
}

func equalFold(name string) func(string) bool {
	return func(other string) bool { return strings.EqualFold(name, other) }
}

// folded writes the names small, as a patch compares them.
func folded(headers map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range headers {
		out[strings.ToLower(name)] = value
	}
	return out
}

func (v *visit) setHeaders(e client.Endpoint, shown, secret map[string]*string) error {
	change := map[string]any{"headers": shown, "secret_headers": secret}
	if err := v.ask(order{method: http.MethodPatch, path: endpointPath(e, ""), body: change}, nil); err != nil {
		return err
	}
	return v.done()
}
