package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
)

const (
	// replaysAtOnce is how many deliveries of a list are ordered in one request: the API's maximum.
	replaysAtOnce = 1000

	// maxReplayLine bounds a line of standard input: a delivery as the API prints it has less than 2 KiB.
	maxReplayLine = 64 << 10
)

type replayCmd struct {
	apiFlags

	Deliveries []string `arg:"" name:"delivery" help:"One delivery: EVENT ENDPOINT. Or any number of them: EVENT/ENDPOINT …, and - for standard input: one a line, as EVENT/ENDPOINT, EVENT ENDPOINT or what 'deliveries list --json' prints."`
	Tenant     string   `help:"Whose endpoint it is: required if one delivery is named with its endpoint's uid, unless the key is bound to a tenant."`
	Now        bool     `help:"Bring the next attempt of a pending delivery forward to now."`
	Force      bool     `help:"Also if it has succeeded and its endpoint gets it in order: it comes after others that follow it then. Of one delivery."`
	DryRun     bool     `help:"Order nothing: say which would be replayed, and what is in the way of the others. Of deliveries that are named by ids."`
}

// Run orders one delivery again, or many. Of many, those that can't be delivered again say why and are in nobody's way;
// then it exits 1.
func (r *replayCmd) Run(c *command) error {
	if len(r.Deliveries) == 2 && uuid.Validate(r.Deliveries[0]) == nil && r.Deliveries[1] != "-" {
		if !r.DryRun {
			return r.one(c, r.Deliveries[0], r.Deliveries[1])
		}
		r.Deliveries = []string{strings.Join(r.Deliveries, "/")}
	}
	if r.Tenant != "" {
		return usageError{errors.New("--tenant is for one delivery: a list has the endpoints' ids, which need none")}
	}
	if r.Force {
		return usageError{errors.New("--force is for one delivery: those of a list come in order among themselves")}
	}

	api, err := r.client()
	if err != nil {
		return err
	}
	m := &manyReplays{replayCmd: r, command: c, api: api, given: map[client.DeliveryRef]bool{}}
	return m.run()
}

func (r *replayCmd) one(c *command, event, endpoint string) error {
	_, err := ask(c, r.apiFlags, func(api *client.Client, o client.CallOption) (*client.Delivery, error) {
		params := client.ReplayDeliveryParams{TenantID: r.Tenant, Now: r.Now}
		var order *client.ReplayOrder
		if r.Force {
			order = &client.ReplayOrder{Force: &r.Force}
		}
		return api.ReplayDelivery(c.ctx, event, endpoint, order, params, o)
	}, showDelivery)
	return err
}

// manyReplays orders a list in requests of replaysAtOnce each, as it is read.
type manyReplays struct {
	*replayCmd

	command *command
	api     *client.Client

	next  []client.DeliveryRef // of the next request
	given map[client.DeliveryRef]bool

	ordered, replayed int
}

func (m *manyReplays) run() error {
	for _, arg := range m.Deliveries {
		if arg == "-" {
			if err := m.read(os.Stdin); err != nil {
				return err
			}
			continue
		}
		ref, err := parseReplay(arg)
		if err != nil {
			return usageError{fmt.Errorf("%q: %w", printable(arg), err)}
		}
		if err := m.add(ref); err != nil {
			return err
		}
	}

	if err := m.order(); err != nil {
		return err
	}
	fmt.Fprintf(m.command.stderr, "%s %d of %d\n", m.done(), m.replayed, m.ordered)
	if m.replayed < m.ordered {
		return exitError(exitFailed)
	}
	return nil
}

// done is what is said of a delivery that nothing is in the way of.
func (m *manyReplays) done() string {
	if m.DryRun {
		return "would replay"
	}
	return "replayed"
}

// read adds a delivery a line.
func (m *manyReplays) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxReplayLine)

	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		ref, err := parseReplay(line)
		if err != nil {
			return usageError{fmt.Errorf("line %d of standard input: %w; ordered before it: %d", n, err, m.ordered)}
		}
		if err := m.add(ref); err != nil {
			return err
		}
	}

	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	return nil
}

// parseReplay reads a delivery: two ids, or the API's JSON.
func parseReplay(line string) (ref client.DeliveryRef, err error) {
	if strings.HasPrefix(line, "{") {
		if err := json.Unmarshal([]byte(line), &ref); err != nil {
			return ref, errors.New("it is no JSON object with event_id and endpoint_id")
		}
	} else if ids := strings.Fields(strings.ReplaceAll(line, "/", " ")); len(ids) == 2 {
		ref = client.DeliveryRef{EventID: ids[0], EndpointID: ids[1]}
	}

	event, eventErr := uuid.Parse(ref.EventID)
	endpoint, endpointErr := uuid.Parse(ref.EndpointID)
	if eventErr != nil || endpointErr != nil {
		return ref, errors.New("it must name a delivery by the ids of its event and its endpoint: EVENT/ENDPOINT")
	}
	return client.DeliveryRef{EventID: event.String(), EndpointID: endpoint.String()}, nil
}

// add adds a delivery to the next request, which a full one is sent for. One that is in it already is left out.
func (m *manyReplays) add(ref client.DeliveryRef) error {
	if m.given[ref] {
		return nil
	}
	m.next, m.given[ref] = append(m.next, ref), true
	if len(m.next) < replaysAtOnce {
		return nil
	}
	return m.order()
}

// order sends what was added and prints what came of it.
func (m *manyReplays) order() error {
	if len(m.next) == 0 {
		return nil
	}

	body := client.ReplaysOrder{Deliveries: m.next, Now: &m.Now, DryRun: &m.DryRun}
	var a client.Answer
	results, err := m.api.ReplayDeliveries(m.command.ctx, body, client.ReplayDeliveriesParams{}, client.WithAnswer(&a))
	if err != nil {
		return explained(m.command.ctx, err)
	}

	m.ordered += len(m.next)
	m.next = m.next[:0]
	clear(m.given)

	var raw struct {
		Results []json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(a.Body, &raw); err != nil {
		return fmt.Errorf("reading the API's answer: %w", err)
	}
	return m.print(results.Results, raw.Results)
}

func (m *manyReplays) print(results []client.ReplayResult, raw []json.RawMessage) error {
	t := newTable(m.command.stdout, []string{"EVENT", "ENDPOINT", "RESULT", "WHY NOT"})
	for i, r := range results {
		what := m.done()
		if r.Replayed {
			m.replayed++
		} else {
			what = text(r.Code)
		}

		if !m.JSON {
			t.row(r.EventID, r.EndpointID, what, text(r.Detail))
		} else if err := printLine(m.command.stdout, raw[i]); err != nil {
			return err
		}
	}

	if !m.JSON {
		t.flush()
	}
	return nil
}
