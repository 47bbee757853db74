package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/problem"
)

// etagAt returns the strong entity tag (RFC 9110, section 8.8.3) of a row that was changed at a time, and never before
// at the same one.
func etagAt(at time.Time) string { return `"` + strconv.FormatInt(at.UnixMicro(), 36) + `"` }

// etagOf returns that of what is configured of an endpoint: all that a request can set, and the status. Health and lane
// are what the workers see, and change without it.
func etagOf(row db.Endpoint) string { return etagAt(row.UpdatedAt) }

// EntityTag is the header of an answer with one object that has one.
type EntityTag struct {
	ETag string `header:"ETag"` //nolint:tagliatelle // as RFC 9110 writes it
}

func entityTagOf(row db.Endpoint) EntityTag { return EntityTag{ETag: etagOf(row)} }

// Preconditions are a request's conditions for a change (RFC 9110, section 13.1).
type Preconditions struct {
	IfMatch string `header:"If-Match" doc:"Do it only if it has one of these ETags, with commas; *: if it exists. Else 412."`
}

// check returns precondition_failed unless what a request changes is in the state that it wants. what is a noun for it;
// etag is that of what is locked, "" if there is none.
func (p Preconditions) check(what, etag string) error {
	switch {
	case p.IfMatch == "":
		return nil
	case etag == "":
		return problem.New(problem.PreconditionFailed, "there is no such "+what+", and If-Match wants one")
	case !matches(p.IfMatch, etag, false):
		return problem.New(problem.PreconditionFailed,
			"the "+what+" has changed since: get it again, look at what is new, and repeat the request with its ETag")
	}
	return nil
}

// PutConditions are those of a PUT, which may want that there is nothing yet.
type PutConditions struct {
	Preconditions

	IfNoneMatch string `header:"If-None-Match" doc:"*: create it only. 412 if it exists."`
}

// check does what that of Preconditions does.
func (p PutConditions) check(what, etag string) error {
	if etag != "" && p.IfNoneMatch != "" && matches(p.IfNoneMatch, etag, true) {
		return problem.New(problem.PreconditionFailed, "the "+what+" exists, and If-None-Match wants none")
	}
	return p.Preconditions.check(what, etag)
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
