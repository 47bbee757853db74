package ready

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/strictjson"
)

// Routes adds /livez and /readyz.
func (p *Probe) Routes(e *echo.Echo) {
	e.GET("/livez", func(c echo.Context) error { return write(c, answer{Status: checkOK}) })
	e.GET("/readyz", func(c echo.Context) error {
		if p.stopping() {
			return write(c, answer{Status: checkNotReady, Checks: map[string]string{readyProcess: checkStopping}})
		}

		a, err := p.group.Do(c.Request().Context(), struct{}{})
		if err != nil {
			return err
		}
		return write(c, a)
	})
}

func write(c echo.Context, a answer) error {
	status := http.StatusOK
	if a.Status != checkOK {
		status = http.StatusServiceUnavailable
	}

	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(status)
	return strictjson.Write(c.Response(), a)
}
