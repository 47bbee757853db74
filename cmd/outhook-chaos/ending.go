package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
)

const (
	// backAfter is how long after it was enabled an endpoint gets its deliveries again at the latest, and as much when a
	// process has trouble with it.
	backAfter = 5 * time.Second

	// disabledFor is how long an endpoint stays disabled, after it was paused until it has a backlog.
	disabledFor = time.Second

	// mortalFor is how much longer than others' faults an endpoint lives that is to be deleted.
	mortalFor = 4 * time.Second
)

// change orders an endpoint's status.
func (o *operator) change(ctx context.Context, rng *rand.Rand, e *endpoint, status string) error {
	return o.insist(ctx, rng, http.MethodPatch, "/api/endpoints/"+e.id.String(), fmt.Sprintf(`{"status": %q}`, status))
}

// stopped notes when an endpoint got nothing, from the order to stop until some time after the order to go on was
// carried out.
func (o *operator) stopped(e *endpoint, ordered time.Time) {
	o.journal.note(e.id.String(), ordered, time.Now().Add(backAfter))
}

// disable pauses an endpoint, disables it under the backlog that it has by then, enables it and has recovered what was
// cancelled and missed. enabled is when it was enabled again.
func (o *operator) disable(ctx context.Context, rng *rand.Rand, e *endpoint, length time.Duration,
) (enabled time.Time, err error) {
	ordered := time.Now()
	if err := o.change(ctx, rng, e, "paused"); err != nil {
		return enabled, err
	}
	wait(ctx, length)

	if err := o.change(ctx, rng, e, "disabled"); err != nil {
		return enabled, err
	}
	e.disabled = true
	off := span{from: time.Now()}
	wait(ctx, disabledFor)

	off.to = time.Now()
	e.off = append(e.off, off)
	if err := o.change(ctx, rng, e, "enabled"); err != nil {
		return enabled, err
	}

	o.stopped(e, ordered)
	enabled = time.Now()
	// While the endpoint's last one runs, which waits for room in its lane, recoverAll orders the next.
	return enabled, o.recover(ctx, rng, e, http.StatusAccepted, http.StatusConflict)
}

// recover has replayed what an endpoint missed while it was disabled, whoever else has ordered the same. fine are the
// statuses that the order may be answered with.
func (o *operator) recover(ctx context.Context, rng *rand.Rand, e *endpoint, fine ...int) error {
	body := fmt.Sprintf(`{"since": %q, "states": ["cancelled"], "missed": true}`, o.start.UTC().Format(time.RFC3339Nano))
	path := "/api/endpoints/" + e.id.String() + "/recover"
	return o.insistOn(ctx, rng, http.MethodPost, path, body, fine...)
}

// recoverAll recovers all endpoints that were disabled, once more and when nothing happens any more.
func (o *operator) recoverAll(ctx context.Context, endpoints []*endpoint) error {
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // it chooses an API
	for _, e := range endpoints {
		if !e.disabled {
			continue
		}
		if err := o.recover(ctx, rng, e, http.StatusAccepted); err != nil {
			return err
		}
	}
	return nil
}

// deleteEndpoint has an endpoint created that is slow, and deleted under its backlog.
func (s *saboteur) deleteEndpoint(ctx context.Context, f fault) (bool, error) {
	rng := draw(uint64(f.size), streamOrder, uint64(f.target), 1) //nolint:gosec // small
	e := newMortal()
	s.stack.receivers.add(e)

	if err := s.operator.create(ctx, rng, e, s.stack.receivers.url(e)); err != nil || e.id == uuid.Nil {
		return false, err
	}

	wait(ctx, f.length+mortalFor)
	err := s.operator.insistOn(ctx, rng, http.MethodDelete, "/api/endpoints/"+e.id.String(), "",
		http.StatusOK, http.StatusNoContent, http.StatusNotFound)

	e.fault.Lock()
	defer e.fault.Unlock()
	e.off = append(e.off, span{time.Now(), time.Now().Add(endless)})
	return true, err
}

// endless is longer than any run.
const endless = 24 * time.Hour

// create creates an endpoint, and looks for it by its URL if nobody said whether it was.
func (o *operator) create(ctx context.Context, rng *rand.Rand, e *endpoint, url string) error {
	var answer struct {
		ID uuid.UUID `json:"id"`
	}
	status, err := o.order(ctx, rng, http.MethodPost, "/api/endpoints", e.body(url), &answer)
	switch {
	case err == nil && status == http.StatusCreated:
		e.id = answer.ID
		return nil
	case err == nil:
		return fmt.Errorf("creating an endpoint: the API answered %d", status)
	}

	var found *uuid.UUID
	for end := time.Now().Add(orderLimit); time.Now().Before(end); wait(ctx, 200*time.Millisecond) {
		wait(ctx, clientTimeout) // it may be under way still
		const byURL = "SELECT max(id::text)::uuid FROM outhook.endpoints WHERE url = $1"
		if err := o.direct.QueryRow(ctx, byURL, url).Scan(&found); err == nil {
			break
		}
	}
	if found != nil {
		e.id = *found
	}
	return nil
}
