package portal

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

const (
	// sessionCookie holds the key of the session. With this prefix it is this host's alone, and sent over TLS alone, or to
	// the browser's own machine.
	sessionCookie = "__Host-outhook-portal"

	// leftCookie holds what the page of an ended session needs: the session itself is gone then.
	leftCookie = "__Host-outhook-portal-left"
	leftLife   = 30 * 24 * time.Hour
)

// left is what a session leaves behind: how its page looks, where it leads back to, whom it may be framed by. It gives
// nobody any right.
type left struct {
	Origins   []string `json:"o,omitempty"`
	ReturnURL string   `json:"r,omitempty"`
	Locale    string   `json:"l,omitempty"`
	Theme     string   `json:"t,omitempty"`
}

// leave returns what a session leaves behind. The link's own origins come before those of the configuration.
func (p *Portal) leave(g *client.PortalGrant) left {
	l := left{Origins: g.Origins, ReturnURL: g.ReturnURL, Locale: g.Locale, Theme: g.Theme}
	if len(l.Origins) == 0 {
		l.Origins = p.cfg.Origins
	}
	return l
}

// leftBy reads it. A browser may send anything: an origin that could not be one is none.
func leftBy(r *http.Request) (l left) {
	cookie, err := r.Cookie(leftCookie)
	if err != nil {
		return left{}
	}
	data, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(data, &l) != nil {
		return left{}
	}

	l.Origins = slices.DeleteFunc(l.Origins, func(o string) bool {
		return !strings.HasPrefix(o, "https://") && !strings.HasPrefix(o, "http://") ||
			strings.ContainsAny(o, "*;, '\"\r\n\t")
	})
	if !strings.HasPrefix(l.ReturnURL, "https://") && !strings.HasPrefix(l.ReturnURL, "http://") {
		l.ReturnURL = ""
	}
	return l
}

// isFramed tells whether a document goes into a frame of another one.
func isFramed(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return true
	}
	return false
}

// keep gives the browser a cookie; "" takes it away. In a frame it belongs to the page around it: another site that
// frames the portal gets none. What there was of the other kind goes, so that the session that was opened last counts.
func (v *visit) keep(name, value string, expires time.Time) {
	own := &http.Cookie{
		Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, Expires: expires,
	}
	framed := *own //nolint:gosec // G124: it has what own has
	framed.SameSite, framed.Partitioned = http.SameSiteNoneMode, true

	kept, gone := own, &framed //nolint:gosec // G124: the same
	if v.framed() {
		kept, gone = gone, kept
	}
	gone.Value, gone.Expires, gone.MaxAge = "", time.Time{}, -1
	if value == "" {
		kept.Expires, kept.MaxAge = time.Time{}, -1
	}
	http.SetCookie(v.w, gone)
	http.SetCookie(v.w, kept)
}

func enter(v *visit) error { return v.show(web.PortalEnterPage(v.shell(v.t("Opening…")), "")) }

// openSession exchanges the code of a link for a session.
func (p *Portal) openSession(v *visit) error {
	key, expiresAt, err := p.cfg.OpenSession(v.Context(), strings.TrimSpace(v.FormValue("key")))
	if err != nil {
		return err
	}
	if key == "" {
		return v.refuseLink()
	}

	api, err := p.client(key)
	if err != nil {
		return err
	}
	session, err := api.GetSession(v.ctx())
	if err != nil {
		return err
	}
	data, err := json.Marshal(p.leave(session.Portal))
	if err != nil {
		return err
	}
	v.keep(sessionCookie, key, expiresAt)
	v.keep(leftCookie, base64.RawURLEncoding.EncodeToString(data), time.Now().Add(leftLife))
	http.Redirect(v.w, v.Request, "/portal", http.StatusSeeOther)
	return nil
}

// refuseLink says that a link is good for nothing. Whoever opens it again, or goes back, may be in a session already.
func (v *visit) refuseLink() error {
	page := web.PortalEnterPage(v.shell(v.t("This link has been used")),
		v.t("A link can be opened once, and soon after it was made. Open this page again from where you came."))
	return v.write(http.StatusUnauthorized, page)
}

func logout(v *visit) error {
	if err := v.api.DeleteSessions(v.ctx()); err != nil {
		return err
	}
	v.keep(sessionCookie, "", time.Time{})
	v.session = nil
	v.sayEnded(http.StatusOK)
	return nil
}

// sayEnded says that there is no session, also to the page around it.
func (v *visit) sayEnded(status int) {
	page := web.PortalEndedPage(v.shell(v.t("Your session has ended")), strings.Join(v.left.Origins, " "))
	if err := v.write(status, page); err != nil {
		v.portal.cfg.Logger.ErrorContext(v.Context(), "rendering a page failed", slog.String("error", err.Error()))
	}
}
