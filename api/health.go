package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/strictjson"
)

func (s *Server) addHealth() {
	s.echo.GET("/livez", func(c echo.Context) error { return answerHealth(c, healthAnswer{Status: checkOK}) })
	s.echo.GET("/readyz", func(c echo.Context) error {
		if s.ready.stopping() {
			return answerHealth(c, healthAnswer{Status: checkNotReady, Checks: map[string]string{readyProcess: checkStopping}})
		}

		h, err := s.ready.group.Do(c.Request().Context(), struct{}{})
		if err != nil {
			return err
		}
		return answerHealth(c, h)
	})
}

func answerHealth(c echo.Context, h healthAnswer) error {
	status := http.StatusOK
	if h.Status != checkOK {
		status = http.StatusServiceUnavailable
	}

	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(status)
	return strictjson.Write(c.Response(), h)
}
