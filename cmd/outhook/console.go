package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

type consoleCmd struct {
	apiFlags

	ExpiresIn time.Duration `default:"1m" help:"For how long the link is good: 1s to 12h."`
}

// Run prints a link. What stands behind its # reaches no server, and so no log of one.
func (k *consoleCmd) Run(c *command) error {
	_, err := ask(c, k.apiFlags, func(api *client.Client, o client.CallOption) (*client.SessionCode, error) {
		return newCode(c, api, k.ExpiresIn, o)
	}, func(w io.Writer, v *client.SessionCode) {
		_, _ = fmt.Fprintln(w, consoleLink(k.URL, v.Code))
	})
	return err
}

func newCode(c *command, api *client.Client, life time.Duration, options ...client.CallOption,
) (*client.SessionCode, error) {
	seconds := int(life / time.Second)
	order := &client.NewCode{ExpiresInS: &seconds}
	return api.CreateSessionCode(c.ctx, order, client.CreateSessionCodeParams{}, options...)
}

func consoleLink(base, code string) string {
	return strings.TrimRight(base, "/") + "/console/enter#" + code
}
