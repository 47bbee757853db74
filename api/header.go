package api

import "github.com/labstack/echo/v4"

// uiPolicy lets River UI's own scripts run and no inline one; its styles are inline. It talks to this server alone.
const uiPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; " +
	"frame-ancestors 'none'"

// setHeaders forbids everything that an answer of an API has no use for. Pages are kept apart from those of other
// origins too; /docs sets a policy of its own.
func setHeaders(c echo.Context, id string) {
	h := c.Response().Header()
	h.Set(echo.HeaderXRequestID, id)
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderXFrameOptions, "DENY")
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")

	switch {
	case isUI(c.Path()):
		h.Set(echo.HeaderContentSecurityPolicy, uiPolicy)
		h.Set(echo.HeaderCacheControl, "no-store")
	case isAPI(c):
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		h.Set(echo.HeaderCacheControl, "no-store")
		return
	case isPage(c.Path()): // they have a policy of their own
	default:
		h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	}

	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}
