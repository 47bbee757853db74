package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
)

type applyCmd struct {
	apiFlags

	File   string `arg:"" help:"The YAML file of endpoints; - for standard input."`
	DryRun bool   `help:"Only check, and show what would be done, member by member."`
	Prune  bool   `help:"Delete what an earlier run has made with the same set and the file has no more, of the tenants in the file and of --tenant."`
	Tenant string `help:"The tenant of endpoints that name none."`
}

// Run makes the endpoints what the file says. A refusal of one is in nobody's way; then it exits 1.
func (a *applyCmd) Run(c *command) error {
	file, err := readApplyFile(a.File, a.Tenant, os.Getenv)
	if err != nil {
		return err
	}
	if a.Prune && len(file.entries) == 0 && a.Tenant == "" {
		return usageError{errors.New("--prune with a file of no endpoints needs --tenant: whose endpoints to delete")}
	}

	api, err := a.client()
	if err != nil {
		return err
	}
	run := &applying{applyCmd: a, command: c, api: api, file: file, kept: map[string]map[string]bool{}}
	return run.run()
}

// applied is what became of an endpoint.
type applied struct {
	TenantID string         `json:"tenant_id"`
	UID      string         `json:"uid"`
	ID       string         `json:"id,omitempty"`
	Result   string         `json:"result"`
	DryRun   bool           `json:"dry_run,omitempty"`
	Changed  []string       `json:"changed,omitempty"`
	Members  []memberChange `json:"members,omitempty"` // in a dry run
	Secret   string         `json:"secret,omitempty"`
	Refused  []string       `json:"refused,omitempty"`
}

// memberChange is what a dry run shows of a member.
type memberChange struct {
	Name   string          `json:"name"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

const (
	applyCreated   = "created"
	applyChanged   = "changed"
	applyUnchanged = "unchanged"
	applyDeleted   = "deleted"
	applyRefused   = "refused"
)

// applying is one run.
type applying struct {
	*applyCmd

	command *command
	api     *client.Client
	file    *applyFile

	kept   map[string]map[string]bool // the uids in the file, by tenant
	counts map[string]int
}

func (a *applying) run() error {
	a.counts = map[string]int{}
	if a.Tenant != "" {
		a.kept[a.Tenant] = map[string]bool{}
	}

	for i := range a.file.entries {
		if err := a.entry(&a.file.entries[i]); err != nil {
			return err
		}
	}
	if a.Prune {
		if err := a.prune(); err != nil {
			return err
		}
	}

	a.summarize()
	if a.counts[applyRefused] > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// entry applies what the file says of an endpoint.
func (a *applying) entry(e *applyEntry) error {
	if len(e.refused) > 0 {
		return a.tell(applied{TenantID: e.text("tenant_id"), UID: e.text("uid"), Result: applyRefused, Refused: e.refused})
	}

	done, err := a.put(e)
	var refusal *client.Error
	switch {
	case errors.As(err, &refusal) && refusal.Status != http.StatusUnauthorized:
		done.Result, done.Refused = applyRefused, a.placed(e, refusal)
		return a.tell(*done)
	case err != nil && done.Secret != "": // it was made, and this is the last look at its secret
		return errors.Join(a.tell(*done), explained(a.command.ctx, err))
	case err != nil:
		return explained(a.command.ctx, err)
	}

	if a.kept[done.TenantID] == nil {
		a.kept[done.TenantID] = map[string]bool{}
	}
	a.kept[done.TenantID][done.UID] = true
	return a.tell(*done)
}

// body returns the body of the request for an entry: with the mark of the set, and without the status, which is no
// member of it.
func (a *applying) body(e *applyEntry) ([]byte, error) {
	body := maps.Clone(e.members)
	delete(body, "status")

	metadata, isMapping := body["metadata"].(map[string]any)
	if isMapping || body["metadata"] == nil {
		marked := map[string]any{setMember: a.file.set}
		maps.Copy(marked, metadata)
		body["metadata"] = marked
	}

	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding an endpoint: %w", err)
	}
	return data, nil
}

// put makes an endpoint what an entry says, or shows what it would be. With an error comes what was done before it.
func (a *applying) put(e *applyEntry) (*applied, error) {
	done := &applied{TenantID: e.text("tenant_id"), UID: e.text("uid"), Result: applyUnchanged}
	data, err := a.body(e)
	if err != nil {
		return done, err
	}
	before, err := a.before(done)
	if err != nil {
		return done, err
	}

	var answer client.Answer
	after, err := a.api.PutEndpoint(a.command.ctx, done.UID, client.NewEndpoint{},
		client.PutEndpointParams{DryRun: a.DryRun}, client.WithBody(data), client.WithAnswer(&answer))
	if err != nil {
		return done, err
	}

	done.TenantID, done.ID, done.Changed = after.TenantID, after.ID, after.Changed
	created := answer.Status == http.StatusCreated
	if e.members["secret"] == nil {
		done.Secret = after.Secret
	}
	if created {
		done.Result = applyCreated
	}
	if err := a.setStatus(e, after, done); err != nil {
		return done, err
	}

	switch {
	case created:
		done.Changed = nil
	case len(done.Changed) > 0:
		done.Result = applyChanged
	}
	if !a.DryRun {
		return done, nil
	}
	if created {
		done.ID = "" // of an endpoint that there is not
	}
	done.Members, err = e.differences(done, before, answer.Body)
	return done, err
}

// before returns what a dry run compares with. Nil: there is none.
func (a *applying) before(done *applied) ([]byte, error) {
	if !a.DryRun {
		return nil, nil
	}

	var answer client.Answer
	params := client.GetEndpointParams{TenantID: done.TenantID}
	_, err := a.api.GetEndpoint(a.command.ctx, done.UID, params, client.WithAnswer(&answer))
	var refusal *client.Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return nil, nil
	}
	return answer.Body, err
}

// setStatus sets the status that an entry gives. One without any leaves it to the workers and to people.
func (a *applying) setStatus(e *applyEntry, is *client.Endpoint, done *applied) error {
	status := e.text("status")
	if status == "" || status == is.Status {
		return nil
	}

	done.Changed = append(done.Changed, "status")
	if a.DryRun {
		return nil
	}
	_, err := a.api.UpdateEndpoint(a.command.ctx, is.ID, client.EndpointChange{Status: client.Set(status)},
		client.UpdateEndpointParams{})
	return err
}

// differences returns what a dry run shows of the members that would change, or be made.
func (e *applyEntry) differences(done *applied, before, after []byte) (list []memberChange, err error) {
	var was, is map[string]json.RawMessage
	if len(before) > 0 {
		if err := json.Unmarshal(before, &was); err != nil {
			return nil, fmt.Errorf("reading the API's answer: %w", err)
		}
	}
	if err := json.Unmarshal(after, &is); err != nil {
		return nil, fmt.Errorf("reading the API's answer: %w", err)
	}

	names := done.Changed
	if done.Result == applyCreated {
		names = slices.DeleteFunc(sortedKeys(e.members), func(n string) bool { return n == "tenant_id" || n == "uid" })
	}
	for _, name := range names {
		change := memberChange{Name: name, Before: was[name], After: is[name]} // of secrets none: no answer has them
		if name == "status" {
			if change.After, err = json.Marshal(e.text(name)); err != nil {
				return nil, fmt.Errorf("encoding a status: %w", err)
			}
		}
		list = append(list, change)
	}
	return list, nil
}

// placed returns what the API refuses of an entry, with the places in the file.
func (a *applying) placed(e *applyEntry, refusal *client.Error) (list []string) {
	for _, d := range refusal.Errors {
		where := strings.TrimPrefix(d.Location, "body.")
		member, _, _ := strings.Cut(strings.ReplaceAll(where, "[", "."), ".")
		line, known := e.lines[member]
		if !known {
			line = e.line
		}
		list = append(list, fmt.Sprintf("%s: %s %s", a.file.at(line), where, d.Message))
	}

	if len(list) == 0 {
		list = []string{a.file.at(e.line) + ": " + refusal.Detail}
	}
	return list
}

// prune deletes what the set has made and the file has no more. With a refusal nothing is: what was refused may be what
// an endpoint was to become.
func (a *applying) prune() error {
	if a.counts[applyRefused] > 0 {
		fmt.Fprintln(a.command.stderr, "nothing was pruned, since something was refused")
		return nil
	}

	for _, tenant := range sortedKeys(a.kept) {
		gone, err := a.gone(tenant)
		if err != nil {
			return err
		}
		for _, e := range gone {
			if err := a.remove(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone returns the endpoints of a tenant that the set has made and that are not in the file.
func (a *applying) gone(tenant string) (list []client.Endpoint, err error) {
	params := client.ListEndpointsParams{TenantID: tenant, Metadata: map[string]string{setMember: a.file.set}}
	made := func(limit int, cursor string, o ...client.CallOption) (*client.Page[client.Endpoint], error) {
		params.Limit, params.Cursor = limit, cursor
		return a.api.ListEndpoints(a.command.ctx, params, o...)
	}

	_, err = eachPage(a.command, made, pageSize, func(items []client.Endpoint, _ []json.RawMessage) (int, error) {
		for _, e := range items {
			if e.UID == nil || !a.kept[tenant][*e.UID] {
				list = append(list, e)
			}
		}
		return pageSize, nil
	})
	return list, err
}

func (a *applying) remove(e client.Endpoint) error {
	if !a.DryRun {
		err := a.api.DeleteEndpoint(a.command.ctx, e.ID, client.DeleteEndpointParams{})
		var refusal *client.Error
		if err != nil && (!errors.As(err, &refusal) || refusal.Status != http.StatusNotFound) {
			return explained(a.command.ctx, err)
		}
	}

	uid := ""
	if e.UID != nil {
		uid = *e.UID
	}
	return a.tell(applied{TenantID: e.TenantID, UID: uid, ID: e.ID, Result: applyDeleted})
}

// tell prints what became of an endpoint.
func (a *applying) tell(done applied) error {
	a.counts[done.Result]++
	done.DryRun = a.DryRun
	if a.JSON {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(done); err != nil { //nolint:gosec // a secret that is asked for, and shown once
			return fmt.Errorf("writing the result: %w", err)
		}
		a.command.printf("%s", line.String())
		return nil
	}

	a.command.printf("%-10s %s/%s", wordOf(done.Result, a.DryRun), printable(done.TenantID), printable(done.UID))
	if !a.DryRun && len(done.Changed) > 0 {
		a.command.printf(": %s", strings.Join(done.Changed, ", "))
	}
	a.command.printf("\n")

	for _, fault := range done.Refused {
		a.command.printf("  %s\n", printable(fault))
	}
	if done.Secret != "" {
		a.command.printf("  secret: %s (keep it, it is not shown again)\n", done.Secret)
	}
	for _, m := range done.Members {
		a.command.printf("  %s: %s\n", m.Name, printable(m.String()))
	}
	return nil
}

// String shows a change for people.
func (m memberChange) String() string {
	switch {
	case m.After == nil:
		return "(secret, not shown)"
	case m.Before == nil:
		return string(m.After)
	}
	return fmt.Sprintf("%s -> %s", m.Before, m.After)
}

// wordOf is a result as it is said: a dry run says what would be done.
func wordOf(result string, dryRun bool) string {
	if !dryRun {
		return result
	}
	switch result {
	case applyCreated:
		return "create"
	case applyChanged:
		return "change"
	case applyDeleted:
		return "delete"
	}
	return result
}

// summarize counts the results.
func (a *applying) summarize() { fmt.Fprintln(a.command.stderr, countsOf(a.counts, a.DryRun)) }

// countsOf says how often there was which result.
func countsOf(counts map[string]int, dryRun bool) string {
	var parts []string
	for _, result := range []string{applyCreated, applyChanged, applyUnchanged, applyDeleted, applyRefused} {
		if n := counts[result]; n > 0 || result == applyUnchanged {
			parts = append(parts, fmt.Sprintf("%d %s", n, wordOf(result, dryRun)))
		}
	}

	text := strings.Join(parts, ", ")
	if dryRun {
		text += " (dry run: nothing was written)"
	}
	return text
}
