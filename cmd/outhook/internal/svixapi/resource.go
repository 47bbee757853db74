package svixapi

import (
	"context"
	"iter"
	"net/url"
)

// Application is whose endpoints they are.
type Application struct {
	ID       string            `json:"id"`
	UID      string            `json:"uid"`
	Name     string            `json:"name"`
	Rate     int               `json:"throttleRate"` // 0: none
	OldRate  int               `json:"rateLimit"`    // of old servers
	Metadata map[string]string `json:"metadata"`
}

// Applications returns all from the one after an id, oldest first; "": from the first.
func (c *Client) Applications(ctx context.Context, after string) iter.Seq2[Application, error] {
	return all[Application](ctx, c, "/app", after, url.Values{"order": {"ascending"}})
}

// Endpoint is where messages go.
type Endpoint struct {
	ID          string            `json:"id"`
	UID         string            `json:"uid"`
	URL         string            `json:"url"`
	Description string            `json:"description"`
	Disabled    bool              `json:"disabled"`
	EventTypes  []string          `json:"eventTypes"`
	FilterTypes []string          `json:"filterTypes"` // of old servers
	Channels    []string          `json:"channels"`
	Rate        int               `json:"throttleRate"` // 0: none
	OldRate     int               `json:"rateLimit"`    // of old servers
	Metadata    map[string]string `json:"metadata"`
}

// Endpoints returns all of an application, oldest first.
func (c *Client) Endpoints(ctx context.Context, app string) iter.Seq2[Endpoint, error] {
	return all[Endpoint](ctx, c, "/app/"+url.PathEscape(app)+"/endpoint", "", url.Values{"order": {"ascending"}})
}

func endpointPath(app, endpoint, below string) string {
	return "/app/" + url.PathEscape(app) + "/endpoint/" + url.PathEscape(endpoint) + below
}

// Headers are what an endpoint's requests have beside Svix's own. Of those that are sensitive, only names are told.
type Headers struct {
	Headers   map[string]string `json:"headers"`
	Sensitive []string          `json:"sensitive"`
}

// Headers returns an endpoint's.
func (c *Client) Headers(ctx context.Context, app, endpoint string) (h Headers, err error) {
	err = c.get(ctx, endpointPath(app, endpoint, "/headers"), nil, &h)
	return h, err
}

// Secret returns what an endpoint's messages are signed with: whsec_… or, asymmetric, whsk_….
func (c *Client) Secret(ctx context.Context, app, endpoint string) (string, error) {
	var out struct {
		Key string `json:"key"`
	}
	err := c.get(ctx, endpointPath(app, endpoint, "/secret"), nil, &out)
	return out.Key, err
}

// Transformed tells whether an endpoint has a transformation that is on.
func (c *Client) Transformed(ctx context.Context, app, endpoint string) (bool, error) {
	var out struct {
		Enabled bool `json:"enabled"`
	}
	err := c.get(ctx, endpointPath(app, endpoint, "/transformation"), nil, &out)
	if isAbsent(err) {
		return false, nil
	}
	return out.Enabled, err
}
