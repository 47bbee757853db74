package console

import (
	"context"
	"net/http"
	"time"

	"github.com/outhook/outhook/api/pages"
)

// partsTime is how long the parts that a page stands without may take together: then it is sent as it is.
const partsTime = 10 * time.Second

// part is what a page stands without: what can't be had at this moment says so in its place.
type part struct {
	what    string  // in the plural
	missing *string // gets what is said in its place; nil: nothing is
	fill    func(*visit) error
}

// fill fills in parts of a page, one after the other. An error is the page's: what it is about is not there, or is not
// for who looks.
func (v *visit) fill(parts ...part) error {
	ctx, cancel := context.WithDeadline(v.Context(), v.began.Add(partsTime))
	defer cancel()
	within := *v
	within.Request = v.WithContext(ctx)

	for _, p := range parts {
		err := p.fill(&within)
		why := passing(err)
		switch {
		case err == nil:
		case v.Context().Err() != nil:
			return err // nobody waits for it
		case ctx.Err() != nil:
			why = tooLong
		case why == "":
			return err
		}
		if err != nil && p.missing != nil {
			*p.missing = p.what + " are missing: " + why
		}
	}
	return nil
}

// tooLong says why a part is missing.
const tooLong = "the database takes too long for them at this moment."

// passing says what keeps the API from answering at this moment; "": it has answered, or its answer will be the same.
func passing(err error) string {
	refused, ok := pages.AsRefusal(err)
	switch {
	case !ok:
		return ""
	case refused.Status == http.StatusServiceUnavailable:
		return tooLong
	case refused.Status == http.StatusTooManyRequests:
		return "too many requests are made with this key at this moment."
	case refused.Status >= http.StatusInternalServerError:
		return "something went wrong, and the log of the server has more."
	}
	return ""
}
