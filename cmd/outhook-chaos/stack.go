package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/internal/apikey"
	"github.com/outhook/outhook/internal/localpg"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/migrations"
)

const (
	// pairs is how many processes of each role run.
	pairs = 2

	// schedule has more delays than receivers have refusals.
	schedule = "1s,3s,9s,27s,27s,27s,27s,27s,27s,27s,27s,27s"

	// deadSchedule is the dead endpoint's own.
	deadSchedule = "1s,3s"

	startLimit = 90 * time.Second

	// maxWorkers is of one worker. At 600 events per second about 300 requests hang, drip or are slow at any moment.
	maxWorkers = 400

	// wireOfClients is the name of the wire between the clients and Postgres.
	wireOfClients = "clients"
)

// stack is everything that runs: Postgres, four processes with a wire each, the receivers, and the clients with a wire.
type stack struct {
	dir       string
	apiKey    string
	postgres  *localpg.Server
	direct    *pgxpool.Pool // past all faults, for us
	journal   *journal
	watch     *watch
	receivers *receivers
	nodes     []*node
	wires     []*wire // of the nodes, then that of the clients
}

// shop is the application's schema. An order with a payload is reported by a trigger, the others by who writes them.
const shop = `
	CREATE SCHEMA shop;
	CREATE TABLE shop.orders (n bigint PRIMARY KEY, tenant text, payload text);
	CREATE FUNCTION shop.report() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM outhook.enqueue(NEW.tenant, '` + eventType + `', NEW.payload,
			labels => CASE WHEN NEW.n % 3 = 0 THEN ARRAY['` + label + `'] END,
			headers => CASE WHEN NEW.n % 3 = 0 THEN jsonb_build_object('` + headerNumber + `', NEW.n::text) END);
		RETURN NULL;
	END
	$$;
	CREATE TRIGGER report AFTER INSERT ON shop.orders FOR EACH ROW WHEN (NEW.payload IS NOT NULL)
		EXECUTE FUNCTION shop.report()`

// build builds the command once for each pair, so that a worker is known by its user agent, Outhook/<version>.
func build(ctx context.Context, dir, name, overlay string) (string, error) {
	path := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, //nolint:gosec // our own names
		"-ldflags", "-X main.release="+name, "-o", path, "github.com/outhook/outhook/cmd/outhook")

	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building outhook: %w\n%s", err, out)
	}
	return path, nil
}

func newStack(ctx context.Context, o options, dir string) (*stack, error) {
	toxics.Register(toxicLostAnswer, new(lostAnswer))
	s := &stack{dir: dir, journal: newJournal()}
	s.apiKey, _ = apikey.New()
	var err error

	if s.receivers, err = newReceivers(ctx, o); err != nil {
		return s, err
	}

	startCtx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if s.postgres, err = localpg.Start(startCtx, localpg.Config{}); err != nil {
		return s, fmt.Errorf("starting Postgres: %w", err)
	}

	if s.direct, err = pgxpool.New(ctx, s.postgres.URL("outhook")); err != nil {
		return s, fmt.Errorf("connecting to Postgres: %w", err)
	}
	s.watch = newWatch(s.direct, s.journal)
	if _, err = migrations.Up(startCtx, s.direct); err != nil {
		return s, err
	}

	if _, err := s.direct.Exec(startCtx, shop); err != nil {
		return s, fmt.Errorf("creating the application's table: %w", err)
	}

	return s, s.addNodes(ctx, o)
}

func (s *stack) addNodes(ctx context.Context, o options) (err error) {
	key, overlay := signature.NewKey(), ""
	if o.Clocks {
		if overlay, err = writeOverlay(ctx, s.dir); err != nil {
			return err
		}
	}

	for i := range pairs {
		name := fmt.Sprintf("worker-%d", i+1)
		binary, err := build(ctx, s.dir, name, overlay)
		if err != nil {
			return err
		}

		for _, n := range []*node{
			{name: name, role: roleWorker, binary: binary},
			{name: fmt.Sprintf("api-%d", i+1), role: roleAPI, binary: binary},
		} {
			if err := s.addNode(ctx, n, key); err != nil {
				return err
			}
		}
	}

	_, err = s.addWire(wireOfClients)
	return err
}

func (s *stack) addWire(name string) (*wire, error) {
	u, err := url.Parse(s.postgres.URL("outhook"))
	if err != nil {
		return nil, fmt.Errorf("parsing the database's URL: %w", err)
	}

	w, err := newWire(name, u.Host)
	if err != nil {
		return nil, err
	}

	s.wires = append(s.wires, w)
	return w, nil
}

func (s *stack) addNode(ctx context.Context, n *node, key string) (err error) {
	if n.wire, err = s.addWire(n.name); err != nil {
		return err
	}

	database, err := n.wire.through(s.postgres.URL("outhook"))
	if err != nil {
		return err
	}
	if database, err = s.ownRole(ctx, n.name, database); err != nil {
		return err
	}

	n.journal = s.journal
	n.env = []string{
		"PATH=" + os.Getenv("PATH"),
		"OUTHOOK_DATABASE_URL=" + database, "OUTHOOK_API_KEY=" + s.apiKey, "OUTHOOK_ENCRYPTION_KEY=" + key,
		"OUTHOOK_ROLES=" + n.role, "OUTHOOK_LISTEN=127.0.0.1:0", "OUTHOOK_RETRY_SCHEDULE=" + schedule,
		"OUTHOOK_EGRESS_ALLOW=127.0.0.0/8", "OUTHOOK_EGRESS_PORTS=any", "OUTHOOK_EGRESS_ALLOW_HTTP=true",
		"OUTHOOK_RIVER_UI=false", "OUTHOOK_MAX_WORKERS=" + strconv.Itoa(maxWorkers),
	}

	if n.role == roleWorker {
		n.clock = filepath.Join(s.dir, n.name+".clock")
		n.env = append(n.env, clockVariable+"="+n.clock)
	}

	if n.log, err = os.Create(filepath.Join(s.dir, n.name+".log")); err != nil {
		return fmt.Errorf("making a log: %w", err)
	}

	s.nodes = append(s.nodes, n)
	return nil
}

// ownRole makes a process's connections known in the database by a role of its own, and returns the URL for that.
func (s *stack) ownRole(ctx context.Context, name, database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", fmt.Errorf("parsing the database's URL: %w", err)
	}

	u.User = url.UserPassword(name, name)
	_, err = s.direct.Exec(ctx, fmt.Sprintf("CREATE ROLE %q LOGIN SUPERUSER PASSWORD '%s'", name, name))
	if err != nil {
		return "", fmt.Errorf("creating the role of %s: %w", name, err)
	}
	return u.String(), nil
}

func (s *stack) role(role string) []*node {
	var list []*node
	for _, n := range s.nodes {
		if n.role == role {
			list = append(list, n)
		}
	}
	return list
}

// awaitServing returns when every process says that it serves.
func (s *stack) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()

	for _, n := range s.nodes {
		for n.address.Load() == nil {
			if wait(ctx, 20*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("starting %s: it does not serve; see its log in %s", n.name, s.dir)
			}
		}
	}
	return nil
}

// subscribe creates the endpoints.
func (s *stack) subscribe(ctx context.Context, c *clients) error {
	for _, e := range s.receivers.all() {
		var answer struct {
			ID uuid.UUID `json:"id"`
		}
		address := *c.nodes[0].address.Load()
		status, err := c.request(ctx, http.MethodPost, address, "/api/endpoints", e.body(s.receivers.url(e)), &answer)
		if err != nil || status != http.StatusCreated {
			return errors.Join(fmt.Errorf("creating an endpoint: status %d", status), err)
		}

		e.id = answer.ID
	}
	return nil
}

// close ends what is left and reports what did not end well.
func (s *stack) close(ctx context.Context) error {
	var errs []error
	for _, w := range s.wires {
		w.current().Stop()
	}

	if s.receivers != nil {
		errs = append(errs, s.receivers.server.Close())
	}
	if s.direct != nil {
		s.direct.Close()
	}

	if s.postgres != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
		defer cancel()
		errs = append(errs, s.postgres.Stop(ctx))
	}

	for _, n := range s.nodes {
		errs = append(errs, n.log.Close())
	}

	return errors.Join(errs...)
}
