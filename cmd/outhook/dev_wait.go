package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

const (
	// devWait is for how long dev --wait waits: the first start on a machine without PostgreSQL downloads one.
	devWait = 2 * time.Minute

	// devPoll is how often it looks, and devAnswer how long an answer may take.
	devPoll   = 50 * time.Millisecond
	devAnswer = 5 * time.Second
)

// runningFile is in dev's data folder while it serves, and holds what it printed for programs: a devAddress.
const runningFile = "running.json"

// devAddress is what a program needs to work with a dev.
type devAddress struct {
	URL    string `json:"url"`
	APIKey string `json:"api_key"`

	// DatabaseURL is that of the embedded database. Empty: dev was given one, which its user knows.
	DatabaseURL string `json:"database_url,omitempty"`
}

// exports returns the lines that give a shell, and what it starts, the variables.
func (a devAddress) exports(indent string) string {
	var b strings.Builder
	for _, v := range [][2]string{{"OUTHOOK_URL", a.URL}, {"OUTHOOK_API_KEY", a.APIKey}, {"DATABASE_URL", a.DatabaseURL}} {
		if v[1] != "" {
			fmt.Fprintf(&b, "%sexport %s='%s'\n", indent, v[0], strings.ReplaceAll(v[1], "'", `'\''`))
		}
	}
	return b.String()
}

// keepIn writes the address into the data folder. Call gone once nobody serves there any more.
func (a devAddress) keepIn(dir string) (gone func(), err error) {
	text, err := json.Marshal(a) //nolint:gosec // the key of a machine's own dev, in a file that only its user reads
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", runningFile, err)
	}

	path := filepath.Join(dir, runningFile)
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("writing %s: %w", runningFile, err)
	}
	return func() { _ = os.Remove(path) }, nil
}

// findDev returns the address of the dev that serves from a data folder. What a killed one has left there does not
// count, nor what another one answers at the same address: it is asked with the key.
func findDev(ctx context.Context, dir string) (devAddress, error) {
	text, err := os.ReadFile(filepath.Join(dir, runningFile)) //nolint:gosec // a fixed name in the user's own folder
	if err != nil {
		return devAddress{}, errors.New("none has said so yet")
	}

	var a devAddress
	if err := json.Unmarshal(text, &a); err != nil {
		return devAddress{}, fmt.Errorf("reading %s: %w", runningFile, err) // it is being written
	}

	api, err := client.New(a.URL, a.APIKey, client.WithTimeout(devAnswer), client.WithUserAgent("outhook-cli/"+version()))
	if err != nil {
		return devAddress{}, fmt.Errorf("reading %s: %w", runningFile, err)
	}
	if _, err := api.ListWorkers(ctx); err != nil {
		return devAddress{}, explained(ctx, err)
	}
	return a, nil
}

// awaitDev returns the address of the dev of a data folder once it serves, within a limit.
func awaitDev(ctx context.Context, dir string, limit time.Duration) (devAddress, error) {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	for {
		a, err := findDev(ctx, dir)
		if err == nil {
			return a, nil
		}

		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return a, ctx.Err()
			}
			return a, fmt.Errorf("after %s no `outhook dev` serves with the data folder %s: %w", limit, dir, err)
		case <-time.After(devPoll):
		}
	}
}

// tellDev prints the exports of the dev of a data folder once it serves. A shell that was to run them fails with it:
// `eval "$(outhook dev --wait)"` alone would be a success.
func tellDev(ctx context.Context, out io.Writer, dir string, limit time.Duration) error {
	a, err := awaitDev(ctx, dir, limit)
	if err != nil {
		_, _ = io.WriteString(out, "false\n")
		return err
	}

	_, err = io.WriteString(out, a.exports(""))
	return err
}
