package egress

import "context"

// Control is what the dialer asks right before it connects.
func (c *Client) Control(network, address string) error {
	return c.guard.control(context.Background(), network, address, nil)
}
