package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/outhook/outhook/api/client"
)

// hasEnded tells whether nothing more will come of an operation.
func hasEnded(o *client.Operation) bool { return o.State == "completed" || o.State == "cancelled" }

// orAny shows what an operation is about, if it is not about any.
func orAny(s *string) string {
	if s == nil {
		return "any"
	}
	return *s
}

// matched is how many deliveries matched when an operation began.
func matched(o *client.Operation) string {
	if o.TotalCount == nil {
		return "not counted"
	}
	return fmt.Sprint(*o.TotalCount)
}

func showOperation(w io.Writer, o *client.Operation) {
	types := "all"
	if len(o.EventTypes) > 0 {
		types = strings.Join(o.EventTypes, ",")
	}

	states := strings.Join(o.States, ",")
	if o.Missed {
		states += ", and what was missed while it was disabled"
	}

	fields(w, "id", o.ID, "kind", o.Kind, "state", o.State, "tenant", orAny(o.TenantID),
		"endpoint", orAny(o.EndpointID),
		"event types", types, "deliveries", states, "since", timeOrDash(&o.Since), "until", timeOrDash(&o.Until),
		"matched", matched(o), "replayed", fmt.Sprint(o.ReplayedCount), "skipped", fmt.Sprint(o.SkippedCount),
		"last error", text(o.LastError), "created", timeOrDash(&o.CreatedAt), "ended", timeOrDash(o.CompletedAt))
}

// showPreview says what an operation would do.
func showPreview(w io.Writer, p *client.Preview) {
	least := ""
	if !p.Complete {
		least = "at least "
	}
	fmt.Fprintf(w, "would replay %s%s of %s", least, several(p.ReplayCount, "delivery", "deliveries"),
		several(p.EndpointCount, "endpoint", "endpoints"))
	if p.SkipCount > 0 {
		fmt.Fprintf(w, "; would leave %s%d alone: the endpoint is disabled or deleted, or the payload is gone",
			least, p.SkipCount)
	}
	fmt.Fprintln(w)
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
