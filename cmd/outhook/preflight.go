package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbclock"
	"github.com/outhook/outhook/internal/pg"
	"github.com/outhook/outhook/jobs/rekey"
	"github.com/outhook/outhook/jobs/retention"
	"github.com/outhook/outhook/migrations"
)

// Results of a check.
const (
	passed   = "ok"
	doubtful = "warning"
	failed   = "FAILED"
)

const (
	// minVersion is the oldest major version of PostgreSQL that Outhook runs on.
	minVersion = 15

	// minKeyBytes and minKeyLetters are what a bootstrap key needs: `openssl rand -hex 32` makes 64 bytes of 16 letters.
	minKeyBytes   = 32
	minKeyLetters = 8

	// A clock that is further off than maxSkew makes a worker not ready; beyond leaderSkew it does not lead River.
	maxSkew    = time.Minute
	leaderSkew = 5 * time.Second
)

// verdict is the result of one check.
type verdict struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning or FAILED
	Text   string `json:"text"`   // what is so, and what to do
}

// preflight looks at an installation before it goes into production, with the environment of a process of the server.
type preflight struct {
	flags    doctorCmd
	roles    server.Roles
	pool     *pgxpool.Pool
	verdicts []verdict
}

// preflight prints a line for each check; it exits 1 if one has failed.
func (d doctorCmd) preflight(c *command) error {
	p := &preflight{flags: d}
	var err error
	if p.roles, err = parseRoles(d.Roles); err != nil {
		return usageError{err}
	}

	p.pool, err = openPool(c.ctx, d.DatabaseURL, "outhook doctor", doctorConns)
	switch {
	case errors.Is(err, pg.ErrNoSession):
		p.add("pooler", failed, "%v", err)
		return p.print(c)
	case err != nil:
		return err
	}
	defer p.pool.Close()

	if err := p.look(c.ctx); err != nil {
		return err
	}
	return p.print(c)
}

// add notes the result of a check.
func (p *preflight) add(check, result, format string, args ...any) {
	p.verdicts = append(p.verdicts, verdict{check, result, fmt.Sprintf(format, args...)})
}

// judge notes a check that has failed or passed.
func (p *preflight) judge(check string, fails bool, bad, good string) {
	if fails {
		p.add(check, failed, "%s", bad)
		return
	}
	p.add(check, passed, "%s", good)
}

// look goes through all checks. What needs the schema is left out if that is missing.
func (p *preflight) look(ctx context.Context) error {
	login, err := db.New().InspectLogin(ctx, p.pool)
	if err != nil {
		return fmt.Errorf("reading who this login is: %w", err)
	}
	p.server(login)
	if err := p.pooler(ctx); err != nil {
		return err
	}
	p.login(login)
	p.connections(login)
	if err := p.settings(ctx); err != nil {
		return err
	}
	if err := p.clock(ctx); err != nil {
		return err
	}

	if err := migrations.Check(ctx, p.pool); err != nil {
		p.add("schema", failed, "%v", err)
		return nil
	}
	p.add("schema", passed, "version %d or newer", migrations.Latest())
	for _, check := range []func(context.Context) error{p.rights, p.owner, p.partitions, p.encryption, p.apiKey} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// server judges what answers.
func (p *preflight) server(l db.InspectLoginRow) {
	p.judge("postgres_version", l.VersionNumber < minVersion*10_000,
		fmt.Sprintf("PostgreSQL %s: upgrade it to %d or newer", l.Version, minVersion), "PostgreSQL "+l.Version)
	p.judge("primary", l.ReadOnly,
		"this server is read-only, a standby: name the primary, or all hosts with target_session_attrs=read-write",
		"it can be written to")
}

// login judges whose rights a process would have.
func (p *preflight) login(l db.InspectLoginRow) {
	const instead = "use a login of its own: CREATE ROLE outhook_app LOGIN PASSWORD '…' IN ROLE outhook_server"
	switch {
	case l.Superuser:
		p.add("role", failed, "%s is a superuser, and so would be whoever takes over a process: %s", l.Role, instead)
	case l.Owns:
		p.add("role", failed, "%s owns the schema, or may become who does, and could drop it: %s", l.Role, instead)
	case !l.Serves:
		p.add("role", failed, "%s is no member of outhook_server: GRANT outhook_server TO it", l.Role)
	case l.Powerful:
		p.add("role", doubtful,
			"%s may more than the server needs: ALTER ROLE … NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION", l.Role)
	default:
		p.add("role", passed, "%s is a member of outhook_server and owns nothing of the schema", l.Role)
	}

	if l.SeesAll {
		p.add("statistics", passed, "it sees all sessions")
		return
	}
	p.add("statistics", doubtful, "%s does not see which sessions hold back vacuum: GRANT pg_read_all_stats TO it", l.Role)
}

// connections compares what this process may open with what there is room for.
func (p *preflight) connections(l db.InspectLoginRow) {
	wants := 0
	if p.roles.API {
		wants += server.APIConnections
	}
	if p.roles.Worker {
		wants += server.WorkerConnections
	}

	room := int(l.Room)
	for _, limit := range []int32{l.RoleLimit, l.DatabaseLimit} {
		if limit >= 0 {
			room = min(room, int(limit))
		}
	}
	switch {
	case room < wants:
		p.add("connections", failed, "a process with these roles opens up to %d, and there is room for %d: raise "+
			"max_connections, or the limit of the role or database", wants, room)
	case room-int(l.Used) < wants:
		p.add("connections", doubtful, "a process with these roles opens up to %d, and of %d there are %d in use: fine if "+
			"those are its own, else raise max_connections", wants, room, l.Used)
	default:
		p.add("connections", passed, "a process with these roles opens up to %d; there is room for %d, %d are in use",
			wants, room, l.Used)
	}
}

// pooler tells what is between here and the server. A pooler keeps a client's identification to itself.
func (p *preflight) pooler(ctx context.Context) error {
	return p.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		row, err := db.New().InspectLogin(ctx, conn)
		if err != nil {
			return fmt.Errorf("looking for a pooler: %w", err)
		}
		if uint32(row.Pid) == conn.Conn().PgConn().PID() { //nolint:gosec // a process id
			p.add("pooler", passed, "none")
			return nil
		}

		p.add("pooler", passed, "one that keeps sessions: give it %d server connections for each API, and %d for each worker",
			server.APIConnections, server.WorkerConnections)
		return nil
	})
}

// settings judges those of Postgres on which it depends that nothing is lost, and that nothing grows.
func (p *preflight) settings(ctx context.Context) error {
	on := []struct{ name, without string }{
		{"fsync", "a crash of the machine destroys the database"},
		{"full_page_writes", "a crash of the machine may destroy pages"},
		{"autovacuum", "dead rows of river_job are never removed, and all gets slower"},
		{"track_counts", "autovacuum does not know what to do, and metrics count nothing"},
	}
	names := []string{"synchronous_commit", "idle_in_transaction_session_timeout", "statement_timeout"}
	for _, s := range on {
		names = append(names, s.name)
	}

	rows, err := db.New().ListSettings(ctx, p.pool, names)
	if err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	is := map[string]string{}
	for _, r := range rows {
		is[r.Name] = r.Value
	}

	for _, s := range on {
		p.judge(s.name, is[s.name] != "on", fmt.Sprintf("%s: switch it on, since without it %s", is[s.name], s.without), "on")
	}
	p.judge("synchronous_commit", is["synchronous_commit"] == "off" || is["synchronous_commit"] == "local",
		is["synchronous_commit"]+": set it to on or more, or what your own transactions enqueue may be lost with them",
		is["synchronous_commit"])
	p.timeouts(is["idle_in_transaction_session_timeout"], is["statement_timeout"])
	return nil
}

// timeouts judges what ends others' sessions: Outhook's own state theirs.
func (p *preflight) timeouts(idle, statement string) {
	if idle == "0" {
		p.add("idle_timeout", doubtful, "no idle_in_transaction_session_timeout: set it for applications, since a "+
			"transaction that somebody forgot keeps dead rows of river_job, and the retention waits for it")
	} else {
		p.add("idle_timeout", passed, "idle_in_transaction_session_timeout is %s ms; Outhook's sessions have their own", idle)
	}
	if statement == "0" {
		p.add("statement_timeout", passed, "none; Outhook's statements have their own")
	} else {
		p.add("statement_timeout", passed, "%s ms for others; Outhook's statements have their own", statement)
	}
}

// clock compares this machine's with the database's.
func (p *preflight) clock(ctx context.Context) error {
	var clock dbclock.Clock
	for range dbclock.Samples {
		sent := time.Now()
		now, err := db.New().GetDatabaseTime(ctx, p.pool)
		if err != nil {
			return fmt.Errorf("reading the database's clock: %w", err)
		}
		clock.Sample(sent, time.Now(), now)
	}

	const sync = "synchronise both with NTP"
	switch off := clock.Offset().Abs().Round(time.Millisecond); {
	case off > maxSkew:
		p.add("clock", failed, "this machine's is %s off the database's, and a worker is not ready beyond %s: %s",
			off, maxSkew, sync)
	case off > leaderSkew:
		p.add("clock", doubtful, "this machine's is %s off the database's, and beyond %s a worker leads no periodic jobs: %s",
			off, leaderSkew, sync)
	default:
		p.add("clock", passed, "%s off the database's", off)
	}
	return nil
}

// rights compares owners and rights with what is declared.
func (p *preflight) rights(ctx context.Context) error {
	wrong, _, err := migrations.Differences(ctx, p.pool)
	if err != nil {
		return err
	}
	if err := migrations.CheckRights(ctx, p.pool); err != nil {
		wrong = append(wrong, err.Error())
	}

	bad := ""
	if len(wrong) > 0 {
		bad = fmt.Sprintf("%d are not as declared (%s): run `outhook migrate up` as the owner", len(wrong), wrong[0])
	}
	p.judge("rights", len(wrong) > 0, bad, "owners and rights are as declared")
	return nil
}

// owner judges who is given the owner's URL: workers, which no client reaches, and nobody else.
func (p *preflight) owner(ctx context.Context) error {
	switch given := p.flags.OwnerDatabaseURL != ""; {
	case given && p.roles.API:
		p.add("owner_url", failed, "OUTHOOK_OWNER_DATABASE_URL is given to a process with the API, which clients reach: run "+
			"the API without it, with OUTHOOK_ROLES=api, and workers on their own")
		return nil
	case !given && p.roles.Worker:
		p.add("owner_url", doubtful, "OUTHOOK_OWNER_DATABASE_URL is not set: if no worker has it, old days are never removed")
		return nil
	case !given:
		p.add("owner_url", passed, "none, as an API should have it")
		return nil
	}

	pool, err := openPool(ctx, p.flags.OwnerDatabaseURL, "outhook doctor", 1)
	if err != nil {
		p.add("owner_url", failed, "OUTHOOK_OWNER_DATABASE_URL: %v", err)
		return nil
	}
	defer pool.Close()

	owns, err := db.New().OwnsSchema(ctx, pool)
	if err != nil {
		return fmt.Errorf("asking who owns the schema: %w", err)
	}
	p.judge("owner_url", !owns, "OUTHOOK_OWNER_DATABASE_URL's user does not own the schema: give the one that migrates",
		"it owns the schema, and this process has no API")
	return nil
}

// partitions looks for the days to come.
func (p *preflight) partitions(ctx context.Context) error {
	var missing []string
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) (err error) {
		missing, err = retention.MissingPartitions(ctx, tx, retention.MinPartitionsAhead)
		return err
	})
	if err != nil {
		return err
	}

	bad := ""
	if len(missing) > 0 {
		bad = fmt.Sprintf("%d of today and the coming %d days are missing (%s): start a worker, "+
			"or run `outhook doctor --repair`",
			len(missing), retention.MinPartitionsAhead, missing[0])
	}
	p.judge("partitions", len(missing) > 0, bad,
		fmt.Sprintf("there for the coming %d days at least", retention.MinPartitionsAhead))
	return nil
}

// encryption judges whether the keys open what is stored.
func (p *preflight) encryption(ctx context.Context) error {
	keyring, err := p.flags.keyring()
	switch {
	case err != nil:
		p.add("encryption_key", failed, "%v", err)
		return nil
	case keyring == nil:
		p.add("encryption_key", failed,
			"OUTHOOK_ENCRYPTION_KEY is not set: openssl rand -base64 32, and keep a copy elsewhere")
		return nil
	}

	missing, err := rekey.Missing(ctx, p.pool, keyring)
	if err != nil {
		return err
	}
	bad := ""
	if len(missing) > 0 {
		bad = fmt.Sprintf("%d are missing that have sealed what is stored (%s): add them behind the first",
			len(missing), missing[0])
	}
	p.judge("encryption_key", len(missing) > 0, bad, "it opens all that is stored: keep a copy elsewhere")
	return nil
}

// apiKey judges the bootstrap key, or whether there is another one.
func (p *preflight) apiKey(ctx context.Context) error {
	if !p.roles.API {
		return nil
	}
	if p.flags.APIKey == "" {
		found, err := db.New().HasLiveAPIKey(ctx, p.pool)
		if err != nil {
			return fmt.Errorf("looking for API keys: %w", err)
		}
		p.judge("api_key", !found, "nobody has a key: `outhook keys create NAME --scope admin`",
			"no bootstrap key, and there are others")
		return nil
	}

	fault := weakness(p.flags.APIKey)
	p.judge("api_key", fault != "", "OUTHOOK_API_KEY "+fault+": openssl rand -hex 32 makes one",
		"the bootstrap key is long enough: make others with `outhook keys create`, then leave it out")
	return nil
}

// weakness says what makes a key easy to guess, "" if nothing does.
func weakness(key string) string {
	letters := map[rune]bool{}
	for _, r := range key {
		letters[r] = true
	}

	for _, word := range []string{"change", "example", "secret", "password", "admin", "test", "outhook"} {
		if strings.Contains(strings.ToLower(key), word) {
			return fmt.Sprintf("has %q in it, as keys of examples do", word)
		}
	}
	switch {
	case len(key) < minKeyBytes:
		return fmt.Sprintf("has %d bytes, fewer than %d", len(key), minKeyBytes)
	case len(letters) < minKeyLetters:
		return fmt.Sprintf("has %d different letters, fewer than %d", len(letters), minKeyLetters)
	}
	return ""
}

func (p *preflight) print(c *command) error {
	bad := 0
	for _, v := range p.verdicts {
		if v.Result == failed {
			bad++
		}
	}

	if p.flags.JSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"ok": bad == 0, "preflight": p.verdicts}); err != nil {
			return err
		}
	} else {
		for _, v := range p.verdicts {
			c.printf("%-7s  %-18s  %s\n", v.Result, v.Check, v.Text)
		}
	}
	if bad > 0 {
		return exitError(1)
	}
	return nil
}
