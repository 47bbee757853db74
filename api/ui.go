package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/outhook/outhook/internal/problem"
)

const (
	// maxUIBody holds the ids of 10,000 jobs.
	maxUIBody = 256 << 10

	// maxUIJobs is how many jobs an entry of the audit trail names.
	maxUIJobs = 1000
)

var (
	// uiTarget is a path of River UI that the audit trail repeats.
	uiTarget = regexp.MustCompile(`^/[A-Za-z0-9_/.-]{1,200}$`)

	jobIDPattern = regexp.MustCompile(`^[0-9]{1,19}$`)
)

// addPages mounts what is for browsers.
func (s *Server) addPages() {
	s.addUI()
	s.addConsole()
	s.addPublic()
}

// addUI mounts River UI. A browser adds the password of Basic authentication to every request by itself, also to those
// that another site's page makes, so requests of other origins are refused.
func (s *Server) addUI() {
	if s.cfg.UI == nil {
		return
	}

	protection := http.NewCrossOriginProtection()
	serve := func(c echo.Context) error {
		r := c.Request()
		if err := protection.Check(r); err != nil {
			return problem.New(problem.CrossOriginRefused, "requests of other origins are refused")
		}
		if r.Method != http.MethodGet {
			if err := s.auditUI(c); err != nil {
				return err
			}
		}
		s.cfg.UI.ServeHTTP(c.Response(), c.Request())
		return nil
	}

	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	s.echo.Match(methods, uiPath, serve)
	s.echo.Match(methods, uiPath+"/*", serve)
}

// addConsole mounts the console, which asks this API as any client does, and looks after its own cookies and other
// origins.
func (s *Server) addConsole() {
	if s.cfg.Console == nil {
		return
	}
	serve := echo.WrapHandler(s.cfg.Console)
	for _, path := range []string{consolePath, consolePath + "/*", assetsPath + "/*"} {
		s.echo.Match([]string{http.MethodGet, http.MethodPost}, path, serve)
	}
}

// addPublic mounts the public pages of the catalogue.
func (s *Server) addPublic() {
	if s.cfg.Catalog == nil {
		return
	}
	paths := []string{catalogPath, catalogPath + "/*", catalogPath + ".md", "/llms.txt"}
	if s.cfg.Console == nil {
		paths = append(paths, assetsPath+"/*")
	}
	for _, path := range paths {
		s.echo.GET(path, echo.WrapHandler(s.cfg.Catalog))
	}
}

// addPortal mounts the portal, which asks this API as the console does. Its pages may be framed, so they say themselves
// by whom.
func (s *Server) addPortal() {
	if s.cfg.Portal.Handler == nil {
		return
	}
	paths := []string{portalPath, portalPath + "/*"}
	if s.cfg.Console == nil && s.cfg.Catalog == nil {
		paths = append(paths, assetsPath+"/*")
	}
	for _, path := range paths {
		s.echo.Match([]string{http.MethodGet, http.MethodPost}, path, echo.WrapHandler(s.cfg.Portal.Handler))
	}
}

// auditUI notes an order that is given to River UI before it is handed on: River UI's transaction is not ours. Its body
// is read, to name the jobs, and put back.
func (s *Server) auditUI(c echo.Context) error {
	r := c.Request()
	body, err := io.ReadAll(http.MaxBytesReader(c.Response().Writer, r.Body, maxUIBody))
	var tooMuch *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return tooLarge(maxUIBody)
	case err != nil:
		return problem.New(problem.BodyIncomplete, "the body ended before it was complete")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	target := strings.TrimPrefix(r.URL.Path, uiPath)
	if !uiTarget.MatchString(target) {
		target = "/"
	}

	detail := map[string]any{"method": r.Method}
	var order struct {
		IDs []string `json:"ids"`
	}
	if json.Unmarshal(body, &order) == nil {
		var jobs []string
		for _, id := range order.IDs[:min(len(order.IDs), maxUIJobs)] {
			if jobIDPattern.MatchString(id) {
				jobs = append(jobs, id)
			}
		}
		detail["jobs"], detail["job_count"] = jobs, len(order.IDs)
	}

	d := done{action: "river-ui", objectType: objectRiverUI, objectID: target, detail: detail}
	return s.audit(r.Context(), s.cfg.Pool, d)
}
