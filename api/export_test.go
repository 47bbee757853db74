package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook"
)

// DecodeEvent reads the body of POST /api/events.
func DecodeEvent(body []byte, maxPayloadBytes int) (outhook.Event, error) {
	s := &Server{cfg: Config{Limits: Limits{MaxPayloadBytes: maxPayloadBytes}}}
	return s.decodeEvent(body, "", "")
}

// Routes returns "METHOD /path" of every route, sorted.
func (s *Server) Routes() []string {
	var list []string
	for _, r := range s.echo.Routes() {
		list = append(list, r.Method+" "+r.Path)
	}
	slices.Sort(list)
	return list
}

// Held returns how many bytes of bodies are held.
func (s *Server) Held() int64 { return s.room.Held() }

// OpenAPI returns the document.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.huma.OpenAPI() }
