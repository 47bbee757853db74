package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

func typesOf(e client.Endpoint) string {
	if len(e.EventTypes) == 0 {
		return "all"
	}
	return strings.Join(e.EventTypes, ",")
}

func labelNames(labels []string) string {
	if len(labels) == 0 {
		return "all"
	}
	return strings.Join(labels, ",")
}

func filterOf(filter json.RawMessage) string {
	if text := string(filter); text != "" && text != "null" {
		return text
	}
	return "none"
}

func scheduleOf(e client.Endpoint) string {
	switch {
	case e.RetrySchedule == nil:
		return "the server's"
	case len(e.RetrySchedule) == 0:
		return "one attempt only"
	}
	return strings.Join(e.RetrySchedule, ",")
}

func jitterOf(e client.Endpoint) string {
	if e.RetryJitter == nil {
		return "the server's"
	}
	return strconv.FormatFloat(*e.RetryJitter, 'g', -1, 64)
}

func limitOf(r client.RateLimit) string {
	if r.Requests == 0 {
		return "none"
	}
	return fmt.Sprintf("%d per %s, bursts of %d", r.Requests, r.Per, r.Burst)
}

// sinceOf says since when something is so, and why if that is known.
func sinceOf(what string, since time.Time, reason string) string {
	what += " since " + utc(since)
	if reason != "" {
		what += " (" + reason + ")"
	}
	return what
}

// shortHealth is the health in a list.
func shortHealth(h client.EndpointHealth) string {
	if h.ConsecutiveFailures == 0 {
		return h.State
	}
	return fmt.Sprintf("%s, %d failed", h.State, h.ConsecutiveFailures)
}

// healthOf are the fields of the health.
func healthOf(h client.EndpointHealth) []string {
	state := h.State
	if h.StateChangedAt != nil && h.State != "disabled" {
		state += " since " + utc(*h.StateChangedAt)
	}
	failures := "none since the last success"
	if h.ConsecutiveFailures > 0 {
		failures = fmt.Sprintf("%d since %s", h.ConsecutiveFailures, timeOrDash(h.FailingSince))
	}
	last := timeOrDash(h.LastFailureAt)
	switch {
	case h.LastFailureAt == nil:
	case h.LastStatusCode != nil:
		last += fmt.Sprintf(" (status %d)", *h.LastStatusCode)
	case h.LastError != nil:
		last += " (" + *h.LastError + ")"
	}

	pairs := []string{
		"health", state, "failures", failures, "last failure", last, "last success", timeOrDash(h.LastSuccessAt),
	}
	if h.ProbeAt != nil {
		pairs = append(pairs, "next probe", utc(*h.ProbeAt)+" (a test event, whose success enables it)")
	}
	return pairs
}

// orderOf says whether an endpoint gets its events in order.
func orderOf(e client.Endpoint) string {
	switch e.Ordered {
	case "":
		return "no"
	case "block":
		return "yes; it is paused when a schedule is used up"
	case "skip":
		return "yes; it goes on when a schedule is used up"
	}
	return e.Ordered
}

// showEndpoint shows all that the API knows.
func showEndpoint(w io.Writer, e *client.Endpoint) {
	pairs := []string{
		"id", e.ID, "uid", text(e.UID), "tenant", e.TenantID, "url", e.URL, "description", e.Description,
		"event types", typesOf(*e), "filter", filterOf(e.Filter),
		"labels", labelNames(e.Labels), "format", e.Format, "in order", orderOf(*e),
		"status", sinceOf(e.Status, e.StatusChangedAt, e.StatusReason),
	}
	pairs = append(pairs, healthOf(e.Health)...)
	pairs = append(pairs, "lane", sinceOf(e.Lane.State, e.Lane.Since, e.Lane.Reason),
		"timeout", (time.Duration(e.TimeoutMS) * time.Millisecond).String(),
		"requests at a time", fmt.Sprint(e.MaxInFlight), "rate limit", limitOf(e.RateLimit),
		"retry schedule", scheduleOf(*e), "retry jitter", jitterOf(*e),
		"created", utc(e.CreatedAt), "updated", utc(e.UpdatedAt))

	pairs = append(pairs, mapPairs("header ", e.Headers)...)
	if len(e.SecretHeaderNames) > 0 {
		pairs = append(pairs, "secret headers", strings.Join(e.SecretHeaderNames, ", "))
	}
	pairs = append(pairs, mapPairs("metadata ", e.Metadata)...)
	if e.Secret != "" {
		pairs = append(pairs, "secret", e.Secret+" (keep it, it is not shown again)")
	}

	fields(w, pairs...)
}
