package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/cmd/outhook/internal/svixapi"
)

type importSvixCmd struct {
	URL   string `name:"url" required:"" placeholder:"URL" help:"The address of the server of Svix, like https://api.eu.svix.com."`
	Token string `required:"" env:"OUTHOOK_SVIX_TOKEN" secret:"" help:"The token for the server of Svix."`

	OuthookURL string        `name:"outhook-url" env:"OUTHOOK_URL" default:"http://127.0.0.1:8080" help:"The address of the API."`
	APIKey     string        `name:"api-key" env:"OUTHOOK_API_KEY" secret:"" help:"The key for the API, of the scope admin."`
	Timeout    time.Duration `default:"60s" help:"How long to wait for an answer, with what is tried again."`
	JSON       bool          `name:"json" help:"Print what became of each application and endpoint as an object a line."`

	DryRun bool   `help:"Write nothing, and say what would be done."`
	After  string `placeholder:"ID" help:"Go on after the application with this id at Svix, where an earlier run was stopped."`
}

// importing is one run.
type importing struct {
	*importSvixCmd

	command *command
	from    *svixapi.Client
	api     *client.Client

	last   string // the application that was copied last
	counts map[string]int
	wanted int // how many need somebody's attention
}

// imported is what became of an application or an endpoint.
type imported struct {
	Kind      string   `json:"kind"`
	SvixID    string   `json:"svix_id"`
	TenantID  string   `json:"tenant_id"`
	UID       string   `json:"uid,omitempty"`
	ID        string   `json:"id,omitempty"`
	Result    string   `json:"result"`
	DryRun    bool     `json:"dry_run,omitempty"`
	Changed   []string `json:"changed,omitempty"`
	Attention []string `json:"attention,omitempty"`
	Refused   []string `json:"refused,omitempty"`
}

// Kinds of what is copied.
const (
	importedApplication = "application"
	importedEndpoint    = "endpoint"
)

// note says what a person has to look at.
func (d *imported) note(format string, args ...any) {
	d.Attention = append(d.Attention, fmt.Sprintf(format, args...))
}

// keep tells what became of something. A refusal of the API is told, and no error.
func (i *importing) keep(done *imported, err error) error {
	var refusal *client.Error
	switch {
	case errors.As(err, &refusal) && refusal.Status != http.StatusUnauthorized && refusal.Status != http.StatusForbidden:
		done.Result, done.Refused = applyRefused, reasons(refusal)
	case err != nil:
		return err
	}
	return i.tell(done)
}

// reasons returns what a refusal says, a line for each place.
func reasons(refusal *client.Error) (list []string) {
	for _, d := range refusal.Errors {
		list = append(list, strings.TrimPrefix(d.Location, "body.")+" "+d.Message)
	}
	if len(list) == 0 {
		list = []string{refusal.Detail}
	}
	return list
}

// isNothing tells whether the API has no such thing.
func isNothing(err error) bool {
	var refusal *client.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusNotFound
}

// change sends a merge patch, unless it is empty or the run is dry.
func (i *importing) change(done *imported, change map[string]any, send func(client.CallOption) error) error {
	if len(change) == 0 {
		return nil
	}
	done.Result, done.Changed = applyChanged, append(done.Changed, sortedKeys(change)...)
	if i.DryRun {
		return nil
	}

	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("encoding a change: %w", err)
	}
	return send(client.WithBody(data))
}

// lacking returns the members that there are not, or with another value.
func lacking(before, want map[string]string) map[string]string {
	added := map[string]string{}
	for name, value := range want {
		if was, ok := before[name]; !ok || was != value {
			added[name] = value
		}
	}
	return added
}

// tell prints what became of something.
func (i *importing) tell(done *imported) error {
	i.counts[done.Result]++
	done.DryRun = i.DryRun
	if len(done.Attention) > 0 {
		i.wanted++
	}
	if i.JSON {
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(done); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
		i.command.printf("%s", line.String())
		return nil
	}

	name := done.TenantID
	if done.Kind == importedEndpoint {
		name += "/" + done.UID
	}
	i.command.printf("%-10s %s", wordOf(done.Result, i.DryRun), printable(name))
	if len(done.Changed) > 0 {
		i.command.printf(": %s", strings.Join(done.Changed, ", "))
	}
	i.command.printf("\n")

	for _, fault := range done.Refused {
		i.command.printf("  refused: %s\n", printable(fault))
	}
	for _, note := range done.Attention {
		i.command.printf("  look: %s\n", printable(note))
	}
	return nil
}

// summarize counts the results.
func (i *importing) summarize() {
	text := countsOf(i.counts, i.DryRun)
	if i.wanted > 0 {
		text += fmt.Sprintf("; %d to look at", i.wanted)
	}
	fmt.Fprintln(i.command.stderr, text)
}
