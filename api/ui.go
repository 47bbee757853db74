package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

const uiPath = "/riverui"

// isUI tells whether a route is River UI's.
func isUI(route string) bool { return route == uiPath || strings.HasPrefix(route, uiPath+"/") }

// addUI mounts River UI. A browser adds the password of Basic authentication to every request by itself, also to those
// that another site's page makes, so requests of other origins are refused.
func (s *Server) addUI() {
	if s.cfg.UI == nil {
		return
	}
	protection := http.NewCrossOriginProtection()
	serve := func(c echo.Context) error {
		if err := protection.Check(c.Request()); err != nil {
			return newProblem(http.StatusForbidden, "requests of other origins are refused")
		}
		s.cfg.UI.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	s.echo.Match(methods, uiPath, serve)
	s.echo.Match(methods, uiPath+"/*", serve)
}
