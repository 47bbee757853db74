package console

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/logthrottle"
	"github.com/outhook/outhook/internal/oidc"
)

const (
	// loginCookie holds the login that a browser has begun, and the page that it is to see then. With this prefix it
	// is this host's alone, so nobody else can begin a login for it.
	loginCookie = "__Host-outhook-oidc"

	// loginLife is how long somebody may take at the provider.
	loginLife = 10 * time.Minute

	// maxNext bounds the address of the page in bytes: a longer one is forgotten.
	maxNext = 1 << 10

	// personName begins the name of a person's session. That of a key's begins with another word.
	personName = "oidc: "
)

// peoplePages are those of OpenID Connect. None changes anything but for who holds the cookie, so links lead to them:
// what a form's policy admits ends at this host.
func (c *Console) peoplePages() []page {
	if c.cfg.People == nil {
		return nil
	}
	return []page{
		{"GET /console/oidc", "", beginLogin, true},
		{"GET /console/oidc/callback", "", finishLogin, true},
		{"GET /console/oidc/logout", "", leaveProvider, true},
	}
}

// isPerson tells whether the provider let in who looks.
func (v *visit) isPerson() bool {
	return v.console.cfg.People != nil && v.session != nil && strings.HasPrefix(v.session.Name, personName)
}

func beginLogin(v *visit) error {
	l := oidc.NewLogin()
	address, err := v.console.cfg.People.Begin(v.Context(), l)
	if err != nil {
		return v.providerFault(err)
	}

	next := inside(v.query("next"))
	if len(next) > maxNext {
		next = ""
	}
	v.keepLogin(l.String()+"."+base64.RawURLEncoding.EncodeToString([]byte(next)), loginLife)
	http.Redirect(v.w, v.Request, address, http.StatusSeeOther)
	return nil
}

// finishLogin takes what the provider sent the browser back with, once: whatever comes of it, the login is over.
func finishLogin(v *visit) error {
	l, next := v.begun()
	v.keepLogin("", -time.Second)

	who, err := v.console.cfg.People.Finish(v.Context(), l, v.URL.Query())
	if err != nil {
		return v.providerFault(err)
	}
	key, expiresAt, err := v.console.cfg.OpenSession(v.Context(), who)
	if err != nil {
		return fmt.Errorf("making a session: %w", err)
	}
	v.keep(key, expiresAt)
	http.Redirect(v.w, v.Request, inside(next), http.StatusSeeOther)
	return nil
}

// leaveProvider leads to where people end their session with the provider.
func leaveProvider(v *visit) error {
	address, err := v.console.cfg.People.Logout(v.Context())
	if err != nil {
		return v.providerFault(err)
	}
	if address == "" {
		return v.providerAnswer(http.StatusOK, v.console.cfg.People.Host()+" has no way to log out from here: do it there.")
	}
	http.Redirect(v.w, v.Request, address, http.StatusSeeOther)
	return nil
}

// begun returns the login that this browser has begun, and the page that it is to see then. Of a browser that has begun
// none it is one that nobody else has, to which no answer belongs.
func (v *visit) begun() (l oidc.Login, next string) {
	cookie, err := v.Cookie(loginCookie)
	if err != nil {
		return oidc.NewLogin(), ""
	}
	text, rest, _ := strings.Cut(cookie.Value, ".")
	l, ok := oidc.ParseLogin(text)
	if !ok {
		return oidc.NewLogin(), ""
	}

	page, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return l, ""
	}
	return l, string(page)
}

func (v *visit) keepLogin(value string, life time.Duration) {
	http.SetCookie(v.w, &http.Cookie{
		Name: loginCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life.Seconds()),
	})
}

// providerFault says why nobody was let in. Keys are taken still.
func (v *visit) providerFault(err error) error {
	host := v.console.cfg.People.Host()
	var refused *oidc.RefusedError
	var unknown *oidc.NoRoleError
	switch {
	case errors.As(err, &unknown):
		v.logFault(slog.LevelWarn, "no_role", err)
		return v.noRole(unknown)

	case errors.As(err, &refused):
		v.logFault(slog.LevelWarn, "refused", err)
		text := fmt.Sprintf("%s did not let you in: %s.", host, refused.Code)
		if refused.Description != "" {
			text += fmt.Sprintf(" It says “%s”.", refused.Description)
		}
		return v.providerAnswer(http.StatusForbidden, text)

	case errors.Is(err, oidc.ErrAway):
		v.logFault(slog.LevelWarn, "away", err)
		return v.providerAnswer(http.StatusServiceUnavailable, host+" can't be reached, or is not set up as it should be: "+
			"the log of the server has more. An API key logs you in as ever.")

	case errors.Is(err, oidc.ErrOtherLogin):
		v.logFault(slog.LevelDebug, "other_login", err) // anybody can send such requests
		return v.providerAnswer(http.StatusBadRequest, "This login was begun elsewhere, is over already, or "+
			"took more than 10 minutes. If that happens again, your browser keeps no cookie of this address: "+
			"it does so over https. Begin again.")

	case errors.Is(err, oidc.ErrInvalid):
		v.logFault(slog.LevelWarn, "invalid", err)
		return v.providerAnswer(http.StatusBadGateway, host+" gave no valid answer: the log of the server has more.")
	}
	return err
}

func (v *visit) logFault(level slog.Level, cause string, err error) {
	ctx := v.Context()
	v.console.calm.LogAttrs(ctx, level, "nobody was logged in with OpenID Connect",
		slog.String(logthrottle.Cause, cause), slog.String("error", err.Error()),
		slog.String("request_id", v.w.Header().Get("X-Request-Id")))
}

func (v *visit) providerAnswer(status int, fault string) error {
	l := v.login()
	l.ProviderFault = fault
	return v.console.write(v.w, v.Request, status, web.LoginPage(v.shell("Log in"), l))
}

// noRole tells somebody whom the provider knows that nothing is open to them here. The roles are not theirs to read.
func (v *visit) noRole(unknown *oidc.NoRoleError) error {
	found := fmt.Sprintf("has %d groups, and none of them may do anything here", unknown.Groups)
	switch unknown.Groups {
	case 0:
		found = "has no group"
	case 1:
		found = "has one group, which may do nothing here"
	}

	p := web.Problem{
		Status: http.StatusForbidden, Title: "Nothing here is open to you",
		Detail: fmt.Sprintf("%s knows you as %s. Of you the claim %s %s. Ask whoever runs this server: your groups decide. "+
			"A change of them counts from the next login on.", v.console.cfg.People.Host(), unknown.Name, unknown.Claim, found),
		RequestID: v.w.Header().Get("X-Request-Id"), Back: web.Crumb{Label: "To the login", Href: "/console/login?out=1"},
	}
	return v.console.write(v.w, v.Request, p.Status, web.SorryPage(v.shell(p.Title), p))
}
