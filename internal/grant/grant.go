// Package grant says what a session of the portal may do, and reads the order for a link to it.
//
// [Grant] is what api_keys.portal holds; begin with [DecodeOrder]. It knows no requests and no database.
package grant

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// Capability is something that a session of the portal may do. A route that names none admits no such session.
type Capability string

// What a session may do; each may view.
const (
	View          Capability = "view"
	SeePayloads   Capability = "payloads"
	EditEndpoints Capability = "endpoints"
	ReadSecrets   Capability = "secrets:read"
	RotateSecrets Capability = "secrets:rotate"
	Test          Capability = "test"
	Replay        Capability = "replay"
)

func capabilities() []string {
	return []string{
		string(View), string(SeePayloads), string(EditEndpoints), string(ReadSecrets),
		string(RotateSecrets), string(Test), string(Replay),
	}
}

const (
	// portalLife is how long a session of the portal lives, unless its maker says otherwise.
	portalLife    = time.Hour
	minPortalLife = time.Minute
	maxPortalLife = 7 * 24 * time.Hour

	// linkLife is how long a link can be opened, unless its maker says otherwise.
	linkLife    = time.Minute
	maxLinkLife = 12 * time.Hour

	maxPortalLabel   = 200
	maxPortalOrigins = 10
	maxReturnURL     = 2000
)

// Grant is what a session of the portal is for. It is stored as it stands here.
type Grant struct {
	Label        string   `json:"label" example:"alice@acme.example" doc:"For whom it was made: it stands in the audit trail."`
	Capabilities []string `json:"capabilities" nullable:"false" enum:"view,payloads,endpoints,secrets:read,secrets:rotate,test,replay" doc:"What it may do."`
	Origins      []string `json:"origins" nullable:"false" doc:"Whose pages may frame it. Empty: those of OUTHOOK_PORTAL_ORIGINS."`
	ReturnURL    string   `json:"return_url" doc:"Where the portal leads back to. Empty: nowhere."`
	Locale       string   `json:"locale" enum:",en,de" doc:"Its language. Empty: the browser's."`
	Theme        string   `json:"theme" enum:"auto,light,dark" doc:"auto: as the browser has it."`
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (*Grant) SchemaName() string { return "PortalGrant" }

// Can tells whether a session may do something. A nil one may do nothing.
func (g *Grant) Can(c Capability) bool {
	return g != nil && c != "" && (c == View || slices.Contains(g.Capabilities, string(c)))
}

// NewPortalLink documents the body that makes a link; DecodeOrder reads it.
type NewPortalLink struct {
	_ struct{} `additionalProperties:"false"`

	TenantID       string   `json:"tenant_id,omitempty" minLength:"1" maxLength:"255" example:"acme" doc:"Whose portal it opens. Absent: that of the tenant that the key is bound to."`
	Label          string   `json:"label,omitempty" maxLength:"200" example:"alice@acme.example" doc:"For whom it is made: it stands in the audit trail."`
	Capabilities   []string `json:"capabilities,omitempty" enum:"view,payloads,endpoints,secrets:read,secrets:rotate,test,replay" doc:"What the session may do: view (in any case), payloads (see payloads, and the bodies of answers), endpoints (create, change, pause and delete them), secrets:read and secrets:rotate, test, replay. Absent: all of it."`
	ExpiresInS     int      `json:"expires_in_s,omitempty" minimum:"60" maximum:"604800" default:"3600" doc:"For how many seconds from now the session is good."`
	LinkExpiresInS int      `json:"link_expires_in_s,omitempty" minimum:"1" maximum:"43200" default:"60" doc:"For how many seconds the link can be opened, once."`
	Origins        []string `json:"origins,omitempty" maxItems:"10" example:"[\"https://app.example.com\"]" doc:"Whose pages may frame the portal: schemes and hosts, with a port if they have one. Absent: those of OUTHOOK_PORTAL_ORIGINS."`
	ReturnURL      string   `json:"return_url,omitempty" maxLength:"2000" example:"https://app.example.com/settings" doc:"Where the portal leads back to."`
	Locale         string   `json:"locale,omitempty" enum:"en,de" doc:"The language. Absent: the browser's."`
	Theme          string   `json:"theme,omitempty" enum:"auto,light,dark" default:"auto" doc:"auto: as the browser has it."`
}

// Order is a link that is to be made.
type Order struct {
	TenantID           string
	Grant              Grant
	Lasts, CanBeOpened time.Duration
}

// DecodeOrder reads the body that makes a link. own is the tenant that the key is bound to, or "".
func DecodeOrder(body []byte, own string) (o Order, err error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return o, err
	}

	o = Order{
		TenantID: own, Lasts: portalLife, CanBeOpened: linkLife,
		Grant: Grant{Capabilities: capabilities(), Origins: []string{}, Theme: "auto"},
	}
	var f problem.Faults
	strictjson.EachMember(object, "body", &f, func(name string, value json.RawMessage) bool {
		return o.set(name, value, &f)
	})

	switch {
	case len(f) > 0:
	case o.TenantID == "":
		f.Add("body.tenant_id", "is required: the key is bound to no tenant")
	default:
		if fault := o.Grant.fault(); fault != "" {
			f.Add("body.label", fault)
		}
	}
	return o, f.Problem(problem.InvalidRequest)
}

// set takes a member of the body, and tells whether there is one with this name.
func (o *Order) set(name string, value json.RawMessage, f *problem.Faults) bool {
	at := "body." + name
	switch name {
	case "tenant_id":
		o.TenantID = strictjson.Text(value, at, f)
	case "label":
		o.Grant.Label = strictjson.Text(value, at, f)
	case "capabilities":
		o.Grant.Capabilities = []string{}
		for i, c := range oneOfEach(strictjson.Texts(value, at, f), string(View)) {
			if c = oneOf(c, strictjson.ElementLocation(at, i), f, capabilities()...); c != "" {
				o.Grant.Capabilities = append(o.Grant.Capabilities, c)
			}
		}

	case "expires_in_s":
		o.Lasts = seconds(value, at, f, minPortalLife, maxPortalLife)
	case "link_expires_in_s":
		o.CanBeOpened = seconds(value, at, f, time.Second, maxLinkLife)
	case "origins":
		o.Grant.Origins = origins(strictjson.Texts(value, at, f), at, f)
	case "return_url":
		o.Grant.ReturnURL = returnURL(strictjson.Text(value, at, f), at, f)
	case "locale":
		o.Grant.Locale = oneOf(strictjson.Text(value, at, f), at, f, "en", "de")
	case "theme":
		o.Grant.Theme = oneOf(strictjson.Text(value, at, f), at, f, "auto", "light", "dark")
	default:
		return false
	}
	return true
}

// fault returns what is wrong with the label, or "".
func (g *Grant) fault() string {
	switch {
	case utf8.RuneCountInString(g.Label) > maxPortalLabel:
		return fmt.Sprintf("must have at most %d characters", maxPortalLabel)
	case !utf8.ValidString(g.Label) || strings.ContainsFunc(g.Label, unicode.IsControl):
		return "must be UTF-8 without control characters"
	}
	return ""
}

// oneOfEach returns a list with what must be in it, without what stands there twice.
func oneOfEach(list []string, must string) []string {
	each := []string{must}
	for _, text := range list {
		if !slices.Contains(each, text) {
			each = append(each, text)
		}
	}
	return each
}

// oneOf returns a text if it is one of some, else "" and a fault.
func oneOf(text, at string, f *problem.Faults, some ...string) string {
	if slices.Contains(some, text) {
		return text
	}
	f.Add(at, "must be one of "+strings.Join(some, ", "))
	return ""
}

func seconds(value json.RawMessage, at string, f *problem.Faults, least, most time.Duration) time.Duration {
	before := len(*f)
	d := time.Duration(strictjson.Integer(value, at, f)) * time.Second
	if len(*f) == before && (d < least || d > most) {
		f.Add(at, fmt.Sprintf("must be %d to %d", int(least.Seconds()), int(most.Seconds())))
	}
	return d
}

func origins(list []string, at string, f *problem.Faults) []string {
	if len(list) > maxPortalOrigins {
		f.Add(at, fmt.Sprintf("must have at most %d entries", maxPortalOrigins))
		return nil
	}

	all := []string{}
	for i, text := range list {
		origin, err := ParseOrigin(text)
		if err != nil {
			f.Add(strictjson.ElementLocation(at, i), err.Error())
		}
		all = append(all, origin)
	}
	return all
}

func returnURL(text, at string, f *problem.Faults) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || !isWebScheme(u) || len(text) > maxReturnURL {
		f.Add(at, fmt.Sprintf("must be a URL that begins with https://, of at most %d bytes", maxReturnURL))
		return ""
	}
	return u.String()
}

// ParseOrigin returns an origin as browsers write it: a scheme and a host, and a port unless it is the usual one.
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" ||
		u.Fragment != "" || !isWebScheme(u) || !isPlainHost(u.Host) {
		return "", fmt.Errorf("must be the scheme and the host of pages, like https://app.example.com, and a port " +
			"if they have one; http:// only on this machine")
	}

	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host, nil
}

// isPlainHost tells whether a host can stand in a policy as it is: nothing in it ends an entry, or stands for others.
func isPlainHost(host string) bool {
	return !strings.ContainsFunc(host, func(r rune) bool {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:[]", r)
		return !plain
	})
}

// isWebScheme tells whether a page may be there: over https, and on the browser's own machine without.
func isWebScheme(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") ||
		err == nil && addr.IsLoopback()
	return u.Scheme == "http" && local
}
