package portal

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// page is a path and who serves it.
type page struct {
	pattern string // of http.ServeMux
	section string // the label of the navigation's item that it belongs to
	handle  func(*visit) error
	open    bool // it needs no session
}

// What a session can do, as far as pages differ by it. The API says so; a page leaves out what it would refuse.
const (
	payloads      = "payloads"
	endpoints     = "endpoints"
	readSecrets   = "secrets:read"
	rotateSecrets = "secrets:rotate"
	test          = "test"
	replay        = "replay"
)

// visit is a request for a page.
type visit struct {
	*http.Request

	portal  *Portal
	w       http.ResponseWriter
	page    page
	api     *client.Client  // with the session's key; nil: there is no session
	session *client.Session // nil: there is none
	left    left            // by a session that has been there
	lang    string
}

// serve returns the handler of a page.
func (p *Portal) serve(page page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, pages.MaxForm)
		v := &visit{Request: r, portal: p, w: w, page: page, left: leftBy(r)}
		if len(v.left.Origins) == 0 {
			v.left.Origins = p.cfg.Origins // who frames the portal is to see that there is no session
		}

		err := v.begin() //nolint:contextcheck // a visit has its request's
		if err == nil {
			err = page.handle(v)
		}
		if err != nil {
			v.fail(err) //nolint:contextcheck // a visit has its request's
		}
	})
}

// errNoSession leads to the page that says so.
var errNoSession = errors.New("there is no session")

// begin finds out who looks, in which language, and whose page may be around it.
func (v *visit) begin() (err error) {
	defer v.speak()
	if v.page.open {
		letFrame(v.w.Header(), "*") // it shows nothing, and what it leads to says whose page it may be in
		return nil
	}

	letFrame(v.w.Header(), v.left.Origins...)
	cookie, err := v.Cookie(sessionCookie)
	if err != nil {
		return errNoSession
	}
	if v.api, err = v.portal.client(cookie.Value); err != nil {
		return errNoSession
	}
	session, err := v.api.GetSession(v.ctx())
	if err != nil {
		return err
	}
	if session.Portal == nil || session.ExpiresAt == nil || session.TenantID == nil {
		return errNoSession // a key of another kind has no business here
	}

	v.session, v.left = session, v.portal.leave(session.Portal)
	letFrame(v.w.Header(), v.left.Origins...)
	return nil
}

// speak chooses the language of the page.
func (v *visit) speak() {
	v.lang = v.portal.languages.Choose(v.left.Locale, v.Header.Get("Accept-Language"))
	v.Request = v.WithContext(v.portal.languages.With(v.Context(), v.lang))
}

// t returns a text in the page's language.
func (v *visit) t(text string) string { return web.T(v.Context(), text) }

// f is t of a text with verbs, in whose places args stand.
func (v *visit) f(format string, args ...any) string { return web.F(v.Context(), format, args...) }

// ctx is the context of requests to the API.
func (v *visit) ctx() context.Context { return pages.WithBrowser(v.Context(), v.w, v.Request) }

// can tells whether the session has a capability.
func (v *visit) can(capability string) bool {
	return v.session != nil && slices.Contains(v.session.Portal.Capabilities, capability)
}

// needs refuses a page to those whose form the API would refuse.
func (v *visit) needs(capability string) error {
	if v.can(capability) {
		return nil
	}
	return pages.Refusal(http.StatusForbidden, "")
}

// query returns a parameter of the page.
func (v *visit) query(name string) string { return v.URL.Query().Get(name) }

// pathWith returns the page's path with another value of a parameter; "": without it.
func (v *visit) pathWith(name, value string) string {
	query := v.URL.Query()
	query.Set(name, value)
	if value == "" {
		query.Del(name)
	}
	return (&url.URL{Path: v.URL.Path, RawQuery: query.Encode()}).String()
}

// paging leads from a page of a list to the next one and to the first.
func (v *visit) paging(next *string) (p web.Paging) {
	if v.query("cursor") != "" {
		p.First = v.pathWith("cursor", "")
	}
	if next != nil {
		p.Next = v.pathWith("cursor", *next)
	}
	return p
}

// framed tells whether the page is to be in another one.
func (v *visit) framed() bool { return isFramed(v.Request) }

// shell returns what is around a page.
func (v *visit) shell(title string) web.PortalShell {
	s := web.PortalShell{
		Shell: web.Shell{
			Title: title, Base: v.portal.assets.Base, Product: v.t("Webhooks"), Language: v.lang, Toast: v.toast(),
			Sheet: v.portal.sheet,
		},
		Origins: strings.Join(v.left.Origins, " "), ReturnURL: v.left.ReturnURL, Leaves: v.session != nil && !v.framed(),
	}

	if v.left.Theme == "light" || v.left.Theme == "dark" {
		s.Theme = v.left.Theme
	}
	if v.session != nil {
		s.Items = navigation(v.page.section)
	}
	return s
}

// fresh is a shell whose regions are read again.
func (v *visit) fresh(title string) web.PortalShell {
	s := v.shell(title)
	s.Refresh = refreshSeconds
	return s
}

// refreshSeconds is after how long a page that somebody looks at is read again.
const refreshSeconds = 5

// show answers with a page.
func (v *visit) show(c templ.Component) error { return v.write(http.StatusOK, c) }

func (v *visit) write(status int, c templ.Component) error {
	return pages.Write(v.w, v.Request, status, c)
}

// back answers a change: it leads to a page, which says what was done.
func (v *visit) back(path, done string) error {
	http.Redirect(v.w, v.Request, path+"?done="+url.QueryEscape(done), http.StatusSeeOther)
	return nil
}

// toast returns what the page says of what was just done: one of some texts, since anybody can make a link.
func (v *visit) toast() *web.Toast {
	ok := func(text string) *web.Toast { return &web.Toast{Tone: "ok", Text: text} }

	switch v.query("done") {
	case "retried":
		return ok(v.t("The next attempt is on its way."))
	case "paused":
		return ok(v.t("Paused: events wait."))
	case "enabled":
		return ok(v.t("Enabled: what waited is sent."))

	case "saved":
		return ok(v.t("Saved."))
	case "deleted":
		return ok(v.t("The endpoint is deleted."))
	case "recovering":
		return ok(v.t("Ordered: it goes on in the background."))
	}
	return nil
}

// fail answers with what went wrong.
func (v *visit) fail(err error) {
	refused, isRefusal := pages.AsRefusal(err)
	switch {
	case errors.Is(err, errNoSession), isRefusal && refused.Status == http.StatusUnauthorized:
		v.session = nil
		v.sayEnded(http.StatusUnauthorized)
		return
	case v.Context().Err() != nil:
		return // nobody waits for it
	}

	p := v.problem(err)
	if err := v.write(p.Status, web.PortalSorryPage(v.shell(p.Title), p)); err != nil {
		v.portal.cfg.Logger.ErrorContext(v.Context(), "rendering a page failed", slog.String("error", err.Error()))
	}
}

// problem returns what a person is told of an error.
func (v *visit) problem(err error) web.Problem {
	p := web.Problem{
		Status: http.StatusInternalServerError, Title: v.t("Something went wrong"), Detail: v.t("Try again in a moment."),
		RequestID: v.w.Header().Get("X-Request-Id"), Back: web.Crumb{Label: v.t("To your endpoints"), Href: "/portal"},
	}
	if v.session == nil {
		p.Back = web.Crumb{}
	}

	refused, ok := pages.AsRefusal(err)
	if !ok {
		v.portal.cfg.Logger.ErrorContext(v.Context(), "a page of the portal failed", slog.String("path", v.page.pattern),
			slog.String("error", err.Error()))
		return p
	}

	p.Status, p.RetryAfter = refused.Status, int(refused.RetryAfter.Seconds())
	switch refused.Status {
	case http.StatusForbidden:
		p.Title, p.Detail = v.t("Not with this session"), v.t("You may look here, and not do this.")
	case http.StatusNotFound:
		p.Title, p.Detail = v.t("There is nothing here"), v.t("It never was, was deleted, or is older than what is kept.")
	case http.StatusConflict, http.StatusPreconditionFailed:
		p.Title, p.Detail = v.t("It has changed in the meantime"), v.t(pages.Sentence(refused.Detail))
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		p.Title, p.Detail = v.t("That is not valid"), v.t(pages.Sentence(refused.Error()))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.Title, p.Detail = v.t("Busy"), v.t("There is much to do at this moment.")
	}
	return p
}

func notFound(*visit) error { return pages.Refusal(http.StatusNotFound, "") }
