package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// What is promised of an endpoint with a backlog, whatever its length: milliseconds until an order is answered, and
	// seconds until the first delivery, from an order to the last request, and until all is cancelled.
	steerAnswer = 300
	steerFirst  = 5
	steerLast   = 1
	steerCancel = 180

	// steerTries is how often an order is repeated that the API refuses.
	steerTries = 20

	// steerChunk is how many deliveries one statement makes.
	steerChunk = 20_000

	groupSteered = "steered"
	groupDeleted = "deleted"
	groupOther   = "other"
)

// waitingSQL stores what waits for a paused endpoint as an enqueue does. $1 is the endpoint, $2 its tenant, $3 how
// many, $4 the payload.
const waitingSQL = `
WITH e AS (
    INSERT INTO outhook.events (id, created_at, tenant_id, type, payload)
    SELECT k.id, outhook.uuid_v7_time(k.id), $2, 'bench.sent', $4::json
    FROM (SELECT outhook.uuid_v7(clock_timestamp(), n) AS id FROM generate_series(1, $3::integer) AS n) AS k
    RETURNING id, created_at
), d AS (
    INSERT INTO outhook.deliveries (event_id, endpoint_id, job_id, next_attempt_at)
    SELECT e.id, $1::uuid, nextval('outhook.river_job_id_seq'), e.created_at FROM e RETURNING event_id, endpoint_id, job_id
)
INSERT INTO outhook.river_job (id, kind, args, queue, max_attempts)
SELECT job_id, 'deliver', jsonb_build_object('event_id', event_id, 'endpoint_id', endpoint_id), 'endpoint-' || endpoint_id, 1000
FROM d`

// steer measures the orders of somebody whose endpoint has a long backlog, beside another tenant.
func (p *play) steer(ctx context.Context) error {
	other := []string{groupOther}
	if err := p.quick(ctx, other, groupOther); err != nil {
		return err
	}
	steered, err := p.waiting(ctx, groupSteered)
	if err != nil {
		return err
	}
	deleted, err := p.waiting(ctx, groupDeleted)
	if err != nil {
		return err
	}

	if err := p.startWorkers(ctx, p.cfg.Workers); err != nil {
		return err
	}
	if err := p.warm(ctx, other, 100, groupOther); err != nil {
		return err
	}
	alone, err := p.measureGroup(ctx, other, 1, lonelyRate, groupOther)
	if err != nil {
		return err
	}

	beside, err := p.measureBeside(ctx, other, func(ctx context.Context) error { return p.orders(ctx, steered, deleted) })
	if err != nil {
		return err
	}
	p.beside("other tenant's receipt", alone, beside)
	return nil
}

// waiting makes a paused endpoint of a tenant of its own for which deliveries wait, and returns its path in the API.
func (p *play) waiting(ctx context.Context, group string) (path string, err error) {
	if err := p.endpoint(ctx, group, behaveQuick, group, ""); err != nil {
		return "", err
	}

	var id string
	err = p.pool.QueryRow(ctx, "SELECT id::text FROM outhook.endpoints WHERE tenant_id = $1", group).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("finding an endpoint: %w", err)
	}

	path = "/api/endpoints/" + id
	if _, err := p.order(ctx, http.MethodPatch, path, `{"status":"paused"}`); err != nil {
		return "", err
	}

	for rest := p.cfg.Count; rest > 0; rest -= steerChunk {
		body := string(payload(time.Now(), p.cfg.PayloadBytes))
		if _, err := p.pool.Exec(ctx, waitingSQL, id, group, min(rest, steerChunk), body); err != nil {
			return "", fmt.Errorf("storing a backlog: %w", err)
		}
	}
	return path, nil
}

// orders enables an endpoint, disables it while it gets its backlog, and deletes another one.
func (p *play) orders(ctx context.Context, steered, deleted string) error {
	began, err := p.ordered(ctx, "enabling", http.MethodPatch, steered, `{"status":"enabled"}`)
	if err != nil {
		return err
	}
	counts, err := p.receiver.awaitGroup(ctx, groupSteered, 1)
	if err != nil {
		return err
	}
	first := time.Unix(0, counts[groupSteered].FirstNanos).Sub(began).Seconds()
	if counts[groupSteered].Count == 0 {
		first = patience.Seconds()
	}
	p.r.atMost("first delivery after enabling s", first, steerFirst)

	if err := sleepUntil(ctx, began.Add(p.cfg.Duration)); err != nil {
		return err
	}
	disabled, err := p.ordered(ctx, "disabling", http.MethodPatch, steered, `{"status":"disabled"}`)
	if err != nil {
		return err
	}
	answered := time.Now()
	if err := p.cancelled(ctx, "disabling", groupSteered, disabled); err != nil {
		return err
	}

	if counts, err = p.receiver.groups(ctx); err != nil {
		return err
	}
	last := time.Unix(0, counts[groupSteered].LastNanos).Sub(answered).Seconds()
	p.r.atMost("last delivery after disabling s", last, steerLast)
	p.r.figure("deliveries before disabling", float64(counts[groupSteered].Count))

	removed, err := p.ordered(ctx, "deleting", http.MethodDelete, deleted, "")
	if err != nil {
		return err
	}
	return p.cancelled(ctx, "deleting", groupDeleted, removed)
}

// ordered gives an order until it is taken, checks how long the first answer took, and returns when it was given first.
func (p *play) ordered(ctx context.Context, name, method, path, body string) (began time.Time, err error) {
	began = time.Now()
	refused := 0
	for {
		took, err := p.order(ctx, method, path, body)
		if refused == 0 {
			p.r.atMost(name+" answers in ms", float64(took.Microseconds())/1000, steerAnswer)
		}
		if err == nil {
			p.r.atMost(name+" is refused", float64(refused), 0)
			return began, nil
		}

		if refused++; refused == steerTries || ctx.Err() != nil {
			return began, err
		}
	}
}

// order asks the API on a connection of its own and returns how long its answer took.
func (p *play) order(ctx context.Context, method, path, body string) (time.Duration, error) {
	a, err := p.client(1)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes its connection

	began := time.Now()
	answer, err := a.call(ctx, method, path, []byte(body))
	took := time.Since(began)
	if err == nil && len(answer) > 0 && !json.Valid(answer) {
		err = fmt.Errorf("the answer to %s %s is not JSON", method, path)
	}
	return took, err
}

// cancelled checks how long it takes until nothing is pending for an endpoint.
func (p *play) cancelled(ctx context.Context, name, tenant string, began time.Time) error {
	const query = `SELECT EXISTS (SELECT FROM outhook.deliveries AS d JOIN outhook.endpoints AS n ON n.id = d.endpoint_id
		WHERE d.state = 'pending' AND n.tenant_id = $1)`
	for {
		var pending bool
		if err := p.pool.QueryRow(ctx, query, tenant).Scan(&pending); err != nil {
			return fmt.Errorf("looking for what is pending: %w", err)
		}

		took := time.Since(began).Seconds()
		if !pending || took > steerCancel {
			p.r.atMost("all cancelled after "+name+" s", took, steerCancel)
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
}
