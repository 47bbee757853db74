package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook/internal/retry"
	"github.com/outhook/outhook/internal/strictjson"
	"github.com/outhook/outhook/jobs/ledger"
)

func (e *endpointEdit) setSchedule(value json.RawMessage) {
	e.row.RetrySchedule = nil
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	schedule, err := e.schedule(value)
	switch {
	case len(e.faults) > before:
	case err != nil:
		e.faults.Add(e.at+".retry_schedule", strings.TrimPrefix(err.Error(), retry.ErrInvalid.Error()+": "))
	default:
		e.row.RetrySchedule = schedule.Seconds()
	}
}

// scheduleBody is the document's schema of a retry schedule in a body.
type scheduleBody struct{}

// Schema tells the document of the three forms.
func (*scheduleBody) Schema(huma.Registry) *huma.Schema {
	most := retry.MaxDelays
	return &huma.Schema{OneOf: []*huma.Schema{
		{
			Type: huma.TypeArray, MaxItems: &most, Items: &huma.Schema{Type: huma.TypeString},
			Examples: []any{[]string{"1m", "2m", "4m"}}, Description: "The delays, as Go writes them.",
		},
		{Type: huma.TypeString, Enum: []any{"fast", "standard"}, Description: "A preset."},
		{Type: "null", Description: "The server's."},
	}}
}

// schedule reads a preset's name or a list of durations.
func (e *endpointEdit) schedule(value json.RawMessage) (retry.Schedule, error) {
	if value[0] == '"' {
		switch strictjson.Text(value, e.at+".retry_schedule", &e.faults) {
		case "fast":
			return retry.Fast(), nil
		case "standard":
			return retry.Standard(), nil
		}
		return nil, errors.New(`must be a list of delays like ["1m", "2m", "4m"], or a preset: fast or standard`)
	}

	schedule := retry.Schedule{}
	for i, item := range strictjson.Texts(value, e.at+".retry_schedule", &e.faults) {
		d, err := time.ParseDuration(item)
		if err != nil {
			e.faults.Add(strictjson.ElementLocation(e.at+".retry_schedule", i), "must be a duration like 30s, 1m or 2h")
		}
		schedule = append(schedule, d)
	}
	return schedule, schedule.Validate()
}

func (e *endpointEdit) setJitter(value json.RawMessage) {
	e.row.RetryJitter = nil
	if strictjson.IsNull(value) {
		return
	}

	before := len(e.faults)
	jitter := strictjson.Number(value, e.at+".retry_jitter", &e.faults)
	if len(e.faults) > before {
		return
	}
	if err := retry.Jitter(jitter).Validate(); err != nil {
		e.faults.Add(e.at+".retry_jitter", err.Error())
		return
	}
	e.row.RetryJitter = &jitter
}

// checkDelays refuses delays that are longer than deliveries are kept, whichever of the schedule and the jitter was
// given. What was not is the row's, or the server's.
func (e *endpointEdit) checkDelays() {
	schedule, jitter := e.cfg.Schedule, e.cfg.Jitter
	if e.row.RetrySchedule != nil {
		schedule = retry.FromSeconds(e.row.RetrySchedule)
	}
	if e.row.RetryJitter != nil {
		jitter = retry.Jitter(*e.row.RetryJitter)
	}
	if len(e.faults) > 0 || schedule.Fits(e.cfg.Retention, jitter) == nil {
		return
	}

	bound := fmt.Sprintf("all delays, jitter included, and a day must be less than the %d days that events are kept",
		e.cfg.Retention/ledger.Day)
	switch {
	case slices.Contains(e.members, "retry_schedule"):
		e.faults.Add(e.at+".retry_schedule", "is too long: "+bound)
	case slices.Contains(e.members, "retry_jitter"):
		e.faults.Add(e.at+".retry_jitter", "is too large for the retry schedule: "+bound)
	}
}
