package oidc

import "time"

// SetTimeout sets how long a request may take.
func (p *Provider) SetTimeout(d time.Duration) { p.client.Timeout = d }
