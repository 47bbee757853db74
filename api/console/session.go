package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/apikey"
)

const (
	themeCookie = "outhook-theme"
	themeLife   = 365 * 24 * time.Hour
)

func (v *visit) login() web.Login {
	l := web.Login{Next: v.FormValue("next")}
	if people := v.console.cfg.People; people != nil {
		l.Provider = people.Host()
	}
	return l
}

func login(v *visit) error {
	l := v.login()
	l.LoggedOut = l.Provider != "" && v.query("out") != ""
	if v.FormValue("kept") == "no" {
		l.Advice = "Your browser did not keep the session. " +
			"It does so over https, and on the machine that the console runs on."
	}
	return v.show(web.LoginPage(v.shell("Log in"), l))
}

func enter(v *visit) error { return v.show(web.EnterPage(v.shell("Opening the console"))) }

// postLogin exchanges a key, or the code of a one-time link, for a session.
func (c *Console) postLogin(v *visit) error {
	api, err := c.client(strings.TrimSpace(v.FormValue("key")))
	var session *client.Session
	if err == nil {
		session, err = api.CreateSession(v.ctx(), client.CreateSessionParams{})
	}

	var refused *client.Error
	switch {
	case err == nil:
	case errors.Is(err, client.ErrNoKey):
		return v.loginFault("Give an API key.")
	case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
		if refused.Status == http.StatusUnauthorized {
			return v.loginFault("This is no valid key, or the link was used already. `outhook console` makes another link.")
		}
		return v.loginFault(pages.Sentence(refused.Detail))
	default:
		return err
	}

	v.keep(session.Key, *session.ExpiresAt)
	http.Redirect(v.w, v.Request, inside(v.FormValue("next")), http.StatusSeeOther)
	return nil
}

// keep gives the browser its session.
func (v *visit) keep(key string, expiresAt time.Time) {
	http.SetCookie(v.w, &http.Cookie{
		Name: apikey.SessionCookie, Value: key, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Expires: expiresAt,
	})
}

func (v *visit) loginFault(fault string) error {
	l := v.login()
	l.Fault = fault
	return v.console.write(v.w, v.Request, http.StatusUnauthorized, web.LoginPage(v.shell("Log in"), l))
}

// inside returns a path of the console: what a form says may be anything.
func inside(path string) string {
	if u, err := url.Parse(path); err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path, "/console") &&
		!strings.Contains(path, "\\") {
		return path
	}
	return "/console"
}

// toLogin asks for a key, and then shows what was asked for.
func (v *visit) toLogin() {
	query := url.Values{}
	if v.Method == http.MethodGet && v.URL.Path != "/console" {
		query.Set("next", v.URL.RequestURI())
	}
	if _, err := v.Cookie(apikey.SessionCookie); err != nil && v.Referer() != "" {
		query.Set("kept", "no")
	}

	target := "/console/login"
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	http.Redirect(v.w, v.Request, target, http.StatusSeeOther)
}

func logout(v *visit) error {
	if err := v.api.DeleteSessions(v.ctx()); err != nil {
		return err
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: apikey.SessionCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1,
	})
	if v.isPerson() {
		return v.back("/console/login?out=1", "")
	}
	return v.back("/console/login", "")
}

// postTheme keeps the choice in a cookie of a year, which a script may read: it is no secret.
func postTheme(v *visit) error {
	choice := v.FormValue("theme")
	cookie := &http.Cookie{ //nolint:gosec // Secure where there is TLS: it is no secret
		Name: themeCookie, Value: choice, Path: "/console", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: v.TLS != nil, MaxAge: int(themeLife.Seconds()),
	}
	if choice != "light" && choice != "dark" {
		cookie.Value, cookie.MaxAge = "", -1
	}
	http.SetCookie(v.w, cookie)
	return v.back(inside(v.FormValue("back")), "")
}

// theme returns the choice of a browser: light, dark or "".
func theme(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err != nil || cookie.Value != "light" && cookie.Value != "dark" {
		return ""
	}
	return cookie.Value
}
