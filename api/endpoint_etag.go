package api

import (
	"strconv"
	"strings"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

// etagOf returns the strong entity tag (RFC 9110, section 8.8.3) of what is configured of an endpoint: all that a
// request can set, and the status. Health and lane are what the workers see, and change without it.
func etagOf(row db.Endpoint) string {
	return `"` + strconv.FormatInt(row.UpdatedAt.UnixMicro(), 36) + `"`
}

// EntityTag is the header of an answer with one endpoint.
type EntityTag struct {
	ETag string `header:"ETag"` //nolint:tagliatelle // as RFC 9110 writes it
}

func entityTagOf(row db.Endpoint) EntityTag { return EntityTag{ETag: etagOf(row)} }

// Preconditions are a request's conditions for a change (RFC 9110, section 13.1).
type Preconditions struct {
	IfMatch string `header:"If-Match" doc:"Do it only if the endpoint has one of these ETags, with commas; *: if it exists. Else 412."`
}

// check returns precondition_failed unless the endpoint is in the state that the request wants. row is locked; nil:
// there is none.
func (p Preconditions) check(row *db.Endpoint) error {
	switch {
	case p.IfMatch == "":
		return nil
	case row == nil:
		return problem.New(problem.PreconditionFailed, "there is no such endpoint, and If-Match wants one")
	case !matches(p.IfMatch, etagOf(*row), false):
		return problem.New(problem.PreconditionFailed,
			"the endpoint has changed since: get it again, look at what is new, and repeat the request with its ETag")
	}
	return nil
}

// matches tells whether a list of entity tags holds one. Weakly compared, a weak tag is as good as a strong one.
func matches(list, etag string, weakly bool) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if weakly {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if tag == "*" || tag == etag {
			return true
		}
	}
	return false
}
