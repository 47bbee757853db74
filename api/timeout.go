package api

import (
	"net/http"
	"time"
)

const (
	// maxHandling is the longest that any request may take: a test of an endpoint with the longest timeout, 30 s, plus
	// testGrace, rounded up.
	maxHandling = 40 * time.Second

	// readTimeout bounds the reading of a request. net/http ends a request's context when it passes, even if the body was
	// read long before, so it covers a body's time and then maxHandling, and is set anew once a body is there.
	readTimeout = 2 * maxHandling

	// writeTimeout counts from the end of the request's header and leaves 20 s to write an answer.
	writeTimeout = readTimeout + 20*time.Second
)

// ConfigureServer sets what an [http.Server] needs to serve a [Server]: 10 s for a request's header of at most 32 KiB,
// 80 s for reading a request, 100 s for everything until the end of the answer, and 2 minutes for an idle connection,
// more than the 60 s of usual load balancers, which must be the first to close.
func ConfigureServer(srv *http.Server) {
	srv.ReadHeaderTimeout = 10 * time.Second
	srv.ReadTimeout = readTimeout
	srv.WriteTimeout = writeTimeout
	srv.IdleTimeout = 2 * time.Minute
	srv.MaxHeaderBytes = 32 << 10
}
