package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/cmd/outhook/internal/catalogfile"
)

type catalogCmd struct {
	Push   catalogPushCmd   `cmd:"" help:"Make the catalogue what a document, or a folder of schemas, says; exit 1 if that would break receivers."`
	Pull   catalogPullCmd   `cmd:"" help:"Write the catalogue into a document, or a folder of schemas; what is the same already stays as it is."`
	List   catalogListCmd   `cmd:"" help:"List the event types, and those that were seen and are not described."`
	Show   catalogShowCmd   `cmd:"" help:"Show an event type: its schema, examples, versions and what samples of its events broke."`
	Delete catalogDeleteCmd `cmd:"" help:"Delete an event type with its versions, for one that was a mistake; what was in use is better archived."`
	Set    catalogSetCmd    `cmd:"" help:"Deprecate, hide or enforce an event type; it stops no delivery."`
}

type catalogPushCmd struct {
	apiFlags

	Path          string `arg:"" help:"An OpenAPI 3.1 document with webhooks, as YAML or JSON, or a folder with a JSON Schema for each type (invoice.paid.json); - for standard input."`
	DryRun        bool   `help:"Only show what differs."`
	AllowBreaking bool   `help:"Also if receivers that were right may not be any more."`
	Prune         bool   `help:"Archive the event types that are not in it."`
	Note          string `help:"Why, for the versions that it makes."`
}

// Run pushes. What would break receivers is shown, and then it exits 1.
func (p *catalogPushCmd) Run(c *command) error {
	document, err := catalogfile.Read(p.Path)
	if err != nil {
		return ofFile(err)
	}

	push := map[string]any{"document": document, "dry_run": p.DryRun, "allow_breaking": p.AllowBreaking, "prune": p.Prune}
	if p.Note != "" {
		push["note"] = p.Note
	}
	if !p.DryRun && !p.AllowBreaking {
		report, err := p.push(c, push, true)
		if err != nil {
			return err
		}
		if report.Breaking {
			showReport(c.stdout, report)
			return errors.New("nothing was pushed: it would break receivers that are right; " +
				"give what changes a new event type, or say --allow-breaking")
		}
	}

	report, err := p.push(c, push, p.DryRun)
	if err != nil {
		return err
	}
	if !p.JSON {
		showReport(c.stdout, report)
	}
	if p.DryRun && report.Breaking && !p.AllowBreaking {
		return exitError(exitFailed)
	}
	return nil
}

// push asks for a push, or what it would do.
func (p *catalogPushCmd) push(c *command, push map[string]any, dry bool) (*client.CatalogReport, error) {
	push["dry_run"] = dry
	body, err := json.Marshal(push)
	if err != nil {
		return nil, fmt.Errorf("encoding the catalogue: %w", err)
	}

	api, err := p.client()
	if err != nil {
		return nil, err
	}
	var a client.Answer
	report, err := api.PushCatalog(c.ctx, client.NewCatalog{}, client.PushCatalogParams{}, client.WithBody(body),
		client.WithAnswer(&a))
	if err != nil {
		return nil, explained(c.ctx, err)
	}
	if p.JSON && dry == p.DryRun {
		c.printf("%s\n", strings.TrimSpace(string(a.Body)))
	}
	return report, nil
}

func showReport(w io.Writer, r *client.CatalogReport) {
	for _, t := range r.Types {
		for _, change := range t.Changes {
			line := fmt.Sprintf("%s%s: %s", t.Name, change.Pointer, change.What)
			if change.Breaking {
				line += "  BREAKING"
			}
			fmt.Fprintln(w, printable(line))
		}
	}

	did := "changed"
	if r.DryRun {
		did = "would change"
	}
	fmt.Fprintf(w, "%d %s, %d unchanged\n", len(r.Types), did, r.Unchanged)
	if len(r.Missing) > 0 {
		fmt.Fprintf(w, "not in it (--prune archives them): %s\n", printable(strings.Join(r.Missing, ", ")))
	}
}

type catalogPullCmd struct {
	apiFlags

	Path string `arg:"" help:"The document, YAML if it is called so and JSON else, or a folder, which is there already or whose name ends in /; - for standard output."`
}

// Run pulls.
func (p *catalogPullCmd) Run(c *command) error {
	api, err := p.client()
	if err != nil {
		return err
	}
	pulled, err := api.GetCatalog(c.ctx, client.GetCatalogParams{})
	if err != nil {
		return explained(c.ctx, err)
	}

	written, err := catalogfile.Write(p.Path, pulled.Document, c.stdout)
	if err != nil {
		return ofFile(err)
	}
	if p.Path == "-" {
		return nil
	}
	for _, name := range written {
		c.printf("wrote %s\n", printable(name))
	}
	if len(written) == 0 {
		c.printf("nothing is different\n")
	}
	return nil
}

type catalogListCmd struct {
	apiFlags
	listFlags

	Group string `help:"Only types of this group."`
	State string `enum:"active,deprecated,archived," default:"" help:"Only types in this state: active, deprecated or archived."`
}

// Run lists types.
func (l *catalogListCmd) Run(c *command) error {
	api, err := l.client()
	if err != nil {
		return err
	}

	params := client.ListEventTypesParams{Order: l.Order, Group: l.Group, State: l.State}
	header := []string{"TYPE", "VERSION", "STATE", "SHOWN", "ENFORCE", "BROKEN", "TITLE"}
	row := func(t client.EventType) []string {
		return []string{
			t.Name, strconv.Itoa(t.Version), t.State, t.Visibility, t.Enforce, broken(t.Violations, t.Checked), t.Title,
		}
	}
	err = list(c, l.apiFlags, l.listFlags, header, row,
		func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.EventType], error) {
			params.Limit, params.Cursor = limit, cursor
			return api.ListEventTypes(c.ctx, params, o...)
		})
	if err != nil || l.JSON || l.Group != "" || l.State != "" {
		return err
	}

	seen, err := api.ListUndescribedTypes(c.ctx)
	if err != nil {
		return explained(c.ctx, err)
	}
	if len(seen.Types) == 0 {
		return nil
	}
	c.printf("\n")
	others := newTable(c.stdout, []string{"SEEN BUT NOT DESCRIBED", "IN SAMPLES", "LAST"})
	for _, t := range seen.Types {
		others.row(t.Type, strconv.Itoa(t.Events), utc(t.SeenAt))
	}
	others.flush()
	return nil
}

// broken is how many events of a sample broke their schema.
func broken(violations, checked int) string {
	if checked == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", violations, checked)
}

// eventTypeArg is an event type that a command is about.
type eventTypeArg struct {
	apiFlags

	Type string `arg:"" help:"The event type."`
}

type catalogShowCmd struct{ eventTypeArg }

// Run shows a type.
func (s *catalogShowCmd) Run(c *command) error {
	_, err := ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.EventTypeDetails, error) {
		return api.GetEventType(c.ctx, s.Type, o)
	}, showEventType)
	return err
}

func showEventType(w io.Writer, t *client.EventTypeDetails) {
	pairs := []string{
		"type", t.Name, "title", t.Title, "group", t.Group, "state", t.State, "shown", t.Visibility,
		"flags", strings.Join(t.Flags, ", "), "enforce", t.Enforce, "guard", t.Guard, "version", strconv.Itoa(t.Version),
		"subscribers", strconv.Itoa(t.Subscribers), "broken", broken(t.Violations, t.Checked),
	}
	if t.Violation != nil {
		pairs = append(pairs, "last broken",
			fmt.Sprintf("%s %s %s", t.Violation.EventID, t.Violation.Pointer, t.Violation.Problem))
	}
	for _, v := range t.Versions {
		text := utc(v.CreatedAt)
		if v.Breaking {
			text += " BREAKING"
		}
		pairs = append(pairs, fmt.Sprintf("version %d", v.Version), strings.TrimSpace(text+" "+v.Note))
	}
	fields(w, pairs...)

	if t.Description != "" {
		fmt.Fprintf(w, "\n%s\n", printableLines(t.Description))
	}
	fmt.Fprintf(w, "\nschema\n%s\n", printableLines(catalogfile.Indented(t.Schema)))
	for _, example := range t.Examples {
		fmt.Fprintf(w, "\nexample\n%s\n", printableLines(catalogfile.Indented(example)))
	}
}

type catalogSetCmd struct {
	eventTypeArg

	State      string `enum:"active,deprecated,archived," default:"" help:"active, deprecated or archived."`
	Visibility string `enum:"public,flagged,hidden," default:"" help:"Who it is shown to: public, flagged or hidden."`
	Enforce    string `enum:"none,warn,reject,guard," default:"" help:"What becomes of payloads that break the schema: none (nothing), warn (they are counted in samples), reject (the API refuses them) or guard (the enqueue functions refuse what Postgres can tell, and the transaction that called them fails)."`
}

// Run changes a type.
func (s *catalogSetCmd) Run(c *command) error {
	body := client.EventTypeChange{}
	for _, m := range []struct {
		value string
		in    *client.Change[string]
	}{{s.State, &body.State}, {s.Visibility, &body.Visibility}, {s.Enforce, &body.Enforce}} {
		if m.value != "" {
			*m.in = client.Set(m.value)
		}
	}
	if body == (client.EventTypeChange{}) {
		return usageError{errors.New("nothing to change: give at least one flag (outhook catalog set --help)")}
	}

	_, err := ask(c, s.apiFlags, func(api *client.Client, o client.CallOption) (*client.EventTypeDetails, error) {
		return api.UpdateEventType(c.ctx, s.Type, body, client.UpdateEventTypeParams{}, o)
	}, showEventType)
	return err
}

type catalogDeleteCmd struct {
	eventTypeArg

	Yes bool `help:"Really do it: its versions, examples and samples are gone."`
}

// Run deletes a type.
func (d *catalogDeleteCmd) Run(c *command) error {
	if !d.Yes {
		return usageError{errors.New("deleting takes the versions and examples along: say --yes if that is what you want " +
			"(outhook catalog set --state archived keeps them)")}
	}

	api, err := d.client()
	if err != nil {
		return err
	}
	if err := api.DeleteEventType(c.ctx, d.Type, client.DeleteEventTypeParams{}); err != nil {
		return explained(c.ctx, err)
	}

	if !d.JSON {
		c.printf("deleted %s\n", d.Type)
	}
	return nil
}

// ofFile says that it is the user's file which is wrong, where it is.
func ofFile(err error) error {
	if _, ok := errors.AsType[*catalogfile.FileError](err); ok {
		return usageError{err}
	}
	return err
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
