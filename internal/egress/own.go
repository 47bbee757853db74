package egress

import (
	"net/netip"
	"slices"
	"sync"
)

// ownAddrs holds addresses of this system's own servers. There are a handful.
type ownAddrs struct {
	mu   sync.RWMutex
	list []netip.AddrPort
}

// Block keeps requests from an address of this system's own, the database's: from the whole host, or, if Config.Allow
// holds the host, from that port of it. It may be called at any time, also again with the same address.
func (c *Client) Block(addr netip.AddrPort) {
	o := c.guard.own
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
	if !addr.IsValid() || o.has(addr) {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, addr)
}

func (o *ownAddrs) has(addr netip.AddrPort) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Contains(o.list, addr)
}

func (o *ownAddrs) hasHost(addr netip.Addr) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.ContainsFunc(o.list, func(own netip.AddrPort) bool { return own.Addr() == addr })
}
