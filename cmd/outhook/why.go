package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

type whyCmd struct {
	apiFlags

	Event    string `arg:"" help:"The event's id, which is the webhook-id that its receivers get, or its idempotency key."`
	Endpoint string `arg:"" optional:"" help:"Only this endpoint: its id, or its uid. All of the event's tenant unless given."`
	Tenant   string `help:"Whose idempotency key it is: required with one, unless the key for the API is bound to a tenant."`
}

// Run says why deliveries are where they are, and why endpoints have none.
func (w *whyCmd) Run(c *command) error {
	api, err := w.client()
	if err != nil {
		return err
	}

	id, err := w.event(c, api)
	if err != nil {
		return err
	}

	found := 0
	_, err = eachPage(c, func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Why], error) {
		params := client.ExplainEventParams{EndpointID: w.Endpoint, Limit: limit, Cursor: cursor}
		return api.ExplainEvent(c.ctx, id, params, o...)
	}, pageSize, func(items []client.Why, raw []json.RawMessage) (int, error) {
		for i := range items {
			if !w.JSON {
				if found > 0 {
					c.printf("\n")
				}
				showWhy(c.stdout, &items[i])
			} else if err := printLine(c.stdout, raw[i]); err != nil {
				return 0, err
			}
			found++
		}
		return pageSize, nil
	})

	if err == nil && found == 0 && !w.JSON {
		c.printf("the event's tenant has no%s endpoint\n", map[bool]string{true: " such"}[w.Endpoint != ""])
	}
	return err
}

// event returns the id of the event that is meant. A key may look like an id, so what no event has as its id may be
// one.
func (w *whyCmd) event(c *command, api *client.Client) (string, error) {
	isID := uuid.Validate(w.Event) == nil
	if isID {
		_, err := api.ExplainEvent(c.ctx, w.Event, client.ExplainEventParams{Limit: 1})
		if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
			return w.Event, explained(c.ctx, err)
		}
	}

	keyed, err := api.ListEvents(c.ctx, client.ListEventsParams{IdempotencyKey: w.Event, TenantID: w.Tenant})
	switch {
	case isID && (err != nil || len(keyed.Items) == 0):
		return w.Event, nil //nolint:nilerr // the API says what the id tells
	case err != nil:
		return "", explained(c.ctx, err)
	case len(keyed.Items) == 0:
		return "", &client.Error{Problem: client.Problem{
			Status: http.StatusNotFound,
			Detail: "no event has this idempotency key: nobody has used it, its transaction was rolled back, or it is older " +
				"than the retention",
		}}
	}

	e := keyed.Items[0]
	if !w.JSON {
		c.printf("the idempotency key is taken since %s by the event %s (%s): "+
			"what was enqueued with it later stored nothing\n\n",
			utc(e.CreatedAt), e.ID, e.Type)
	}
	return e.ID, nil
}

func showWhy(w io.Writer, v *client.Why) {
	pairs := []string{"endpoint", v.EndpointID, "state", v.State, "because", v.Because, "that is", v.Text}
	if v.Since != nil {
		pairs = append(pairs, "since", utc(*v.Since))
	}
	if v.Until != nil {
		pairs = append(pairs, "until", utc(*v.Until))
	}
	if len(v.Causes) > 0 && v.Causes[0].Advice != nil && v.State == "pending" { // of one that has failed the text says it
		pairs = append(pairs, "usually cured by", *v.Causes[0].Advice)
	}
	fields(w, pairs...)
}

type workersCmd struct{ apiFlags }

// Run shows who works.
func (w *workersCmd) Run(c *command) error {
	_, err := ask(c, w.apiFlags, func(api *client.Client, o client.CallOption) (*client.Workforce, error) {
		return api.ListWorkers(c.ctx, o)
	}, showWorkers)
	return err
}

func showWorkers(w io.Writer, v *client.Workforce) {
	workers := newTable(w, []string{"WORKER", "LIVES SINCE", "QUEUE", "RUNNING", "OLDEST SINCE"})
	live := 0
	for _, p := range v.Workers {
		since := "gone"
		if p.Since != nil {
			since = utc(*p.Since)
			live++
		}
		if len(p.Runs) == 0 {
			workers.row(p.ID, since, "-", "0", "-")
		}
		for _, r := range p.Runs {
			workers.row(p.ID, since, r.Queue, fmt.Sprint(r.Running), utc(r.OldestAt))
		}
	}
	if live == 0 {
		fmt.Fprint(w, "no worker process lives, so nothing is delivered: start `outhook serve` with the role worker\n\n")
	}
	if len(v.Workers) > 0 {
		workers.flush()
		fmt.Fprintln(w)
	}

	if len(v.Leases) > 0 {
		leases := newTable(w, []string{"LEASE", "HOLDER", "SINCE"})
		for _, l := range v.Leases {
			leases.row(l.Name, l.Holder, utc(l.Since))
		}
		leases.flush()
		fmt.Fprintln(w)
	}

	showQueues(w, v)
}

func showQueues(w io.Writer, v *client.Workforce) {
	queues := newTable(w, []string{"QUEUE", "DUE", "OLDEST DUE", "LATER", "RUNNING"})
	for _, q := range v.Queues {
		oldest := "-"
		if q.Due > 0 {
			oldest = fmt.Sprintf("%.0f s", q.OldestDueS)
		}
		queues.row(q.Queue, upTo(q.Due), oldest, upTo(q.Later), upTo(q.Running))
	}
	queues.flush()

	for _, p := range v.PausedQueues {
		fmt.Fprintf(w, "\nthe queue %s is paused since %s, with %s due: "+
			"see `outhook paused`, or River UI, whose Resume ends that\n",
			printable(p.Queue), utc(p.PausedAt), upTo(p.Due))
	}
}

// counted is how far the API counts.
const counted = 50_000

// upTo is a number that was counted.
func upTo(n int) string {
	if n >= counted {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}
