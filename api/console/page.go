package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/a-h/templ"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/apikey"
)

// page is a path and who serves it.
type page struct {
	pattern string // of http.ServeMux
	section string // the label of the navigation's item that it belongs to
	handle  func(*visit) error
	open    bool // it needs no session
}

// Scopes of keys, as far as pages differ by them. What a key may do, the API says; a page leaves out what it would
// refuse.
const (
	scopeAdmin   = "admin"
	scopeTenant  = "tenant"
	scopeOperate = "operate"
)

// visit is a request for a page.
type visit struct {
	*http.Request

	console *Console
	w       http.ResponseWriter
	page    page
	api     *client.Client  // with the session's key; nil: nobody is logged in
	session *client.Session // nil: nobody is logged in
	began   time.Time
}

// serve returns the handler of a page.
func (c *Console) serve(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, pages.MaxForm)
		v := &visit{Request: r, console: c, w: w, page: p, began: time.Now()}
		if err := v.enter(); err != nil { //nolint:contextcheck // a visit has its request's
			v.fail(err) //nolint:contextcheck // the same
			return
		}
		if err := p.handle(v); err != nil {
			v.fail(err) //nolint:contextcheck // the same
		}
	})
}

// errNoSession leads to the page that takes a key.
var errNoSession = errors.New("nobody is logged in")

// enter finds out who looks. A page that is open to all asks nobody.
func (v *visit) enter() error {
	if v.page.open {
		return nil
	}
	cookie, err := v.Cookie(apikey.SessionCookie)
	if err != nil {
		return errNoSession
	}

	if v.api, err = v.console.client(cookie.Value); err != nil {
		return errNoSession
	}
	v.session, err = v.api.GetSession(v.ctx())
	return err
}

// client returns a client of the API with a key. Nothing is repeated: a person sees what came of a request, and
// repeats it.
func (c *Console) client(key string) (*client.Client, error) {
	return client.New("http://console", key, client.WithHTTPClient(c.inside), client.WithRepeats(0),
		client.WithUserAgent("outhook-console"))
}

// ctx is the context of requests to the API.
func (v *visit) ctx() context.Context { return pages.WithBrowser(v.Context(), v.w, v.Request) }

// may tells whether the session's scope is one of those.
func (v *visit) may(scopes ...string) bool {
	return slices.Contains(scopes, v.session.Scope)
}

// operates tells whether the session may replay, pause and test.
func (v *visit) operates() bool { return v.may(scopeAdmin, scopeTenant, scopeOperate) }

// owns tells whether the session may do everything with an object.
func (v *visit) owns() bool { return v.may(scopeAdmin, scopeTenant) }

// shell returns what is around a page.
func (v *visit) shell(title string) web.Shell {
	s := web.Shell{
		Title: title, Base: v.console.assets.Base, Theme: theme(v.Request), Path: v.URL.RequestURI(), Toast: v.toast(),
	}
	if v.session == nil {
		return s
	}

	s.Session = web.Session{Name: v.session.Name, Scope: v.session.Scope}
	if v.session.TenantID != nil {
		s.Session.TenantID = *v.session.TenantID
	}
	if v.session.ExpiresAt != nil {
		s.Session.ExpiresAt = *v.session.ExpiresAt
	}
	s.Nav = v.console.navigation(v.page.section, s.Session)
	return s
}

// fresh is a shell whose regions are read again.
func (v *visit) fresh(title string) web.Shell {
	s := v.shell(title)
	s.Refresh = refreshSeconds
	return s
}

// refreshSeconds is after how long a page that somebody looks at is read again.
const refreshSeconds = 5

// show answers with a page.
func (v *visit) show(c templ.Component) error {
	return v.console.write(v.w, v.Request, http.StatusOK, c)
}

// write sends a page.
func (c *Console) write(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	return pages.Write(w, r, status, page)
}

// refuse answers a request that is nobody's.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, p web.Problem) {
	s := web.Shell{Title: p.Title, Base: c.assets.Base, Theme: theme(r)}
	if err := c.write(w, r, p.Status, web.SorryPage(s, p)); err != nil { //nolint:contextcheck // r has it
		c.cfg.Logger.ErrorContext(r.Context(), "rendering a page failed", slog.String("error", err.Error()))
	}
}

// back answers a change: it leads to a page, which says what was done.
func (v *visit) back(path string, done string) error {
	if done != "" {
		path += "?done=" + url.QueryEscape(done)
	}
	http.Redirect(v.w, v.Request, path, http.StatusSeeOther)
	return nil
}

// fail answers with what went wrong.
func (v *visit) fail(err error) {
	var refused *client.Error
	switch {
	case errors.Is(err, errNoSession), errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		v.toLogin()
		return
	case v.Context().Err() != nil:
		return // nobody waits for it
	}

	p := v.problem(err)
	s := v.shell(p.Title)
	if err := v.console.write(v.w, v.Request, p.Status, web.SorryPage(s, p)); err != nil {
		v.console.cfg.Logger.ErrorContext(v.Context(), "rendering a page failed", slog.String("error", err.Error()))
	}
}

// problem returns what a person is told of an error.
func (v *visit) problem(err error) web.Problem {
	p := web.Problem{
		Status: http.StatusInternalServerError, Title: "Something went wrong", Detail: "The log of the server has more.",
		RequestID: v.w.Header().Get("X-Request-Id"), Back: web.Crumb{Label: "To the overview", Href: "/console"},
	}

	var refused *client.Error
	if !errors.As(err, &refused) {
		v.console.cfg.Logger.ErrorContext(v.Context(), "a page failed", slog.String("path", v.page.pattern),
			slog.String("error", err.Error()))
		return p
	}

	p.Status, p.Detail, p.RetryAfter = refused.Status, pages.Sentence(refused.Error()), int(refused.RetryAfter.Seconds())
	switch refused.Status {
	case http.StatusForbidden:
		p.Title = "Not with this key"
	case http.StatusNotFound:
		p.Title, p.Detail = "There is nothing here",
			"Nothing has this id: it never was, was deleted, is older than what is kept, or is not yours."
	case http.StatusConflict, http.StatusPreconditionFailed:
		p.Title = "It has changed in the meantime"
	case http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		p.Title = "That is not valid"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.Title = "Busy"
	}
	return p
}

func notFound(*visit) error {
	return &client.Error{Problem: client.Problem{Status: http.StatusNotFound}}
}
