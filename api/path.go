package api

import (
	"strings"

	"github.com/labstack/echo/v4"
)

// uiPath is where River UI is mounted.
const uiPath = "/riverui"

// isAPI tells whether a request is for the API: by its route, or by its path if there is no such route.
func isAPI(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/api/") || strings.HasPrefix(c.Request().URL.Path, "/api/")
}

// isUI tells whether a route is River UI's.
func isUI(route string) bool { return route == uiPath || strings.HasPrefix(route, uiPath+"/") }

// isHealth tells whether a route is a health check.
func isHealth(route string) bool { return route == "/livez" || route == "/readyz" }
